use serde::{Deserialize, Serialize};

/// Which staging columns make the position of a row at its source, one variant per kind of source.
///
/// A position is three numbers, compared in this order: commit position, row position, order in the transaction. It tells
/// a replay from news (`merge.md`, "Replays"); it is never a watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourcePosition {
    /// Debezium's Postgres connector: the last commit LSN of `__sequence`, `__lsn`, `__transaction_total_order`.
    Postgres,
}
