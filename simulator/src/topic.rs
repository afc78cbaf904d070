use std::collections::BTreeMap;

use crate::{Key, StagedRow};

/// The offsets of every topic partition, and what was sent: the memory of a connector and its brokers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topics {
    next: BTreeMap<(String, i32), i64>,
    sent: Vec<Sent>,
}

/// A transaction that the connector sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) rows: Vec<StagedRow>,
    pub(crate) end: String,
}

impl Sent {
    /// Do this row and the one before come from one record of the source's log: a key change, rows of a `copy`?
    pub(crate) fn splits_record(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|before| self.rows.get(before));
        before.is_some_and(|before| self.rows.get(at).is_some_and(|row| row.lsn == before.lsn))
    }
}

/// A restart never goes back further than this: a connector stores its offset every few seconds.
const MEMORY: usize = 12;

impl Topics {
    /// The next offset of a partition. Now and then one is skipped: brokers and transforms leave gaps.
    pub(crate) fn offset(&mut self, topic: &str, partition: i32, gap: bool) -> i64 {
        let next = self.next.entry((topic.to_owned(), partition)).or_insert(0);
        let offset = *next + i64::from(gap);
        *next = offset + 1;
        offset
    }

    /// Remembers a transaction for a later restart.
    pub(crate) fn remember(&mut self, sent: Sent) {
        self.sent.push(sent);
        if self.sent.len() > MEMORY {
            self.sent.remove(0);
        }
    }

    /// No restart goes back to what was sent until now.
    pub(crate) fn forget(&mut self) {
        self.sent.clear();
    }

    /// The last `count` transactions, oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<Sent> {
        self.sent[self.sent.len().saturating_sub(count)..].to_vec()
    }

    /// How many transactions a restart may go back.
    pub(crate) fn remembered(&self) -> usize {
        self.sent.len()
    }
}

/// The partition of a key: the same for every event of it.
pub(crate) fn partition_of(key: &Key, partitions: i32) -> i32 {
    let hash = key
        .iter()
        .flat_map(|part| part.bytes().chain([0]))
        .fold(17_i32, |hash, byte| (hash * 31 + i32::from(byte)) % 65_521);
    hash % partitions.max(1)
}
