//! What the reference merge sets aside, and how it tries it again.

use std::collections::BTreeMap;

use milepost_job_spec::{DatasetSpec, Strategy};
use milepost_simulator::{Key, StagedRow};

use crate::filled::filled;
use crate::reference_merge::Reference;
use crate::version::{Counts, Event, keeps_all, key_of, position};

/// A row in quarantine.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The row.
    pub row: StagedRow,
    /// Its key; none where one is null.
    pub key: Option<Key>,
    /// As the control table has it.
    pub status: &'static str,
}

/// The rows of a dataset that did not fit, by topic, partition and offset.
#[derive(Debug, Clone, Default)]
pub struct Quarantine(pub BTreeMap<(String, i32, i64), Entry>);

impl Quarantine {
    /// Was nothing ever set aside?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Has the key a row that nothing closed yet?
    pub(crate) fn is_open(&self, key: Option<&Key>) -> bool {
        let mut entries = self.0.values();
        key.is_some() && entries.any(|entry| entry.status == "open" && entry.key.as_ref() == key)
    }

    /// A later complete row of the key closes what is open.
    pub(crate) fn supersede(&mut self, key: &Key) {
        for entry in self.0.values_mut() {
            if entry.status == "open" && entry.key.as_ref() == Some(key) {
                entry.status = "superseded";
            }
        }
    }

    /// A truncate closes whatever is open.
    pub(crate) fn supersede_all(&mut self) {
        let open = self.0.values_mut().filter(|entry| entry.status == "open");
        open.for_each(|entry| entry.status = "superseded");
    }

    pub(crate) fn set_aside(&mut self, row: &StagedRow, key: Option<Key>) {
        let entry = Entry {
            row: row.clone(),
            key,
            status: "open",
        };
        self.0.insert(position(row), entry);
    }

    /// Closes all open rows as replayed, and returns them in position order.
    fn take_open(&mut self) -> Vec<StagedRow> {
        let open = self.0.values_mut().filter(|entry| entry.status == "open");
        open.map(|entry| {
            entry.status = "replayed";
            entry.row.clone()
        })
        .collect()
    }
}

impl Reference {
    /// Merges the open rows of the quarantine as one batch, in position order. The fence has nothing to say of them: none was a
    /// replay when it came.
    pub fn replay(&mut self, spec: &DatasetSpec, time: i64) -> Counts {
        let rows = self.quarantine.take_open();
        let mut counts = Counts::default();
        if spec.strategy == Strategy::Append {
            for row in &rows {
                self.keep(spec, row, time, &mut counts);
            }
            return counts;
        }
        let mut events: BTreeMap<Key, Vec<Event>> = BTreeMap::new();
        for row in rows {
            let key = key_of(spec, &row);
            let known = key.as_ref().and_then(|key| match events.get(key) {
                Some(events) => events.last().and_then(|event| event.image.clone()),
                None => self.live.get(key).map(|version| version.image.clone()),
            });
            let source = known
                .clone()
                .filter(|_| !self.quarantine.is_open(key.as_ref()));
            if let (Some(key), Ok(image)) = (&key, filled(spec, &row, source.as_ref())) {
                self.quarantine.supersede(key);
                let event = Event::new(&row, image, false);
                if event.image == known && keeps_all(spec) {
                    counts.add("unchanged");
                } else {
                    events.entry(key.clone()).or_default().push(event);
                }
            } else {
                counts.add("quarantined");
                self.quarantine.set_aside(&row, key);
            }
        }
        self.apply_all(spec, events, time, &mut counts);
        counts
    }
}
