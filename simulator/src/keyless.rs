//! Datasets without a key: what is different about them.

use rand::Rng as _;

use crate::topic::partition_of;
use crate::{History, Image, Key};

impl History {
    pub(crate) fn is_keyless(&self, dataset: usize) -> bool {
        self.spec.datasets[dataset].key.is_empty()
    }

    pub(crate) fn has_keyless(&self) -> bool {
        self.spec
            .datasets
            .iter()
            .any(|dataset| dataset.key.is_empty())
    }

    /// The number by which the source finds the row, like the place of a row in its file.
    pub(crate) fn hidden_key(&mut self) -> Key {
        let keys = self.settings.keys.max(1);
        vec![self.rng.random_range(0..keys).to_string()]
    }

    /// At times the rows of one record are equal.
    pub(crate) fn equal_image(&mut self, dataset: usize, first: Option<&Image>) -> Option<Image> {
        let first = first.filter(|_| self.spec.datasets[dataset].key.is_empty())?;
        self.rng.random_bool(0.5).then(|| first.clone())
    }

    /// The partition of a key; without one all events are in one, or nothing would tell their order.
    pub(crate) fn partition(&self, dataset: usize, key: &Key) -> i32 {
        if self.is_keyless(dataset) {
            return 0;
        }
        partition_of(key, self.settings.partitions)
    }
}
