//! `milepost doctor` and `milepost status` on the real stack: well, then with one fault at a time, each mended as its remedy
//! says, after which everything goes on where it stopped.

#[path = "../cli/mod.rs"]
mod cli;

mod connectors;
mod examined;
mod sinks;
mod sources;
mod workers;
