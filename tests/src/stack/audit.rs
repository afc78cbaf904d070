//! The truth of a history: what the source's own triggers wrote down, one row per version in the order of commits.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use milepost_job_spec::DatasetSpec;
use milepost_simulator::{Image, Key};

use super::Pipeline;
use super::quiet::source_table;
use crate::{Database, Version, compare};

/// The schema of the records at the source; nobody captures it.
const SCHEMA: &str = "audit";
/// So many keys that differ are told.
const SHOWN: usize = 3;

/// Records of the source's tables since a moment at which staging had everything.
///
/// Writers of one key wait for each other, so the numbers that triggers give are the order of commits for every key.
#[derive(Debug)]
pub struct Audit {
    datasets: Vec<DatasetSpec>,
}

/// What happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Is(Image),
    Gone,
}

/// Where a history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    WithTheRecord,
    Later,
}

impl Audit {
    /// Begins to record every milestoned dataset of the pipeline; what the tables hold now is each key's first version.
    ///
    /// Nobody may write meanwhile, and the connector's snapshot is either complete or not begun.
    #[must_use]
    pub fn begin(pipeline: &mut Pipeline<'_>) -> Self {
        let streams = pipeline.streams();
        let all = streams.into_iter().flat_map(|spec| &spec.datasets);
        let datasets: Vec<DatasetSpec> = all
            .filter(|dataset| dataset.strategy.is_milestoned())
            .cloned()
            .collect();
        let source = &mut pipeline.source;
        source.run(&format!(
            "create schema {SCHEMA}; create sequence {SCHEMA}.number"
        ));
        for dataset in &datasets {
            record(source, dataset);
        }
        Self { datasets }
    }

    /// Demands that each merge table holds exactly the recorded versions of every key, in their order, and live rows only
    /// where the source has them. Everything has to be merged.
    ///
    /// # Errors
    /// If a version is missing, false, doubled or out of order: with the first keys that differ.
    pub fn check(&self, pipeline: &mut Pipeline<'_>) -> Result<()> {
        self.compare(pipeline, Beginning::WithTheRecord)
    }

    /// The same of datasets that came in after their record began: each history is the end of its record.
    ///
    /// # Errors
    /// If a version is missing, false, doubled or out of order: with the first keys that differ.
    pub fn check_end(&self, pipeline: &mut Pipeline<'_>) -> Result<()> {
        self.compare(pipeline, Beginning::Later)
    }

    fn compare(&self, pipeline: &mut Pipeline<'_>, beginning: Beginning) -> Result<()> {
        for dataset in &self.datasets {
            let expected = recorded(&mut pipeline.source, dataset);
            let merged = compare::versions(&mut pipeline.platform, dataset);
            let differences = differences(expected, merged, beginning);
            ensure!(
                differences.is_empty(),
                "history of `{}` is not what the source recorded, for {} keys:\n{}",
                dataset.name,
                differences.len(),
                differences[..differences.len().min(SHOWN)].join("\n")
            );
        }
        Ok(())
    }
}

/// The table of a dataset's records.
fn records(dataset: &DatasetSpec) -> String {
    format!("{SCHEMA}.{}", dataset.staging.name.quoted())
}

/// The dataset's columns at the source, behind a prefix.
fn columns(dataset: &DatasetSpec, prefix: &str) -> String {
    let names = dataset.columns.iter();
    let names: Vec<String> = names
        .map(|column| format!("{prefix}{}", column.staged_as.quoted()))
        .collect();
    names.join(", ")
}

fn key(dataset: &DatasetSpec, prefix: &str) -> String {
    let names = dataset.key_columns();
    let names: Vec<String> = names
        .map(|column| format!("{prefix}{}", column.staged_as.quoted()))
        .collect();
    names.join(", ")
}

fn record(source: &mut Database, dataset: &DatasetSpec) {
    let (table, records) = (source_table(dataset), records(dataset));
    let own = columns(dataset, "");
    let (old, new) = (columns(dataset, "old."), columns(dataset, "new."));
    let (old_key, new_key) = (key(dataset, "old."), key(dataset, "new."));
    source.run(&format!(
        "create table {records} as select 0::bigint as audit_number, 'i'::text as audit_op, {own} from {table};
         alter table {records} alter audit_number set default nextval('{SCHEMA}.number');
         create function {records}() returns trigger language plpgsql security definer as $audit$
         begin
             if tg_op = 'DELETE' or (tg_op = 'UPDATE' and ({old_key}) is distinct from ({new_key})) then
                 insert into {records} (audit_op, {own}) values ('d', {old});
             end if;
             if tg_op <> 'DELETE' then
                 insert into {records} (audit_op, {own}) values ('i', {new});
             end if;
             return null;
         end $audit$;
         create trigger audit after insert or update or delete on {table}
             for each row execute function {records}()"
    ));
}

/// Every key's events in their order.
fn recorded(source: &mut Database, dataset: &DatasetSpec) -> BTreeMap<Key, Vec<Event>> {
    let sql = format!(
        "select audit_op, {} from {} order by audit_number",
        columns(dataset, ""),
        records(dataset)
    );
    let places: Vec<usize> = dataset
        .key_columns()
        .filter_map(|key| dataset.columns.iter().position(|column| column == key))
        .collect();
    let mut events: BTreeMap<Key, Vec<Event>> = BTreeMap::new();
    for mut row in source.rows(&sql) {
        let image = row.split_off(1);
        let part = |&place: &usize| image[place].clone().expect("a key has no null");
        let key: Key = places.iter().map(part).collect();
        let event = match row[0].as_deref() {
            Some("d") => Event::Gone,
            _ => Event::Is(image),
        };
        events.entry(key).or_default().push(event);
    }
    events
}

