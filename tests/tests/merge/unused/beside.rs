//! Removal beside publishes, merges, readers and other removals.

use std::thread;
use std::time::{Duration, Instant};

use acceptance::{Database, Job, Run};
use milepost_job_spec::Outcome;

use super::{ALL, LISTED, TABLES, due, other, publish, remove, removed, rows, says};

/// Waits until a removal waits for a lock.
fn until_it_waits(database: &mut Database) {
    let waits =
        "select count(*) from pg_stat_activity where application_name = 'milepost merge-job'
                  and wait_event_type = 'Lock' and datname = current_database()";
    let until = Instant::now() + Duration::from_secs(30);
    while database.value(waits) == "0" {
        assert!(Instant::now() < until, "it waits for nobody");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_dataset_that_a_run_holds_is_left_to_the_next() {
    for held in [
        "milepost.streams where not wanted",
        "milepost.datasets where dataset = 'things'",
    ] {
        let mut things = due(ALL);
        let before = things.database.value(TABLES);
        let mut batch = things.database.again();
        batch.run(&format!("begin; select from {held} for no key update"));
        let run = remove(&things.database, &[]);
        assert_eq!(run.code, i32::from(Outcome::Held.code()), "{run}");
        assert!(
            run.stderr
                .contains("another run holds stream `main/shop#things`"),
            "{run}"
        );
        assert_eq!(things.database.value(TABLES), before);
        batch.run("rollback");
        says(&removed(&things.database), &["2 unused tables removed"]);
    }
}

#[test]
fn a_reader_that_does_not_end_keeps_the_table_and_is_asked_for() {
    let mut things = due(ALL);
    let mut reader = things.database.again();
    reader.run("begin; select from main.shop__things");
    let run = remove(&things.database, &[]);
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr
            .contains("end the transaction that stands against it"),
        "{run}"
    );
    reader.run("rollback");
    says(&removed(&things.database), &["2 unused tables removed"]);
    assert_eq!(things.database.value(TABLES), "");
}

/// The publish is done while the removal waits for a reader of the table.
#[test]
fn a_publish_at_that_moment_keeps_the_tables_and_the_progress() {
    let mut things = due(ALL);
    let before = things.database.value(TABLES);
    let mut reader = things.database.again();
    reader.run("begin; select from main.shop__things");
    let running = Job::new(things.database.url())
        .args(["remove-unused-tables"])
        .start();
    until_it_waits(&mut things.database);
    publish(&things.database, &[other(), things.spec.clone()], 3);
    reader.run("rollback");
    let run = running.wait();
    assert_eq!(run.code, 0, "{run}");
    says(&run, &["stays: it was used again"]);
    assert_eq!(things.database.value(TABLES), before);
    things.deliver(6, &rows(6..7));
    assert_eq!(things.merged(), "0=a,1=a,2=a,3=a,4=a,6=a");
}

/// Whoever keeps it commits while the removal waits for the table.
#[test]
fn a_mark_that_goes_at_that_moment_keeps_the_tables() {
    let mut things = due(ALL);
    let before = things.database.value(TABLES);
    let mut keeper = things.database.again();
    keeper.run("begin; comment on table main.shop__things is null");
    let running = Job::new(things.database.url())
        .args(["remove-unused-tables"])
        .start();
    until_it_waits(&mut things.database);
    keeper.run("commit");
    let run = running.wait();
    assert_eq!(run.code, 0, "{run}");
    says(&run, &["stays: it was used again, or changed"]);
    assert_eq!(things.database.value(TABLES), before);
}

/// The sink has not committed yet when the removal looks first.
#[test]
fn a_row_that_is_staged_at_that_moment_keeps_the_tables() {
    let mut things = due(ALL);
    let before = things.database.value(TABLES);
    let mut other = things.database.again();
    std::mem::swap(&mut things.database, &mut other);
    things.database.run("begin");
    things.deliver(6, &rows(6..7));
    let running = Job::new(other.url()).args(["remove-unused-tables"]).start();
    until_it_waits(&mut other);
    things.database.run("commit");
    let run = running.wait();
    assert_eq!(run.code, 0, "{run}");
    says(&run, &["something still writes to it"]);
    assert_eq!(things.database.value(TABLES), before);
}

#[test]
fn a_publish_that_goes_on_is_waited_for_and_nothing_is_listed() {
    let mut things = super::retired(ALL);
    let mut publishing = things.database.again();
    publishing.run("begin; update milepost.plans set platform = platform");
    let run = remove(&things.database, &[]);
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr.contains("a publish, or another removal"),
        "{run}"
    );
    assert_eq!(things.database.value(LISTED), "");
    publishing.run("rollback");
    says(&removed(&things.database), &["2 listed"]);
}

#[test]
fn removals_at_once_remove_once() {
    let mut things = due(ALL);
    let url = things.database.url().to_owned();
    let runs: Vec<Run> = thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| remove(&Database::connect(&url), &[])))
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("a run ends"))
            .collect()
    });
    for run in &runs {
        assert_eq!(run.code, 0, "{run}");
    }
    assert_eq!(things.database.value(TABLES), "");
    assert_eq!(
        things
            .database
            .value("select count(*) from milepost.events where message like '%was removed%'"),
        "2"
    );
}

/// A dataset that comes and goes, merged and removed at any moment: in the end every row is there.
#[test]
fn publishes_merges_and_removals_at_once_lose_no_row() {
    let mut things = due(ALL);
    let done = std::sync::atomic::AtomicBool::new(false);
    let url = things.database.url().to_owned();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Acquire) {
                    let run = remove(&Database::connect(&url), &["--grace", "0"]);
                    assert!([0, 75].contains(&run.code), "{run}");
                }
            });
        }
        let spec = things.spec.clone();
        let deadline = Instant::now() + crate::budget(8);
        let mut order = 3;
        while Instant::now() < deadline {
            publish(&things.database, &[other(), spec.clone()], order);
            // A sink that begins at the beginning each time.
            things.deliver(0, &rows(0..5));
            let run = things.merge();
            assert_eq!(run.code, 0, "{run}");
            assert_eq!(things.live(), "0=a,1=a,2=a,3=a,4=a");
            publish(&things.database, &[other()], order + 1);
            thread::sleep(Duration::from_millis(100));
            order += 2;
        }
        done.store(true, std::sync::atomic::Ordering::Release);
    });
    let went = "select count(*) > 0 from milepost.events where message like '%was removed%'";
    assert_eq!(things.database.value(went), "t", "nothing was ever removed");
    Job::new(&url)
        .args(["verify", "--platform", "main"])
        .succeed();
}
