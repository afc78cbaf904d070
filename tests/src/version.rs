use std::collections::BTreeMap;

use milepost_job_spec::{ColumnSpec, DatasetSpec, Strategy, Versions};
use milepost_simulator::{Image, Key, Op, StagedRow, value};

/// A version of a row; times in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The values of the key.
    pub key: Key,
    /// When it came in.
    pub dp_in: i64,
    /// When it was replaced or deleted; none while it is live.
    pub dp_out: Option<i64>,
    /// Commit time at the source of the event that made it; none for a snapshot row.
    pub dp_source_ts: Option<i64>,
    /// All columns, in the order of the spec.
    pub image: Image,
}

impl Version {
    pub(crate) fn live(key: &Key, image: Image, dp_in: i64, dp_source_ts: Option<i64>) -> Self {
        Self {
            key: key.clone(),
            dp_in,
            dp_out: None,
            dp_source_ts,
            image,
        }
    }

    pub(crate) fn until(self, dp_out: i64) -> Self {
        Self {
            dp_out: Some(dp_out),
            ..self
        }
    }
}

/// The counts of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many staged rows were `inserted`, `updated`, …: every row is of exactly one class; zeros are left out.
    pub classes: BTreeMap<&'static str, usize>,
    /// How many rows were live before the batch and not after.
    pub closed: usize,
    /// How many rows were closed because a complete snapshot does not have them.
    pub healed: usize,
    /// The most effective events of one key, which the batch time makes room for.
    pub most: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, class: &'static str) {
        *self.classes.entry(class).or_default() += 1;
    }

    /// How many staged rows the batch had.
    #[must_use]
    pub fn staged(&self) -> usize {
        self.classes.values().sum()
    }
}

/// What a staged row does to its key: the image after it, none after a delete.
pub(crate) struct Event {
    pub(crate) image: Option<Image>,
    pub(crate) source_ts: Option<i64>,
    doubtful: bool,
    /// It is what a truncate or a snapshot comes to, and no staged row.
    made: bool,
}

impl Event {
    pub(crate) fn new(row: &StagedRow, image: Option<Image>, doubtful: bool) -> Self {
        let source_ts = row.source_ts_us.filter(|_| row.op != Op::Read);
        Self {
            image,
            source_ts,
            doubtful,
            made: false,
        }
    }

    /// The delete of a key that a truncate comes to.
    pub(crate) fn of_truncate(row: &StagedRow) -> Self {
        Self {
            made: true,
            ..Self::new(row, None, false)
        }
    }

    /// Counts what became of a staged row.
    pub(crate) fn count(&self, class: &'static str, counts: &mut Counts) {
        if !self.made {
            counts.add(class);
        }
    }

    /// The end of a row that a complete snapshot does not have.
    pub(crate) fn missing() -> Self {
        Self {
            image: None,
            source_ts: None,
            doubtful: false,
            made: true,
        }
    }

    /// The class of a row that made no version: one that might be a replay was one.
    pub(crate) fn unless_replayed(&self, class: &'static str) -> &'static str {
        if self.doubtful { "replayed" } else { class }
    }
}

/// In its place a truncate deletes every key that is live then.
pub(crate) fn truncate(
    live: &BTreeMap<Key, Version>,
    row: &StagedRow,
    events: &mut BTreeMap<Key, Vec<Event>>,
) {
    for key in live.keys() {
        events.entry(key.clone()).or_default();
    }
    for (key, events) in events {
        let is_live = match events.last() {
            Some(event) => event.image.is_some(),
            None => live.contains_key(key),
        };
        events.extend(is_live.then(|| Event::of_truncate(row)));
    }
}

/// Is every effective event a version?
pub(crate) fn keeps_all(spec: &DatasetSpec) -> bool {
    spec.strategy
        == (Strategy::Milestoned {
            versions: Versions::All,
        })
}

/// The time of the first of `events` events of a key, the last of which happens at batch time: 1 µs lies between two.
pub(crate) fn first_time(batch_time: i64, events: usize) -> i64 {
    batch_time + 1 - i64::try_from(events).unwrap_or(i64::MAX)
}

/// The key's values in key order; none where one is null.
pub(crate) fn key_of(spec: &DatasetSpec, row: &StagedRow) -> Option<Key> {
    let place = |column| spec.columns.iter().position(|other| other == column);
    spec.key_columns()
        .map(|column| row.columns[place(column)?].clone())
        .collect()
}

/// The key of a row that the merge knows: none where a value does not cast either.
pub(crate) fn known_key(spec: &DatasetSpec, row: &StagedRow) -> Option<Key> {
    let casts = |(column, text): (&ColumnSpec, &String)| {
        text != value::UNCASTABLE || column.merge_type == "text"
    };
    key_of(spec, row).filter(|key| spec.key_columns().zip(key).all(casts))
}

/// Where the row stands in its topic, as quarantine keeps it.
pub(crate) fn position(row: &StagedRow) -> (String, i32, i64) {
    (row.topic.clone(), row.partition, row.offset)
}

/// Is the row of the same change as that delete: the other half of a key change, or the delete once more?
pub(crate) fn is_one_change(delete: &StagedRow, row: &StagedRow) -> bool {
    let transaction = |row: &StagedRow| {
        let digits = row
            .transaction_id
            .as_ref()
            .and_then(|id| id.split(':').next());
        (row.last_commit, row.lsn, digits.map(str::to_owned))
    };
    row.lsn.is_some() && transaction(delete) == transaction(row)
}
