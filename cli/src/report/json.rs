//! Findings for scripts, in the shape that `version` names.

use milepost_dsl::{Diagnostic, Label, Severity, Sources};
use serde::Serialize;

use crate::inspect::Inspection;

/// The version of this form; it rises when a key changes its meaning or goes.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    diagnostics: Vec<Finding<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct Finding<'a> {
    rule: &'a str,
    severity: &'a str,
    message: &'a str,
    object: &'a str,
    #[serde(flatten)]
    place: Place<'a>,
    help: Option<&'a str>,
    related: Vec<Related<'a>>,
}

/// Lines and columns count from 1, columns in characters; the end is the place after the last character.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

#[derive(Serialize)]
struct Related<'a> {
    message: &'a str,
    #[serde(flatten)]
    place: Place<'a>,
}

#[derive(Serialize)]
struct Summary {
    errors: usize,
    warnings: usize,
}

pub(super) fn report(inspection: &Inspection) -> String {
    let findings = inspection.diagnostics.iter();
    let report = Report {
        version: VERSION,
        diagnostics: findings
            .map(|found| finding(found, &inspection.sources))
            .collect(),
        summary: Summary {
            errors: inspection.count(Severity::Error),
            warnings: inspection.count(Severity::Warning),
        },
    };
    let mut text = serde_json::to_string_pretty(&report).expect("a report has only text keys");
    text.push('\n');
    text
}

fn finding<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Finding<'a> {
    Finding {
        rule: diagnostic.rule.as_str(),
        severity: diagnostic.severity.as_str(),
        message: &diagnostic.message,
        object: &diagnostic.object,
        place: place(&diagnostic.primary, sources),
        help: diagnostic.help.as_deref(),
        related: diagnostic
            .related
            .iter()
            .map(|label| Related {
                message: &label.text,
                place: place(label, sources),
            })
            .collect(),
    }
}

fn place<'a>(label: &Label, sources: &'a Sources) -> Place<'a> {
    let place = sources.place(label.span);
    Place {
        file: place.path,
        line: place.line,
        column: place.column,
        end_line: place.end_line,
        end_column: place.end_column,
    }
}
