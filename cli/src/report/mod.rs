//! Findings as text: for people, scripts, GitHub's review view, and code scanning.

mod github;
mod json;
mod sarif;
mod terminal;

use milepost_dsl::Severity;

use crate::args::ReportFormat;
use crate::inspect::Inspection;
use crate::output;

/// The findings of an inspection, as standard output gets them.
pub(crate) fn report(inspection: &Inspection, format: ReportFormat, colour: bool) -> String {
    match format {
        ReportFormat::Human => terminal::report(inspection, colour),
        ReportFormat::Json => json::report(inspection),
        ReportFormat::Github => github::report(inspection),
        ReportFormat::Sarif => sarif::report(inspection),
    }
}

/// `2 errors, 1 warning`, and what is worth knowing where there is anything.
pub(crate) fn summary(inspection: &Inspection) -> String {
    let count = |severity, word| {
        let n = inspection.count(severity);
        let plural = if n == 1 { "" } else { "s" };
        format!("{n} {word}{plural}")
    };
    let mut counts = vec![
        count(Severity::Error, "error"),
        count(Severity::Warning, "warning"),
    ];
    if inspection.count(Severity::Info) > 0 {
        counts.push(count(Severity::Info, "note"));
    }
    counts.join(", ")
}

/// Tells a person why a command that needs a model without errors did nothing.
pub(crate) fn refuse(inspection: &Inspection, why: &str) {
    output::message(&terminal::report(inspection, false));
    output::message(&format!(
        "error: {why}\nhelp: mend the errors above; `milepost lint` shows them again"
    ));
}
