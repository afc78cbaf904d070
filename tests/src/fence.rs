use std::collections::{BTreeMap, BTreeSet};

use milepost_simulator::{Key, Op, StagedRow};

/// The highest source position at a lower offset, per topic partition: what tells a replay from news.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fences {
    highest: BTreeMap<(String, i32), Position>,
    /// The changes of this batch: a row position has each key and operation once.
    batch: BTreeSet<(String, i32, Position, Op, Option<Key>)>,
    /// Where the partitions stood before it.
    before: BTreeMap<(String, i32), Position>,
}

/// Commit position, row position, order in the transaction; none is below all.
type Position = Option<(u64, u64, u64)>;

/// Where a row stands against the fence of its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    News,
    /// At the fence by commit and row position, of no higher order: rows of one record share a position, and a restarted
    /// connector counts anew. It is merged; if it changes nothing it was a replay.
    Doubtful,
    Replay,
}

impl Fences {
    /// Judges the row with this key; the fence moves with every row that has a position.
    pub(crate) fn judge(&mut self, row: &StagedRow, key: Option<&Key>) -> Standing {
        let partition = (row.topic.clone(), row.partition);
        let fence = self.highest.entry(partition).or_default();
        if row.op == Op::Read {
            // A snapshot that is not incremental starts the fence anew.
            *fence = fence.filter(|_| row.snapshot == "incremental");
        }
        let Some((commit, lsn, order)) = row.position() else {
            return Standing::News;
        };
        let highest = *fence;
        *fence = highest.max(Some((commit, lsn, order)));
        let change = Some((commit, lsn, 0));
        let change = (
            row.topic.clone(),
            row.partition,
            change,
            row.op,
            key.cloned(),
        );
        // A row whose key has a null, or a value that does not cast, is of no key.
        let is_known = key.is_some() || row.op == Op::Truncate;
        let again = !self.batch.insert(change) && is_known;
        match highest {
            Some((c, l, _)) if (commit, lsn) < (c, l) => Standing::Replay,
            Some((c, l, _)) if (commit, lsn) == (c, l) && again => Standing::Replay,
            Some(highest) if (commit, lsn, order) <= highest => Standing::Doubtful,
            _ => Standing::News,
        }
    }

    /// Forgets the changes of the batch before.
    pub(crate) fn begin_batch(&mut self) {
        self.batch.clear();
        self.before.clone_from(&self.highest);
    }

    /// Does the row stand at the fence of the batch?
    pub(crate) fn is_at(&self, row: &StagedRow) -> bool {
        let before = self.before.get(&(row.topic.clone(), row.partition));
        let place = row.position().map(|(commit, lsn, _)| (commit, lsn));
        place.is_some() && before.copied().flatten().map(|(c, l, _)| (c, l)) == place
    }
}
