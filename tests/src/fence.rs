use std::collections::BTreeMap;

use milepost_simulator::{Op, StagedRow};

/// The highest source position at a lower offset, per topic partition: what tells a replay from news.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fences(BTreeMap<(String, i32), Position>);

/// Commit position, row position, order in the transaction; none is below all.
type Position = Option<(u64, u64, u64)>;

impl Fences {
    /// Is the row at or below the fence of its partition? The fence moves with every row that has a position.
    pub(crate) fn is_replay(&mut self, row: &StagedRow) -> bool {
        let partition = (row.topic.clone(), row.partition);
        let fence = self.0.entry(partition).or_default();
        if row.op == Op::Read {
            // A snapshot that is not incremental starts the fence anew.
            *fence = fence.filter(|_| row.snapshot == "incremental");
            return false;
        }
        let Some((commit, lsn, order)) = row.position() else {
            return false;
        };
        // Without an order only a strictly lower position is a replay.
        let replay = *fence >= Some((commit, lsn, order.unwrap_or(u64::MAX)));
        *fence = (*fence).max(Some((commit, lsn, order.unwrap_or(0))));
        replay
    }
}
