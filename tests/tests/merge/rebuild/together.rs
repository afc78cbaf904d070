//! Commands that change or remove what others rely on, one after another.

use std::thread::sleep;
use std::time::Duration;

use acceptance::{Job, Run};

use super::{ALL, Event, LIVE, People, SNAPSHOT, event};
use crate::trim::{age, trim};

impl People {
    /// Erases keys, with tables that were kept aside gone: an erasure is refused while they may have them.
    fn erase(&mut self, keys: &[&str]) -> Run {
        for table in self.kept().split_whitespace() {
            self.database.run(&format!("drop table main.{table}"));
        }
        let arguments = keys.iter().flat_map(|pair| ["--key", pair]);
        Job::erase(self.database.url(), &self.spec, "people")
            .args(arguments)
            .args(["--yes"])
            .run()
    }

    fn migrate(&self, more: &[&str]) -> Run {
        Job::new(self.database.url())
            .args(["migrate-tables", "--platform", "main", "--store", "shop"])
            .args(more.iter().copied())
            .run()
    }

    /// Converts the table to another strategy, by name.
    fn convert(&mut self, strategy: milepost_job_spec::Strategy, more: &[&str]) {
        let key: Vec<String> = self.spec.datasets[0]
            .key
            .iter()
            .map(ToString::to_string)
            .collect();
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        self.spec = super::people(strategy, &key);
        let run = self.publish();
        assert_eq!(run.code, 1, "{run}");
        Job::new(self.database.url())
            .args(["reconcile-views"])
            .succeed();
        let plan = self.migrate(more);
        let digest = plan
            .stdout
            .split("--execute ")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next())
            .unwrap_or_else(|| panic!("{plan}"))
            .trim_matches('`')
            .to_owned();
        let run = self.migrate(&[more, &["--execute", &digest]].concat());
        assert_eq!(run.code, 0, "{run}");
        let run = self.publish();
        assert_eq!(run.code, 0, "{run}");
        self.is_clean();
    }

    fn trimmed(&mut self) -> String {
        let run = trim(&self.database, &[]);
        assert_eq!(run.code, 0, "{run}");
        self.database.value(
            "select coalesce(string_agg(__connect_offset::text, ' ' order by __connect_offset), '') from main_staging.shop__people",
        )
    }

    fn open(&mut self) -> String {
        self.database
            .value("select coalesce(string_agg(\"offset\" || ' ' || reason, ', '), '') from milepost.quarantine where status = 'open'")
    }
}

#[test]
fn staging_is_trimmed_although_keys_are_erased_in_between() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    age(&mut people.database);
    assert_eq!(people.erase(&["id=2"]).code, 0);
    assert_eq!(people.trimmed(), "2");
    people.is_clean();
}

