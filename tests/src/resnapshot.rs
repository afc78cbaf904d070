//! What a complete snapshot does not have, for the reference merge.

use std::collections::{BTreeMap, BTreeSet};

use milepost_job_spec::{DatasetSpec, OnResnapshot};
use milepost_simulator::{Key, Op, StagedRow};

use crate::Reference;
use crate::version::Event;

/// The keys that had a row since a snapshot began. A dataset has one partition where that matters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// Is the row before one of a snapshot that goes on?
    goes_on: bool,
    open: BTreeSet<Key>,
    /// Of the last snapshot that ended in the batch.
    pub(crate) ended: Option<BTreeSet<Key>>,
}

impl Snapshot {
    pub(crate) fn see(&mut self, row: &StagedRow, key: Option<&Key>) {
        let taken = row.op == Op::Read && row.snapshot != "incremental";
        let ends = taken && row.snapshot.starts_with("last");
        if taken && (!self.goes_on || row.snapshot.starts_with("first")) {
            self.open.clear();
        }
        self.open.extend(key.cloned());
        if let Some(ended) = &mut self.ended {
            ended.extend(key.cloned());
        }
        if ends {
            self.ended = Some(self.open.clone());
        }
        self.goes_on = taken && !ends;
    }
}

impl Reference {
    /// Ends the keys that the snapshot which ended in the batch does not have, where the dataset's policy says so.
    pub(crate) fn heal(
        &mut self,
        spec: &DatasetSpec,
        events: &mut BTreeMap<Key, Vec<Event>>,
    ) -> usize {
        let Some(present) = self.snapshot.ended.take() else {
            return 0;
        };
        if spec.policy.resnapshot != OnResnapshot::Heal {
            return 0;
        }
        let is_live = |key: &Key| match events.get(key).and_then(|own| own.last()) {
            Some(event) => event.image.is_some(),
            None => self.live.contains_key(key),
        };
        let known: BTreeSet<&Key> = self.live.keys().chain(events.keys()).collect();
        let missing: BTreeSet<Key> = known
            .into_iter()
            .filter(|key| {
                is_live(key) && !present.contains(*key) && !self.quarantine.is_open(Some(*key))
            })
            .cloned()
            .collect();
        for key in &missing {
            events
                .entry(key.clone())
                .or_default()
                .push(Event::missing());
        }
        missing.len()
    }
}
