//! The `milepost` command: reads a model from the disk, says what is wrong with it, writes what runs it.
//!
//! It is the shell around the pure crates: files and git go in here, text and exit codes come out, and no decision that
//! belongs in a plan is taken. A command returns how it ended ([`Outcome`]) or why it could not be carried out
//! ([`Failure`](failure::Failure)), which is printed once, here.
//!
//! Reading order: [`args`], [`load`], [`inspect`], [`report`], [`mod@write`], then [`commands`]; what runs is asked by [`live`]
//! and judged by [`doctor`] and [`status`]; [`demo`] last.

mod args;
mod commands;
mod demo;
mod doctor;
mod failure;
mod inspect;
mod live;
mod load;
mod output;
mod report;
mod status;
mod version;
mod when;
mod write;

use std::process::ExitCode;

use clap::Parser as _;
use milepost_job_spec::Outcome;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and the version are no errors; whoever asked for them reads standard output.
            let outcome = if error.use_stderr() {
                Outcome::Usage
            } else {
                Outcome::Done
            };
            let _ = error.print();
            return ExitCode::from(outcome.code());
        }
    };
    let outcome = commands::run(args.command).unwrap_or_else(|failure| {
        output::message(&failure.to_string());
        failure.outcome()
    });
    ExitCode::from(outcome.code())
}
