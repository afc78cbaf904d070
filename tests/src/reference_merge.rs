//! The reference merge: `merge.md` row by row, in memory, to be read beside it.

use std::collections::{BTreeMap, BTreeSet};

use milepost_job_spec::{ColumnSpec, DatasetSpec};
use milepost_simulator::{Image, Key, Op, StagedRow, value};

use crate::fence::Fences;
use crate::version::{
    Counts, Event, Version, first_time, is_key_change, keeps_all, key_of, position,
};

/// The merge table of one dataset, its fences and its quarantine.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is a table")]
pub struct Reference {
    pub live: BTreeMap<Key, Version>,
    pub closed: Vec<Version>,
    pub quarantine: Vec<(String, i32, i64)>,
    open: BTreeSet<Key>,
    fences: Fences,
}

impl Reference {
    /// Merges one batch: all its rows of the dataset, by topic, partition and offset.
    pub fn merge(&mut self, spec: &DatasetSpec, rows: &[&StagedRow], time: i64) -> Counts {
        let mut counts = Counts::default();
        let mut events: BTreeMap<Key, Vec<Event>> = BTreeMap::new();
        let mut previous: Option<(&StagedRow, Option<Image>)> = None;
        for &row in rows {
            let (before, key) = (previous.take(), key_of(spec, row));
            let known = key.as_ref().and_then(|key| match events.get(key) {
                Some(events) => events.last().and_then(|event| event.image.clone()),
                None => self.live.get(key).map(|version| version.image.clone()),
            });
            // Nothing is filled from before a row of the key that is in quarantine.
            let open = key.as_ref().is_some_and(|key| self.open.contains(key));
            let moved = before.filter(|(delete, _)| is_key_change(delete, row));
            let source = moved
                .map_or_else(|| known.clone(), |(_, image)| image)
                .filter(|_| !open);
            if self.fences.is_replay(row) {
                counts.add("replayed");
            } else if let (Some(key), Ok(image)) = (&key, filled(spec, row, source.as_ref())) {
                previous = Some((row, known.clone().filter(|_| !open)));
                self.open.remove(key);
                // What keeps one version per batch judges the last row of a key alone.
                if image == known && keeps_all(spec) {
                    counts.add("unchanged");
                } else {
                    let event = Event::new(row, image);
                    events.entry(key.clone()).or_default().push(event);
                }
            } else {
                counts.add("quarantined");
                self.quarantine.push(position(row));
                self.open.extend(key);
            }
        }
        for (key, mut events) in events {
            if !keeps_all(spec) {
                let overtaken = events.drain(..events.len() - 1);
                overtaken.for_each(|_| counts.add("overtaken"));
            }
            let was_live = self.live.contains_key(&key);
            counts.most = counts.most.max(events.len());
            for (at, event) in (first_time(time, events.len())..).zip(events) {
                counts.add(self.apply(&key, event, at));
            }
            if was_live && !self.live.contains_key(&key) {
                counts.add("closed");
            }
        }
        counts
    }

    fn apply(&mut self, key: &Key, event: Event, dp_in: i64) -> &'static str {
        let old = self.live.get(key).cloned();
        if old.as_ref().map(|old| &old.image) == event.image.as_ref() {
            return "unchanged";
        }
        self.live.remove(key);
        let replaced = old.is_some();
        self.closed.extend(old.map(|old| old.until(dp_in)));
        let Some(image) = event.image else {
            return "deleted";
        };
        let version = Version::live(key, image, dp_in, event.source_ts);
        self.live.insert(key.clone(), version);
        if replaced { "updated" } else { "inserted" }
    }
}

/// The image after the row, none after a delete; an error where a placeholder, a null or a cast forbids it.
fn filled(spec: &DatasetSpec, row: &StagedRow, from: Option<&Image>) -> Result<Option<Image>, ()> {
    let value = |(place, column): (usize, &ColumnSpec)| match &row.columns[place] {
        Some(text) if value::is_placeholder(column, text) => Ok(from.ok_or(())?[place].clone()),
        Some(text) if text == value::UNCASTABLE && column.merge_type != "text" => Err(()),
        None if !column.nullable => Err(()),
        other => Ok(other.clone()),
    };
    match row.op {
        Op::Delete => Ok(None),
        _ => spec
            .columns
            .iter()
            .enumerate()
            .map(value)
            .collect::<Result<_, _>>()
            .map(Some),
    }
}
