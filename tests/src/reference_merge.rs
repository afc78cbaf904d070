//! The reference merge: `merge.md` row by row, in memory, to be read beside it.

use std::collections::BTreeMap;

use milepost_job_spec::{DatasetSpec, OnTruncate, Strategy};
use milepost_simulator::{Image, Key, Op, StagedRow};

use crate::appended::Deliveries;
use crate::fence::{Fences, Standing};
use crate::filled::filled;
use crate::quarantine::Quarantine;
use crate::resnapshot::Snapshot;
use crate::taken::{in_source_order, settle};
use crate::version::{Counts, Event, Version, keeps_all, key_of, known_key};
use crate::version::{is_one_change, truncate};

/// Topic, partition, row position.
pub(crate) type Place = (String, i32, Option<u64>);

/// The merge table of one dataset, its fences and its quarantine.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is a table")]
pub struct Reference {
    pub live: BTreeMap<Key, Version>,
    pub closed: Vec<Version>,
    /// Of a dataset without a key: its rows, each with its operation as a last column.
    pub appended: Vec<Version>,
    pub quarantine: Quarantine,
    pub(crate) deliveries: Deliveries,
    fences: Fences,
    /// The last row of the batch before.
    last: Option<StagedRow>,
    /// The deletes by their place at the source, with what they took: a key change may go on in the next batch.
    pub(crate) gone: BTreeMap<Place, (StagedRow, Option<Image>)>,
    pub(crate) snapshot: Snapshot,
}

impl Reference {
    /// Merges one batch: all its rows of the dataset, by topic, partition and offset.
    pub fn merge(&mut self, spec: &DatasetSpec, rows: &[&StagedRow], time: i64) -> Counts {
        if spec.strategy == Strategy::Append {
            return self.append(spec, rows, time);
        }
        self.fences.begin_batch();
        let mut counts = Counts::default();
        let mut events: BTreeMap<Key, Vec<Event>> = BTreeMap::new();
        let last = std::mem::replace(&mut self.last, rows.last().map(|row| (*row).clone()));
        let judge = |row: &&StagedRow| self.fences.judge(row, known_key(spec, row).as_ref());
        let mut standings: Vec<Standing> = rows.iter().map(judge).collect();
        settle(spec, &self.live, &self.fences, rows, &mut standings);
        for place in in_source_order(spec, &self.live, last.as_ref(), rows, &standings) {
            let (row, standing) = (rows[place], standings[place]);
            let key = key_of(spec, row);
            self.snapshot.see(row, key.as_ref());
            let change = (row.topic.clone(), row.partition, row.lsn);
            let known = key.as_ref().and_then(|key| match events.get(key) {
                Some(events) => events.last().and_then(|event| event.image.clone()),
                None => self.live.get(key).map(|version| version.image.clone()),
            });
            // Nothing is filled from before a row of the key that is in quarantine.
            let open = self.quarantine.is_open(key.as_ref());
            // A create takes what the delete of its key change took; a redelivered delete takes nothing more.
            let gone = self.gone.get(&change);
            let gone = gone.filter(|(gone, _)| is_one_change(gone, row));
            let moved = gone.and_then(|(_, image)| image.clone());
            let source = match row.op {
                Op::Create => moved.or_else(|| known.clone()),
                Op::Delete => known.clone().or(moved),
                Op::Update | Op::Read | Op::Truncate => known.clone(),
            }
            .filter(|_| !open);
            if standing == Standing::Replay {
                counts.add("replayed");
            } else if row.op == Op::Truncate {
                counts.add("truncate");
                if spec.policy.truncate == OnTruncate::CloseAll {
                    truncate(&self.live, row, &mut events);
                    self.quarantine.supersede_all();
                }
            } else if let (Some(key), Ok(image)) = (&key, filled(spec, row, source.as_ref())) {
                if row.op == Op::Delete {
                    self.gone.insert(change, (row.clone(), source));
                }
                self.quarantine.supersede(key);
                let event = Event::new(row, image, standing == Standing::Doubtful);
                // What keeps one version per batch judges the last row of a key alone.
                if event.image == known && keeps_all(spec) {
                    counts.add(event.unless_replayed("unchanged"));
                } else {
                    events.entry(key.clone()).or_default().push(event);
                }
            } else {
                counts.add("quarantined");
                self.quarantine.set_aside(row, key);
            }
        }
        counts.healed = self.heal(spec, &mut events);
        self.apply_all(spec, events, time, &mut counts);
        counts
    }
}