/// What a key's history must be: without what changes nothing.
fn effective(events: Vec<Event>) -> Vec<Event> {
    let mut history: Vec<Event> = Vec::new();
    for event in events {
        let changes = match history.last() {
            Some(last) => *last != event,
            None => event != Event::Gone,
        };
        if changes {
            history.push(event);
        }
    }
    history
}

/// The same from versions in the order of their times.
fn merged_events(versions: &[Version]) -> Vec<Event> {
    let mut history = Vec::new();
    for (place, version) in versions.iter().enumerate() {
        history.push(Event::Is(version.image.clone()));
        let next = versions.get(place + 1).map(|next| next.dp_in);
        if version.dp_out.is_some() && version.dp_out != next {
            history.push(Event::Gone);
        }
    }
    history
}

fn differences(
    expected: BTreeMap<Key, Vec<Event>>,
    merged: Vec<Version>,
    beginning: Beginning,
) -> Vec<String> {
    let mut found: BTreeMap<Key, Vec<Version>> = BTreeMap::new();
    for version in merged {
        found.entry(version.key.clone()).or_default().push(version);
    }
    let mut differences = Vec::new();
    for (key, events) in expected {
        let expected = effective(events);
        let versions = found.remove(&key).unwrap_or_default();
        let events = merged_events(&versions);
        let is_true = match beginning {
            Beginning::WithTheRecord => events == expected,
            // What was gone before is nowhere.
            Beginning::Later if events.is_empty() => expected.last() == Some(&Event::Gone),
            Beginning::Later => expected.ends_with(&events),
        };
        if !is_true {
            differences.push(format!(
                "key {key:?}\n  source: {}\n  merged: {}",
                told(&expected),
                told(&events)
            ));
        } else if !versions.is_sorted_by_key(|version| version.dp_source_ts) {
            differences.push(format!("key {key:?}: times of the source are not in order"));
        }
    }
    for (key, versions) in found {
        differences.push(format!(
            "key {key:?}\n  source: never had it\n  merged: {}",
            told(&merged_events(&versions))
        ));
    }
    differences
}

fn told(events: &[Event]) -> String {
    let event = |event: &Event| match event {
        Event::Gone => "deleted".to_owned(),
        Event::Is(image) => {
            let value = |value: &Option<String>| match value {
                None => "∅".to_owned(),
                Some(text) => text.chars().take(24).collect(),
            };
            let values: Vec<String> = image.iter().map(value).collect();
            format!("({})", values.join(", "))
        }
    };
    let events: Vec<String> = events.iter().map(event).collect();
    format!("{} versions: {}", events.len(), events.join(" → "))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn is(text: &str) -> Event {
        Event::Is(vec![Some("1".to_owned()), Some(text.to_owned())])
    }

    fn version(text: &str, dp_in: i64, dp_out: Option<i64>) -> Version {
        let Event::Is(image) = is(text) else {
            unreachable!("it is one")
        };
        Version {
            key: vec!["1".to_owned()],
            dp_in,
            dp_out,
            dp_source_ts: Some(dp_in),
            image,
        }
    }

    fn source() -> BTreeMap<Key, Vec<Event>> {
        // The second `b` changes nothing.
        let events = [is("a"), is("b"), is("b"), Event::Gone, is("b"), is("a")];
        [(vec!["1".to_owned()], events.into())].into()
    }

    fn merged() -> Vec<Version> {
        vec![
            version("a", 10, Some(20)),
            version("b", 20, Some(30)),
            version("b", 31, Some(40)),
            version("a", 40, None),
        ]
    }

    #[test]
    fn a_true_history_has_no_difference() {
        assert_eq!(
            differences(source(), merged(), Beginning::WithTheRecord),
            Vec::<String>::new()
        );
    }

    #[test_case(|merged| { merged.remove(1); }; "a lost version")]
    #[test_case(|merged| { merged.pop(); }; "a lost last version")]
    #[test_case(|merged| { merged.remove(0); }; "a lost first version")]
    #[test_case(|merged| merged.clear(); "a lost key")]
    #[test_case(|merged| merged[1].dp_out = Some(31); "a lost delete")]
    #[test_case(|merged| merged[0].dp_out = Some(15); "a false delete")]
    #[test_case(|merged| merged[3].dp_out = Some(50); "a false end")]
    #[test_case(|merged| merged[2] = version("c", 31, Some(40)); "a false value")]
    #[test_case(|merged| merged.insert(1, version("a", 12, Some(20))); "a doubled version")]
    #[test_case(|merged| { merged.swap(0, 3); }; "another order")]
    #[test_case(|merged| merged[1].dp_source_ts = Some(1); "an older time")]
    #[test_case(|merged| merged.push(Version { key: vec!["2".to_owned()], ..version("a", 1, None) }); "a key from nowhere")]
    fn a_false_history_is_found(spoil: fn(&mut Vec<Version>)) {
        let mut versions = merged();
        spoil(&mut versions);
        assert_eq!(
            differences(source(), versions, Beginning::WithTheRecord).len(),
            1
        );
    }

    #[test]
    fn a_history_may_begin_later_but_not_end_earlier() {
        let later = |merged| differences(source(), merged, Beginning::Later).len();
        assert_eq!(later(merged()), 0);
        assert_eq!(later(merged().split_off(2)), 0);
        assert_eq!(later(merged()[..3].to_vec()), 1);
        assert_eq!(later(vec![merged().remove(3), version("a", 60, None)]), 1);
        assert_eq!(later(Vec::new()), 1);
    }
}
