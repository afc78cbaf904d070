use std::fmt;

use crate::Image;

/// What happened to a row at the source, as `__op` holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Inserted.
    Create,
    /// Updated.
    Update,
    /// Deleted.
    Delete,
    /// Read by a snapshot.
    Read,
    /// All rows of the table deleted; the row has no key.
    Truncate,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Read => "r",
            Self::Truncate => "t",
        })
    }
}

/// One row of a staging table: `merge.md`, "Staging".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedRow {
    /// The dataset, as an index into the spec's datasets.
    pub dataset: usize,
    /// The Kafka topic.
    pub topic: String,
    /// The partition of the topic.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// What happened.
    pub op: Op,
    /// The staged columns in the order of the spec, as text that Postgres reads; a null is none.
    pub columns: Image,
    /// Commit time at the source, microseconds since 1970.
    pub source_ts_us: Option<i64>,
    /// The commit LSN of the transaction before; half of `__sequence`.
    pub last_commit: Option<u64>,
    /// An earlier commit LSN that the connector took for that one: it resumed from an offset older than its slot.
    pub stale_commit: Option<u64>,
    /// The LSN of the row.
    pub lsn: Option<u64>,
    /// The source's transaction.
    pub transaction_id: Option<String>,
    /// The place of the row in its transaction.
    pub total_order: Option<u64>,
    /// `__snapshot`.
    pub snapshot: String,
}

impl StagedRow {
    /// `__sequence`: the last commit LSN and the row's LSN, as the connector writes them.
    #[must_use]
    pub fn sequence(&self) -> Option<String> {
        let lsn = self.lsn?;
        Some(match self.stale_commit.or(self.last_commit) {
            Some(commit) => format!("[\"{commit}\",\"{lsn}\"]"),
            None => format!("[null,\"{lsn}\"]"),
        })
    }

    /// The source position as it is, whatever the connector took it for: commit position, row position, order in the
    /// transaction; none for a snapshot row.
    ///
    /// The first transaction after a snapshot has no transaction before it: its commit position is 0.
    #[must_use]
    pub fn position(&self) -> Option<(u64, u64, u64)> {
        let commit = self.last_commit.unwrap_or(0);
        (self.op != Op::Read).then_some((commit, self.lsn?, self.total_order.unwrap_or(0)))
    }
}
