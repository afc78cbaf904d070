//! Events that do not fit: each stands alone, and is appended once when it was mended.

use acceptance::{Job, Run};
use milepost_merge_job::batch::STEPS;

use super::log::{Log, UNKNOWN};

fn replay(log: &Log, arguments: &[&str]) -> Run {
    let run = Job::quarantine(log.database.url(), &log.spec, "replay")
        .args(arguments.iter().copied())
        .run();
    assert_eq!(run.code, 0, "{run}");
    run
}

fn statuses(log: &mut Log) -> String {
    log.value(
        "select coalesce(string_agg(status, ' ' order by \"offset\"), '') from milepost.quarantine",
    )
}

fn mend(log: &mut Log, word: &str) {
    log.database.run(&format!(
        "update milepost.quarantine set payload = payload || '{{\"number\": \"1\", \"doc\": null}}' where payload ->> 'word' = '{word}'"
    ));
}

/// Three events that do not fit, a delete among them, and one that does.
fn spoiled() -> Log {
    let mut log = Log::begin(1000);
    log.row("c", "'a', 'x', null", (1, 10, 1));
    log.row("d", "'b', 'y', null", (1, 11, 2));
    log.row("u", &format!("'c', 1, {UNKNOWN}"), (1, 12, 3));
    log.row("c", "'d', 1, null", (1, 13, 4));
    log.succeed();
    log
}

#[test]
fn what_does_not_fit_is_set_aside_and_appended_when_it_was_mended() {
    let mut log = spoiled();
    assert_eq!(log.appended(), "d:c");
    assert_eq!(
        log.value("select string_agg(reason, '; ' order by \"offset\") from milepost.quarantine"),
        "a value does not cast to its merge type; a value does not cast to its merge type; an unchanged large value is not known here"
    );
    let listed = Job::new(log.database.url())
        .args(["quarantine", "list", "--platform", "main"])
        .run();
    assert_eq!(listed.code, 0, "{listed}");
    assert!(listed.stdout.contains("3 entries open"), "{listed}");
    // Nothing that comes later is about the same row: equal rows, deletes, a new snapshot.
    log.row("c", "'a', 1, null", (2, 20, 1));
    log.row("d", "'a', 1, null", (2, 21, 2));
    log.read("first", "'a', 1, null");
    log.read("last", "'c', 1, null");
    log.succeed();
    assert_eq!(statuses(&mut log), "open open open");
    for word in ["a", "b", "c"] {
        mend(&mut log, word);
    }
    let run = replay(&log, &["--yes"]);
    assert!(run.stdout.contains("3 inserted"), "{run}");
    assert_eq!(statuses(&mut log), "replayed replayed replayed");
    assert_eq!(log.appended(), "d:c a:c a:d a:r c:r a:c b:d c:u");
    replay(&log, &["--yes"]);
    log.row("c", "'e', 1, null", (3, 30, 1));
    log.succeed();
    assert_eq!(log.appended(), "d:c a:c a:d a:r c:r a:c b:d c:u e:c");
    log.verify();
}

#[test]
fn an_entry_that_was_asked_for_is_tried_alone() {
    let mut log = spoiled();
    for word in ["a", "b"] {
        mend(&mut log, word);
    }
    let id = log.value("select id from milepost.quarantine where payload ->> 'word' = 'b'");
    let told = replay(&log, &["--id", &id]);
    assert!(told.stdout.contains("1 entry"), "{told}");
    replay(&log, &["--id", &id, "--yes"]);
    assert_eq!(statuses(&mut log), "open replayed open");
    assert_eq!(log.appended(), "d:c b:d");
    // What was not mended stays.
    replay(&log, &["--yes"]);
    assert_eq!(statuses(&mut log), "replayed replayed open");
    let id = log.value("select id from milepost.quarantine where status = 'open'");
    let run = Job::quarantine(log.database.url(), &log.spec, "discard")
        .args(["--id", &id, "--yes"])
        .run();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(statuses(&mut log), "replayed replayed discarded");
    assert_eq!(log.appended(), "d:c b:d a:c");
    log.verify();
}

#[test]
fn a_spoiled_row_that_is_delivered_again_is_a_replay() {
    let mut log = spoiled();
    log.row("c", "'a', 'x', null", (1, 10, 1));
    log.row("d", "'b', 'y', null", (1, 11, 2));
    log.row("u", &format!("'c', 1, {UNKNOWN}"), (1, 12, 3));
    log.row("c", "'d', 1, null", (1, 13, 4));
    log.succeed();
    assert_eq!(log.appended(), "d:c");
    assert_eq!(
        log.counts(),
        "4 staged, 0 inserted, 4 replayed, 0 quarantined, 0 truncate"
    );
    assert_eq!(statuses(&mut log), "open open open");
}

#[test]
fn a_replay_killed_before_any_step_appends_each_entry_once_after_all() {
    for step in STEPS {
        let mut log = spoiled();
        mend(&mut log, "a");
        mend(&mut log, "c");
        let killed = Job::quarantine(log.database.url(), &log.spec, "replay")
            .args(["--yes"])
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(killed.code, -1, "step `{step}` was never reached: {killed}");
        replay(&log, &["--yes"]);
        assert_eq!(log.appended(), "d:c a:c c:u", "{step}");
        assert_eq!(statuses(&mut log), "replayed open replayed", "{step}");
        log.verify();
    }
}

#[test]
fn with_more_rows_in_quarantine_than_its_limit_the_batch_fails() {
    let mut log = Log::with(1000, |spec| spec.limits.max_quarantined = 2);
    for place in 1..=3 {
        log.row("u", &format!("'a', 1, {UNKNOWN}"), (1, place, place));
    }
    let run = log.merge(&[]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("more than 2 rows"), "{run}");
    assert_eq!(log.appended(), "");
}
