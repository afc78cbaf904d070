use std::collections::BTreeMap;

use milepost_job_spec::{DatasetSpec, StreamSpec};

/// The columns of a row in the order of the spec, as Postgres prints them; a null is none.
pub type Image = Vec<Option<String>>;

/// The key's values in key order.
pub type Key = Vec<String>;

/// What the source's tables hold: for each dataset of the spec, in its order, the rows by key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Truth {
    /// A table per dataset.
    pub tables: Vec<BTreeMap<Key, Image>>,
}

impl Truth {
    /// Empty tables for every dataset.
    #[must_use]
    pub fn empty(spec: &StreamSpec) -> Self {
        Self {
            tables: vec![BTreeMap::new(); spec.datasets.len()],
        }
    }
}

/// Where the key's columns stand in an image, in key order.
pub(crate) fn key_places(dataset: &DatasetSpec) -> Vec<usize> {
    dataset
        .key
        .iter()
        .filter_map(|key| {
            dataset
                .columns
                .iter()
                .position(|column| column.name == *key)
        })
        .collect()
}

/// An image with the key's values at their places and nulls elsewhere: all that a delete tells for sure.
pub(crate) fn key_image(places: &[usize], key: &Key, width: usize) -> Image {
    let mut image = vec![None; width];
    for (&place, value) in places.iter().zip(key) {
        image[place] = Some(value.clone());
    }
    image
}
