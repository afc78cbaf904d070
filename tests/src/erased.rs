//! What the reference merge forgets of keys that are erased, and the mirror that follows.

use milepost_job_spec::DatasetSpec;
use milepost_simulator::{Key, value};

use crate::version::{Counts, key_of};
use crate::{Database, Mirror, Reference};

impl Reference {
    /// Forgets whatever is of a key. Returns whether it was live.
    pub(crate) fn erase(&mut self, spec: &DatasetSpec, key: &Key) -> bool {
        self.closed.retain(|version| version.key != *key);
        let entries = &mut self.quarantine.0;
        entries.retain(|_, entry| entry.key.as_ref() != Some(key));
        for (row, image) in self.gone.values_mut() {
            if key_of(spec, row).as_ref() == Some(key) {
                *image = None;
            }
        }
        self.live.remove(key).is_some()
    }

    /// Keys that have or had rows, some of them only in quarantine.
    fn known_keys(&self) -> Vec<Key> {
        let closed = self.closed.iter().map(|version| &version.key);
        let entries = self.quarantine.0.values();
        let entries = entries.filter_map(|entry| entry.key.as_ref());
        let mut keys: Vec<Key> = self
            .live
            .keys()
            .chain(closed)
            .chain(entries)
            .cloned()
            .collect();
        // Such a key is none: nobody knows it.
        keys.retain(|key| key.iter().all(|text| text != value::UNCASTABLE));
        keys.sort();
        keys.dedup();
        keys
    }
}

impl Mirror<'_> {
    /// Keys of a dataset that have or had rows.
    #[must_use]
    pub fn known_keys(&self, place: usize) -> Vec<Key> {
        self.tables[place].known_keys()
    }

    /// Has the key a row that is staged and not merged?
    #[must_use]
    pub fn is_unmerged(&self, place: usize, key: &Key) -> bool {
        let spec = &self.spec.datasets[place];
        self.staged.iter().any(|row| {
            let watermark = self.watermarks.get(&(row.topic.clone(), row.partition));
            row.dataset == place
                && watermark.is_none_or(|watermark| row.offset > *watermark)
                && key_of(spec, row).as_ref() == Some(key)
        })
    }

    /// Forgets keys of a dataset, as the real erasure has done since the last call, and compares.
    ///
    /// # Panics
    /// Where the two differ.
    pub fn follow_erase(&mut self, database: &mut Database, place: usize, keys: &[Key]) {
        let spec = &self.spec.datasets[place];
        let closed = keys
            .iter()
            .filter(|key| self.tables[place].erase(spec, key));
        let counts = Counts {
            closed: closed.count(),
            ..Counts::default()
        };
        let batches = self.batches(database);
        assert!(batches.len() <= 1, "an erasure is one batch");
        assert!(
            !batches.is_empty() || counts.closed == 0,
            "an erasure of a live row is a batch"
        );
        for batch in &batches {
            assert!(batch.cut.is_empty(), "an erasure moves no watermark");
            self.compare_counts(database, batch, &spec.name, &counts);
            self.go_on(batch, 1);
        }
        self.compare(database);
    }
}
