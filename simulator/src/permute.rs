//! Keys that change at once: one statement of a source that checks its constraint late.

use rand::Rng as _;
use rand::seq::SliceRandom as _;

use crate::source::{key_image, key_places};
use crate::{History, Image, Key, Op};

impl History {
    /// Gives some rows each the key of the next one; the last takes that of the first, or another one. The log has the rows
    /// one after the other, each as the delete of its old key and the create of its new one.
    pub(crate) fn permute(&mut self, turn: usize, dataset: usize) {
        let mut rows: Vec<(Key, Image)> = self.working.tables[dataset]
            .iter()
            .filter(|(key, _)| !self.is_locked(turn, dataset, key))
            .map(|(key, image)| (key.clone(), image.clone()))
            .collect();
        rows.shuffle(&mut self.rng);
        rows.truncate(self.rng.random_range(2..=4));
        if rows.len() < 2 {
            return;
        }
        let mut last = rows[0].0.clone();
        if self.rng.random_bool(0.3) {
            let key = self.random_key(dataset);
            let is_free = !self.working.tables[dataset].contains_key(&key)
                && !self.is_locked(turn, dataset, &key);
            if is_free {
                last = key;
            }
        }
        let places = key_places(&self.spec.datasets[dataset]);
        let mut written = Vec::new();
        let takes = rows.iter().skip(1).map(|(key, _)| key.clone());
        let takes: Vec<Key> = takes.chain([last]).collect();
        for ((old_key, old), new_key) in rows.iter().zip(takes) {
            let lsn = self.advance();
            let mut new = old.clone();
            for (place, value) in places.iter().zip(&new_key) {
                new[*place] = Some(value.clone());
            }
            let sent = self.without_unchanged(dataset, old, &new);
            let gone = key_image(&places, old_key, old.len());
            self.record(turn, dataset, Op::Delete, old_key.clone(), gone, lsn);
            self.record(turn, dataset, Op::Create, new_key.clone(), sent, lsn);
            written.push((new_key, new));
        }
        for (old_key, _) in rows {
            self.write(turn, dataset, old_key, None);
        }
        for (key, image) in written {
            self.write(turn, dataset, key, Some(image));
        }
    }
}
