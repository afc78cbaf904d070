//! What a verification found, for people and for programs. Values of rows never appear, keys only on demand.

use std::fmt::Write as _;

use milepost_job_spec::StreamKey;
use serde::Serialize;

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
    /// An invariant is broken.
    Error,
}

/// What was verified, and what was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The version of this shape.
    version: u32,
    /// Everything found, stream by stream.
    #[serde(rename = "diagnostics")]
    pub findings: Vec<Finding>,
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
        self.findings.push(finding);
        self.summary.errors = self.findings.len();
    }

    /// For people: one paragraph per finding, then the sum.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let Finding {
                rule,
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
            let _ = writeln!(text, "error[{rule}]: {object}: {message}{table}");
            if !examples.is_empty() {
                let _ = writeln!(text, "  keys: {}", examples.join(", "));
            }
            let _ = writeln!(text, "  help: {help}");
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
