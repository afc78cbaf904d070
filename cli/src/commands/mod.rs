//! One file per command: each reads, asks the pure crates, prints, and says how it ended.

mod completions;
mod graph;
mod lint;
mod render;
mod schema;

use milepost_job_spec::Outcome;

use crate::args::Command;
use crate::failure::Failure;
use crate::{demo, doctor, status};

/// Carries out a command.
pub(crate) fn run(command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Lint(args) => lint::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Schema(args) => Ok(schema::run(&args)),
        Command::Completions(args) => Ok(completions::run(&args)),
        Command::Doctor(args) => doctor::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}
