//! Runs that die, are stopped, or lose a server in the middle: running again ends where an undisturbed run ends.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use acceptance::{Database, shop};
use milepost_job_spec::{Outcome, StreamSpec};
use milepost_merge_job::batch::STEPS;

use super::moment::wait_until;
use super::{ALL, Pair, items, says};

/// A stream with something for every step: closed versions, deletes, rows for the quarantine.
fn changed() -> Pair {
    let mut pair = Pair::of(
        vec![
            shop::dataset("items", ALL, &["id"], &[("id", "bigint"), ("v", "text?")]),
            shop::dataset("parts", ALL, &["id"], &[("id", "bigint"), ("v", "integer?")]),
        ],
        "create table items (id bigint, v text); insert into items select i, 'v' || i from generate_series(1, 100) i;
         create table parts (id bigint, v text); insert into parts select i, i from generate_series(1, 100) i",
    );
    pair.merge();
    pair.source.run(
        "update items set v = 'new' where id < 20; delete from items where id = 100; insert into items values (101, null);
         update parts set v = 'none' where id = 7; delete from parts where id = 8; update parts set v = 0 where id = 9",
    );
    pair
}

/// What must be the same however often a run was cut short: versions without their times, and the quarantine.
fn merged(platform: &mut Database, spec: &StreamSpec) -> Vec<Vec<Vec<Option<String>>>> {
    let mut tables: Vec<_> = spec
        .datasets
        .iter()
        .map(|dataset| {
            platform.rows(&format!(
                "select id, v, row_number() over (partition by id order by dp_in), dp_out is null from {} order by 1, 3",
                dataset.merge.quoted()
            ))
        })
        .collect();
    tables.push(platform.rows(
        "select dataset, topic, \"offset\", reason, status, payload from milepost.quarantine order by 1, 3",
    ));
    tables.push(platform.rows(
        "select dataset, topic, watermark, in_snapshot from milepost.positions order by 1, 2",
    ));
    tables
}

#[test]
fn a_run_killed_before_any_step_is_made_good_by_the_next() {
    let mut undisturbed = changed();
    assert_eq!(undisturbed.job().run().code, 0);
    assert_eq!(undisturbed.counts(), "199 1 20 177 1; 2 2");
    let expected = merged(&mut undisturbed.platform, &undisturbed.spec);
    for step in STEPS {
        let mut pair = changed();
        let run = pair.job().env("MILEPOST_FAULT", step).run();
        assert_eq!(run.code, -1, "step `{step}` was never reached: {run}");
        let done = step == "done";
        let batches = if done { "2" } else { "1" };
        assert_eq!(pair.batches(), batches, "after a death before `{step}`");
        if done {
            assert_eq!(merged(&mut pair.platform, &pair.spec), expected);
            continue;
        }
        merge_until_done(&pair);
        assert_eq!(
            merged(&mut pair.platform, &pair.spec),
            expected,
            "after a death before `{step}`"
        );
    }
}

/// The lock of a run that died may hold for a moment.
fn merge_until_done(pair: &Pair) {
    wait_until("the lock of a dead run goes", || {
        let run = pair.job().run();
        assert!([0, 75].contains(&run.code), "{run}");
        run.code == 0
    });
}

/// A source that sends a row every hundredth of a second.
fn slow() -> Pair {
    Pair::of(
        vec![items(ALL)],
        "create table base as select i::bigint as id, repeat('v', 2000) as v from generate_series(1, 3000) i;
         create function slowly(bigint) returns bigint language sql volatile as 'select $1 from pg_sleep(0.01)';
         create view items as select slowly(id) as id, v from base",
    )
}

/// Starts a run and waits until rows flow.
fn reading(pair: &mut Pair) -> Child {
    let child = pair.job().spawn();
    wait_until("rows flow", || copies(&mut pair.source) == "1");
    wait_until("the platform takes rows", || {
        pair.platform.value(
            "select count(*) from pg_stat_progress_copy where tuples_processed > 10 and datname = current_database()",
        ) == "1"
    });
    child
}

fn copies(source: &mut Database) -> String {
    source.value(
        "select count(*) from pg_stat_activity where query like 'copy%' and state = 'active' and datname = current_database()",
    )
}

/// Nothing of the run stays, neither at the platform nor at the source.
fn nothing_is_left(pair: &mut Pair) {
    assert_eq!((pair.batches(), pair.live()), ("0".to_owned(), 0));
    wait_until("the source's statement ends", || {
        copies(&mut pair.source) == "0"
    });
    pair.source
        .run("create or replace view items as select id, v from base");
    merge_until_done(pair);
    pair.is_the_source();
}

#[test]
fn a_signal_while_rows_flow_ends_the_run_within_seconds() {
    let mut pair = slow();
    let child = reading(&mut pair);
    let begun = Instant::now();
    let sent = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(sent.is_ok_and(|status| status.success()));
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(
        ended.status.code(),
        Some(i32::from(Outcome::Stopped.code())),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(
        pair.platform.value("select count(*) from milepost.batches"),
        "0",
        "a stop is no failure"
    );
    nothing_is_left(&mut pair);
}

#[test]
fn a_signal_while_the_source_thinks_ends_its_statement() {
    let mut pair = Pair::of(
        vec![items(ALL)],
        "create table base as select 1::bigint as id, 'v' as v;
         create view items as select id, v from base, pg_sleep(60)",
    );
    let child = pair.job().spawn();
    wait_until("the source thinks", || copies(&mut pair.source) == "1");
    let begun = Instant::now();
    let sent = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(sent.is_ok_and(|status| status.success()));
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(76));
    nothing_is_left(&mut pair);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_run_killed_while_rows_flow_leaves_nothing() {
    let mut pair = slow();
    let mut child = reading(&mut pair);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    nothing_is_left(&mut pair);
}

#[test]
fn a_source_that_goes_away_while_rows_flow_is_no_lost_platform() {
    let mut pair = slow();
    let child = reading(&mut pair);
    pair.source.run(
        "select pg_terminate_backend(pid) from pg_stat_activity where query like 'copy%' and state = 'active' and datname = current_database()",
    );
    let ended = child.wait_with_output().expect("it ends");
    let run = acceptance::Run {
        code: ended.status.code().unwrap_or(-1),
        stdout: String::new(),
        stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
    };
    says(
        &run,
        Outcome::Unreachable,
        &[
            "failed to read `public.items` at the source",
            "the source went away",
        ],
    );
    assert_eq!(
        pair.platform
            .value("select string_agg(status || ' ' || (error like 'failed to read%'), ' ') from milepost.batches"),
        "failed true"
    );
    nothing_is_left(&mut pair);
}

#[test]
fn a_platform_that_goes_away_while_rows_flow_is_made_good_in_the_same_run() {
    let mut pair = slow();
    let child = reading(&mut pair);
    pair.source
        .run("create or replace view items as select id, v from base");
    pair.platform.run(
        "select pg_terminate_backend(pid) from pg_stat_progress_copy where datname = current_database()",
    );
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    pair.is_the_source();
    assert_eq!(pair.batches(), "1");
}
