use std::fmt;

use serde::Serialize;

use super::{Compared, Delivery, MAX_DIFFERENCES, Outcome};
use crate::count::counted;

/// What a comparison of a dataset came to, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The dataset: `shop#customers`.
    object: String,
    /// Live rows of the merge table.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    /// Rows that differ and stay so.
    diverged: usize,
    /// Rows of the source that the table cannot hold.
    unfit: usize,
    /// Rows that differed and were equal some time later.
    arrived: u64,
    /// Rows of which staging has an event that is not merged yet.
    staged: u64,
    /// Rows that were written meanwhile.
    moving: u64,
    /// Rows that the connector may still deliver.
    undelivered: u64,
    /// Rows that differ from a source that is older than what is merged.
    older: u64,
    /// Is it known that the connector has passed what the source had?
    #[serde(skip_serializing_if = "Option::is_none")]
    passed: Option<bool>,
    /// Why it was not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

impl Note {
    /// The note of a dataset.
    #[must_use]
    pub fn of(compared: &Compared) -> Self {
        let mut note = Self {
            object: format!("{}#{}", compared.stream.store, compared.dataset.name),
            rows: None,
            diverged: 0,
            unfit: 0,
            arrived: 0,
            staged: 0,
            moving: 0,
            undelivered: 0,
            older: 0,
            passed: None,
            skipped: None,
        };
        match &compared.outcome {
            Outcome::Skipped(why) => note.skipped = Some((*why).to_owned()),
            Outcome::TooMany => {
                note.skipped = Some(format!("more than {MAX_DIFFERENCES} rows differ"));
            }
            Outcome::Compared { rows, verdict } => {
                note.rows = Some(*rows);
                note.diverged = verdict.diverged.len();
                note.unfit = verdict.unfit.len();
                note.arrived = verdict.arrived;
                note.staged = verdict.staged;
                note.moving = verdict.moving;
                note.undelivered = verdict.undelivered;
                note.older = verdict.older;
                note.passed = match verdict.delivery {
                    Delivery::Passed => Some(true),
                    Delivery::Behind => Some(false),
                    Delivery::Unknown | Delivery::Older => None,
                };
            }
        }
        note
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.skipped {
            return write!(f, "{}: not compared: {why}", self.object);
        }
        let rows = counted(self.rows.unwrap_or_default(), "row", "rows");
        write!(f, "{}: {rows} compared with the source", self.object)?;
        let parts = [
            (self.diverged as u64, "diverged"),
            (self.unfit as u64, "do not fit"),
            (self.arrived, "arrived meanwhile"),
            (self.staged, "staged and not merged yet"),
            (self.moving, "written meanwhile"),
            (self.undelivered, "not delivered yet"),
            (
                self.older,
                "other than at a source that is older than what is merged",
            ),
        ];
        let mut mark = ": ";
        for (count, what) in parts.iter().filter(|(count, _)| *count > 0) {
            write!(f, "{mark}{count} {what}")?;
            mark = ", ";
        }
        if mark == ": " {
            write!(f, ": equal")?;
        }
        Ok(())
    }
}