#[test]
fn staging_is_trimmed_although_a_table_is_migrated_in_between() {
    let mut people = People::of(LIVE, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    age(&mut people.database);
    people.convert(ALL, &[]);
    assert_eq!(people.trimmed(), "2");
}

#[test]
fn staging_is_trimmed_although_a_table_is_made_anew_in_between() {
    let mut people = People::of(LIVE, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    age(&mut people.database);
    people.rebuilt("source");
    assert_eq!(people.trimmed(), "2");
    people.is_clean();
}

#[test]
fn rows_that_were_trimmed_under_a_shorter_plan_are_no_snapshot() {
    let mut people = People::of(LIVE, &["id"]);
    // An open entry has the first and last row of a snapshot spared, and nothing between them.
    people.stage(&[event("u", 9, "old", "-")]);
    people.stage(&SNAPSHOT);
    people.stage(&[event("u", 1, "an2", "-")]);
    let live = people.merged();
    people
        .database
        .run("update milepost.batches set finished_at = finished_at - interval '1 hour'");
    people.spec.limits.staged_seconds = 60;
    assert_eq!(people.publish().code, 0);
    assert_eq!(people.trimmed(), "0 1 3 4");
    people.spec.limits.staged_seconds = 7 * 86_400;
    assert_eq!(people.publish().code, 0);
    let run = people.rebuild("staging", &["--yes"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("may be trimmed"), "{run}");
    assert_eq!(people.live(), live);
    // A later one is whole.
    people.stage(&SNAPSHOT);
    let live = people.merged();
    people.rebuilt("staging");
    assert_eq!(people.merged(), live);
    people.is_clean();
}

#[test]
fn tables_are_converted_and_made_anew_in_any_order() {
    let mut people = People::of(LIVE, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    for _ in 0..2 {
        people.convert(ALL, &[]);
        people.stage(&[event("u", 1, "an2", "-")]);
        people.merged();
        people.rebuilt("staging");
        people.merged();
        people.is_clean();
        people.convert(LIVE, &["--drop-history"]);
        people.rebuilt("staging");
        people.convert(ALL, &[]);
        assert_eq!(people.status(), "snapshot");
        people.merged();
        assert_eq!(people.status(), "healthy");
        let run = people.erase(&["id=2"]);
        assert_eq!(run.code, 0, "{run}");
        people.convert(LIVE, &["--drop-history"]);
        people.is_clean();
        people.stage(&SNAPSHOT);
        assert_eq!(people.merged(), "1r1101ann:a1 2r0102bob:b1 3r1103cid:c1");
    }
}

const SECOND: [Event; 2] = [
    ("r", 1, "ann", "a1", "first"),
    ("r", 2, "bob", "b1", "true"),
];

#[test]
fn a_table_is_converted_while_a_snapshot_is_open() {
    let mut people = People::of(LIVE, &["id"]);
    people.spec.datasets[0].policy.resnapshot = milepost_job_spec::OnResnapshot::Heal;
    people.spec.datasets[0].policy.max_missing_percent = 100;
    people.publish();
    people.stage(&SNAPSHOT);
    people.merged();
    people.stage(&SECOND);
    people.stage(&[event("u", 7, "gil", "-")]);
    people.stage(&SECOND);
    people.merged();
    people.convert(ALL, &[]);
    people.spec.datasets[0].policy.resnapshot = milepost_job_spec::OnResnapshot::Heal;
    people.spec.datasets[0].policy.max_missing_percent = 100;
    assert_eq!(people.publish().code, 0);
    people.stage(&[("r", 4, "dan", "d1", "last")]);
    assert_eq!(people.merged(), "1r1101ann:a1 2r0102bob:b1 4r0104dan:d1");
    people.convert(LIVE, &["--drop-history"]);
    people.is_clean();
}

#[test]
fn while_a_stream_is_held_no_command_changes_anything() {
    let mut people = People::of(LIVE, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    people.spec = super::people(ALL, &["id"]);
    assert_eq!(people.publish().code, 1);
    let plan = people.migrate(&[]);
    let digest = plan
        .stdout
        .split("--execute ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or_else(|| panic!("{plan}"))
        .to_owned();
    let mut other = people.database.again();
    other.run("begin; select from milepost.streams for no key update");
    let run = people.migrate(&["--execute", &digest]);
    assert_eq!(run.code, 75, "{run}");
    let run = people.rebuild("staging", &["--yes"]);
    assert_eq!(run.code, 75, "{run}");
    other.run("rollback");
    // Another model in between: the plan is another one.
    people.spec = super::people(LIVE, &["id"]);
    assert_eq!(people.publish().code, 0);
    let run = people.migrate(&["--execute", &digest]);
    assert_eq!(run.code, 2, "{run}");
    people.is_clean();
    let mut other = people.database.again();
    other.run("begin; select from milepost.streams for no key update");
    assert_eq!(people.erase(&["id=1"]).code, 75);
}

#[test]
fn a_key_is_erased_while_a_table_is_filled() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&[event("u", 8, "old", "o1"), event("u", 9, "old", "o1")]);
    people.stage(&SNAPSHOT);
    people.stage(&[
        event("u", 1, "an2", "-"),
        event("u", 2, "bo2", "-"),
        event("u", 2, "bo3", "-"),
    ]);
    people.merged();
    people.rebuilt("staging");
    let run = people.erase(&["id=2"]);
    assert_eq!(run.code, 1, "{run}");
    // A row that stands before the snapshot, at the watermark.
    let run = people.erase(&["id=9"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(people.status(), "snapshot");
    people.merged();
    let run = people.erase(&["id=2"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(people.status(), "healthy");
    // Delivered again, all of it.
    let next = people.next;
    people.next = 0;
    people.stage(&[event("u", 8, "old", "o1"), event("u", 9, "old", "o1")]);
    people.stage(&SNAPSHOT);
    people.stage(&[
        event("u", 1, "an2", "-"),
        event("u", 2, "bo2", "-"),
        event("u", 2, "bo3", "-"),
    ]);
    assert_eq!(people.next, next);
    assert_eq!(people.merged(), "1r1101an2:a1 3r1103cid:c1");
    people.is_clean();
    age(&mut people.database);
    let run = people.erase(&["id=2"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(people.trimmed(), "7");
    people.stage(&[event("u", 1, "an3", "-"), event("u", 2, "bo4", "b")]);
    assert_eq!(people.merged(), "1r1101an3:a1 2r0102bo4:b 3r1103cid:c1");
    people.is_clean();
}

#[test]
fn the_horizon_of_a_conversion_or_rebuild_never_goes_back() {
    let mut people = People::of(LIVE, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    people.convert(ALL, &[]);
    people.spec.datasets[0].policy.history_seconds = Some(86_400);
    assert_eq!(people.publish().code, 0);
    let horizon = |people: &mut People| {
        people
            .database
            .value("select history_from::text from milepost.retention")
    };
    let as_of = |people: &mut People, moment: &str| {
        people.database.value(&format!(
        "select coalesce(string_agg(id || name, ' ' order by id), '') from risk.shop__people__as_of(timestamptz '{moment}')"))
    };
    let converted = horizon(&mut people);
    assert_eq!(as_of(&mut people, &converted), "1ann 2bob 3cid");
    people.stage(&[event("u", 1, "an2", "-"), event("d", 2, "bob", "b1")]);
    people.merged();
    let history = |people: &People| {
        let run = Job::new(people.database.url()).args(["trim-history"]).run();
        assert_eq!(run.code, 0, "{run}");
    };
    history(&people);
    assert_eq!(horizon(&mut people), converted);
    assert_eq!(as_of(&mut people, &converted), "1ann 2bob 3cid");
    people.rebuilt("staging");
    let rebuilt = horizon(&mut people);
    assert_ne!(converted, rebuilt);
    people.merged();
    history(&people);
    assert_eq!(horizon(&mut people), rebuilt);
    assert_eq!(as_of(&mut people, &rebuilt), "");
    people.convert(LIVE, &["--drop-history"]);
    history(&people);
    people.convert(ALL, &[]);
    people.spec.datasets[0].policy.history_seconds = Some(86_400);
    assert_eq!(people.publish().code, 0);
    let again = horizon(&mut people);
    assert_eq!(as_of(&mut people, &again), "1an2 3cid");
    people.is_clean();
}

#[test]
fn entries_are_replayed_behind_a_conversion() {
    let mut people = People::of(LIVE, &["id"]);
    people.stage(&SNAPSHOT);
    people.stage(&[
        event("u", 7, "gil", "-"),
        event("u", 8, "hal", "-"),
        event("u", 1, "an2", "a2"),
    ]);
    people.merged();
    people.stage(&[event("u", 1, "an3", "-")]);
    people.convert(ALL, &[]);
    people
        .database
        .run("update milepost.quarantine set payload = payload || '{\"notes\": \"mended\"}'");
    Job::quarantine(people.database.url(), &people.spec, "replay")
        .args(["--yes"])
        .succeed();
    assert_eq!(people.open(), "");
    assert_eq!(
        people.merged(),
        "1r1101an3:a2 2r0102bob:b1 3r1103cid:c1 7r1107gil:mended 8r0108hal:mended"
    );
    people.is_clean();
    let run = people.erase(&["id=7"]);
    assert_eq!(run.code, 0, "{run}");
    people.convert(LIVE, &["--drop-history"]);
    people.rebuilt("staging");
    assert_eq!(people.merged(), "1r1101an3:a2 2r0102bob:b1 3r1103cid:c1");
    assert_eq!(
        people.open(),
        "4 an unchanged large value is not known here"
    );
    people.is_clean();
}

/// A trim that began before the rebuild may remove rows which are merged again by its end; it holds the lowest row meanwhile.
#[test]
fn a_table_is_filled_from_staging_when_no_trim_is_at_it() {
    let mut people = People::of(LIVE, &["id"]);
    people.stage(&SNAPSHOT);
    let rows = people.merged();
    let mut other = people.database.again();
    other.run(
        "begin; select from main_staging.shop__people order by __connect_offset limit 1 for update",
    );
    let mut job = people.job("staging").args(["--yes"]).spawn();
    sleep(Duration::from_secs(2));
    assert_eq!(job.try_wait().expect("it runs"), None);
    assert_eq!(people.live(), rows);
    other.run("rollback");
    assert!(job.wait().expect("it runs").success());
    assert_eq!(people.live(), "");
    assert_eq!(people.merged(), rows);
}
