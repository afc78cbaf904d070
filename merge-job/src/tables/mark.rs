//! How a table says that it is ours, and which columns it was made with.
//!
//! The mark is the table's comment. A spec's column that the table lacks is new where the mark does not list it; where it
//! does, somebody dropped or renamed the column, and adding it again would pass nulls off as values.

use std::collections::BTreeSet;

use milepost_job_spec::TableRef;
use serde::{Deserialize, Serialize};

use super::shape::{Purpose, TableShape};
use crate::sql;

/// Every comment of ours begins so.
pub(crate) const PREFIX: &str = "milepost: ";

/// What the comment of a table says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// What the table is for, for whoever reads the comment.
    pub(super) holds: String,
    /// Every column that we ever made.
    pub(super) columns: BTreeSet<String>,
}

impl Mark {
    /// The mark of a table that is what its shape says.
    pub(super) fn of(shape: &TableShape) -> Self {
        let holds = match shape.purpose {
            Purpose::Staging => "staged change events",
            Purpose::Transactions => "ends of the source's transactions",
            Purpose::Merge if shape.is_append() => "appended rows",
            Purpose::Merge => "merged rows",
        };
        Self {
            holds: holds.to_owned(),
            columns: shape
                .columns
                .iter()
                .map(|column| column.name.as_str().to_owned())
                .collect(),
        }
    }

    /// Reads a comment; none if it is not ours.
    pub(super) fn read(comment: Option<&str>) -> Option<Self> {
        serde_json::from_str(comment?.strip_prefix(PREFIX)?).ok()
    }

    /// The statement that writes the comment.
    pub(super) fn comment(&self, table: &TableRef) -> String {
        let json = serde_json::to_string(self).expect("a mark has only text keys");
        format!(
            "comment on table {} is {}",
            table.quoted(),
            sql::literal(&format!("{PREFIX}{json}"))
        )
    }
}

/// Is this the comment of a table of ours? One that only begins so is not.
pub(crate) fn is_ours(comment: Option<&str>) -> bool {
    Mark::read(comment).is_some()
}
