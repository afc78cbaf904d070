//! How far a topic partition is merged.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The source position of a row as numbers: commit position, row position, order in the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The commit position.
    pub commit: i64,
    /// The row position.
    pub row: Option<i64>,
    /// The order in the transaction, where the connector supplies it.
    pub order: Option<i64>,
}

/// What the rows of a topic partition are recognised by: see [`crate::staging::generation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recognised {
    /// The row at the watermark.
    pub at_watermark: Value,
    /// The lowest offset that was staged, and its row.
    pub lowest: Option<(i64, Value)>,
}

/// A row of `milepost.positions`, or the beginning of a partition that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The dataset's name; empty for the transaction topic.
    pub dataset: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The highest merged offset; −1 before the first row.
    pub watermark: i64,
    /// The highest merged source position.
    pub fence: Option<Fence>,
    /// The newest merged commit time at the source, microseconds since 1970.
    pub newest_source_ts_us: Option<i64>,
    /// The source transaction of the row at the watermark.
    pub last_transaction: Option<String>,
    /// What is kept of the row at the watermark where it was a delete: jsonb text with `row`, `tx` and the large values
    /// (`image`) that a key change may take to its new key.
    pub last_delete: Option<String>,
    /// None before the first batch and after one of a release that kept nothing.
    pub recognised: Option<Recognised>,
    /// Of a dataset without a key: which rows at the fence are known.
    pub appended: Option<Appended>,
}

/// Of a dataset without a key: where its last row with a source position stands, and how many rows at the fence are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// The commit position of the last row.
    pub commit: i64,
    /// Its row position; −1 where it has none.
    pub row: i64,
    /// Its order in the transaction; −1 where it has none.
    pub order: i64,
    /// The number of the last row at its position, in its delivery.
    pub number: i64,
    /// How many rows at the fence were delivered, each counted once.
    pub known: i64,
}

impl Appended {
    /// The fields where no row has come yet.
    pub(crate) const NOTHING: [i64; 5] = [-1, -1, -1, 0, 0];

    /// Its fields, in order, as [`crate::staging::delivery::mark`] takes them.
    pub(crate) const fn fields(&self) -> [i64; 5] {
        [self.commit, self.row, self.order, self.number, self.known]
    }

    /// As the control row keeps it.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("it has only numbers")
    }
}

impl Position {
    /// The position before the first row of a partition.
    #[must_use]
    pub fn start(dataset: &str, topic: &str, partition: i32) -> Self {
        Self {
            dataset: dataset.to_owned(),
            topic: topic.to_owned(),
            partition,
            watermark: -1,
            fence: None,
            newest_source_ts_us: None,
            last_transaction: None,
            last_delete: None,
            recognised: None,
            appended: None,
        }
    }
}
