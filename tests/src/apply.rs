//! What the events of a batch do to the rows of the reference merge.

use std::collections::BTreeMap;

use milepost_job_spec::DatasetSpec;
use milepost_simulator::Key;

use crate::reference_merge::Reference;
use crate::version::{Counts, Event, Version, first_time, keeps_all};

impl Reference {
    /// Applies the events of a batch, key by key.
    pub(crate) fn apply_all(
        &mut self,
        spec: &DatasetSpec,
        events: BTreeMap<Key, Vec<Event>>,
        time: i64,
        counts: &mut Counts,
    ) {
        for (key, mut events) in events {
            if !keeps_all(spec) {
                let overtaken = events.drain(..events.len().saturating_sub(1));
                overtaken.for_each(|event| {
                    event.count(event.unless_replayed("overtaken"), counts);
                });
            }
            if events.is_empty() {
                continue;
            }
            let was_live = self.live.contains_key(&key);
            counts.most = counts.most.max(events.len());
            for (at, event) in (first_time(time, events.len())..).zip(events) {
                let class = self.apply(&key, &event, at);
                event.count(class, counts);
            }
            counts.closed += usize::from(was_live && !self.live.contains_key(&key));
        }
    }

    fn apply(&mut self, key: &Key, event: &Event, dp_in: i64) -> &'static str {
        let old = self.live.get(key).cloned();
        if old.as_ref().map(|old| &old.image) == event.image.as_ref() {
            return event.unless_replayed("unchanged");
        }
        self.live.remove(key);
        let replaced = old.is_some();
        self.closed.extend(old.map(|old| old.until(dp_in)));
        let Some(image) = event.image.clone() else {
            return "deleted";
        };
        let version = Version::live(key, image, dp_in, event.source_ts);
        self.live.insert(key.clone(), version);
        if replaced { "updated" } else { "inserted" }
    }
}
