//! What a verification found, for people and for programs. Values of rows never appear, keys only on demand.

use std::fmt::Write as _;

use milepost_job_spec::StreamKey;
use serde::Serialize;

use crate::compare::{Note, Plan};

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The invariant's stable name.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What does not hold.
    pub message: String,
    /// The dataset, or the stream: `shop#customers`.
    pub object: String,
    /// The table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// How many keys, batches or partitions break it.
    pub count: u64,
    /// Up to three of the keys, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// What to do.
    pub help: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// An invariant is broken, or a row is not what the source has.
    Error,
    /// It may be so, and nobody can tell yet.
    Warning,
}

impl Severity {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What was verified, and what was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The version of this shape.
    version: u32,
    /// Everything found, stream by stream.
    #[serde(rename = "diagnostics")]
    pub findings: Vec<Finding>,
    /// What comparisons with sources came to, dataset by dataset.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    comparison: Vec<Note>,
    /// What would make rows equal to the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<Plan>,
    summary: Summary,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    errors: usize,
    warnings: usize,
    streams: u64,
    tables: u64,
    rows: u64,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            version: 1,
            ..Self::default()
        }
    }

    pub(super) fn stream(&mut self) {
        self.summary.streams += 1;
    }

    pub(super) fn table(&mut self, rows: u64) {
        self.summary.tables += 1;
        self.summary.rows += rows;
    }

    pub(super) fn push(&mut self, finding: Finding) {
        match finding.severity {
            Severity::Error => self.summary.errors += 1,
            Severity::Warning => self.summary.warnings += 1,
        }
        self.findings.push(finding);
    }

    pub(super) fn compared(&mut self, notes: Vec<Note>, repair: Plan) {
        self.comparison = notes;
        self.repair = Some(repair).filter(|plan| !plan.is_empty());
    }

    /// Does anything not hold?
    #[must_use]
    pub const fn has_errors(&self) -> bool {
        self.summary.errors > 0
    }

    /// For people: one paragraph per finding, then what was compared, the sum, and the plan of a repair.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let Finding {
                rule,
                severity,
                message,
                object,
                table,
                examples,
                help,
                ..
            } = finding;
            let table = table
                .as_ref()
                .map_or_else(String::new, |table| format!(" (table `{table}`)"));
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "{}[{rule}]: {object}: {message}{table}",
                severity.name()
            );
            if !examples.is_empty() {
                let _ = writeln!(text, "  keys: {}", examples.join(", "));
            }
            let _ = writeln!(text, "  help: {help}");
        }
        for note in &self.comparison {
            let _ = writeln!(text, "{note}");
        }
        let Summary {
            streams,
            tables,
            rows,
            ..
        } = self.summary;
        let found = u64::try_from(self.findings.len()).unwrap_or(u64::MAX);
        let _ = writeln!(
            text,
            "{}, {}, {} verified: {}",
            counted(streams, "stream"),
            counted(tables, "table"),
            counted(rows, "row"),
            counted(found, "finding")
        );
        if let Some(repair) = &self.repair {
            text.push_str(&repair.to_text());
        }
        text
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report has only text keys");
        text.push('\n');
        text
    }
}

/// How findings name a dataset, or a whole store.
pub(super) fn object(stream: &StreamKey, dataset: Option<&str>) -> String {
    match dataset {
        Some(dataset) => format!("{}#{dataset}", stream.store),
        None => stream.store.clone(),
    }
}

/// `1 key`, `2 keys`, `2 batches`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let ending = match (count, noun.ends_with("ch")) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {noun}{ending}")
}
