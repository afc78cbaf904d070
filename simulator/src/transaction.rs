use std::collections::{BTreeMap, BTreeSet};

use crate::{Image, Key, Op};

/// A transaction of the source that is still open: what it wrote, and how to undo it.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(crate) id: u64,
    pub(crate) changes: Vec<Change>,
    /// What each row held before this transaction; the rows are locked by it until it ends.
    pub(crate) before: BTreeMap<(usize, Key), Option<Image>>,
    /// The tables that it truncated: nobody else writes to them until it ends.
    pub(crate) truncated: BTreeSet<usize>,
}

/// One change, as logical decoding will tell it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) dataset: usize,
    pub(crate) op: Op,
    pub(crate) key: Key,
    pub(crate) columns: Image,
    pub(crate) lsn: u64,
}

impl Transaction {
    pub(crate) const fn begin(id: u64) -> Self {
        Self {
            id,
            changes: Vec::new(),
            before: BTreeMap::new(),
            truncated: BTreeSet::new(),
        }
    }

    /// Is the row locked by this transaction?
    pub(crate) fn holds(&self, dataset: usize, key: &Key) -> bool {
        self.truncated.contains(&dataset) || self.before.contains_key(&(dataset, key.clone()))
    }

    /// Has it written to the table?
    pub(crate) fn writes_to(&self, dataset: usize) -> bool {
        self.truncated.contains(&dataset) || self.before.keys().any(|(own, _)| *own == dataset)
    }
}
