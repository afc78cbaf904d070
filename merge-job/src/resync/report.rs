//! What was compared and repaired, for people and for programs. Values of rows never appear.

use std::fmt::Write as _;

use milepost_job_spec::StreamKey;
use serde::Serialize;

use crate::batch::resync::Resynced;
use crate::compare::{Compared, Note, Plan};
use crate::count::counted;
use crate::error::Error;

/// The plan, and what was done.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of this shape.
    version: u32,
    /// What was compared.
    comparison: Vec<Note>,
    /// What would be done.
    pub(super) plan: Plan,
    /// The batches that did it.
    batches: Vec<Done>,
    /// What kept the next stream, and those behind it, from being repaired.
    #[serde(skip)]
    pub stopped: Option<Error>,
}

#[derive(Debug, Serialize)]
struct Done {
    stream: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<i64>,
    inserted: u64,
    updated: u64,
    deleted: u64,
    /// Rows that were not as they had been found, and were left alone.
    left: u64,
}

impl Report {
    pub(super) fn of(compared: &[Compared], plan: Plan) -> Self {
        Self {
            version: 1,
            comparison: compared.iter().map(Note::of).collect(),
            plan,
            batches: Vec::new(),
            stopped: None,
        }
    }

    pub(super) fn add(&mut self, stream: &StreamKey, done: &Resynced) {
        self.batches.push(Done {
            stream: stream.to_string(),
            batch: done.number,
            inserted: done.counts.inserted,
            updated: done.counts.updated,
            deleted: done.counts.deleted,
            left: done.left,
        });
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for note in &self.comparison {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{note}");
        }
        if self.batches.is_empty() && self.stopped.is_none() {
            text.push_str(&self.plan.to_text());
        }
        for own in &self.batches {
            let _ = match own.batch {
                None => write!(text, "{}: no row was changed", own.stream),
                Some(number) => write!(
                    text,
                    "{}: batch {number} inserted {}, updated {}, closed {}",
                    own.stream,
                    counted(own.inserted, "row", "rows"),
                    own.updated,
                    own.deleted
                ),
            };
            if own.left > 0 {
                let _ = write!(
                    text,
                    "; {} not as found any more, and left alone",
                    counted(own.left, "row was", "rows were")
                );
            }
            text.push('\n');
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
