use milepost_dsl::Severity;
use milepost_job_spec::Outcome;

use crate::args::LintArgs;
use crate::failure::Failure;
use crate::inspect::inspect;
use crate::{output, report};

/// Lists all problems of a model.
pub(super) fn run(args: &LintArgs) -> Result<Outcome, Failure> {
    let inspection = inspect(&args.dir)?;
    let colour = output::is_colourful();
    output::data(&report::report(&inspection, args.format, colour));
    Ok(match inspection.count(Severity::Error) {
        0 => Outcome::Done,
        _ => Outcome::Findings,
    })
}
