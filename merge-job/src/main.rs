//! The `merge-job` command.

fn main() {}
