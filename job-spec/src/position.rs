use serde::{Deserialize, Serialize};

/// Which staging columns make the position of a row at its source, one variant per kind of source.
///
/// A position is three numbers: commit position, row position, order in the transaction. The first two tell a replay from
/// news; the order only casts doubt, since a connector that restarts inside a transaction counts from 1 again
/// (docs/decisions/0001). It is never a watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourcePosition {
    /// Debezium's Postgres connector: the last commit LSN of `__sequence`, `__lsn`, `__transaction_total_order`.
    Postgres,
}
