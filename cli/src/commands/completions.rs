use clap::CommandFactory as _;
use milepost_job_spec::Outcome;

use crate::args::{Args, CompletionsArgs};
use crate::output;

/// Prints the completion script of a shell.
pub(super) fn run(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "milepost", &mut script);
    output::data(&String::from_utf8_lossy(&script));
    Outcome::Done
}
