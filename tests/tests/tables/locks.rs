//! Changes of tables beside readers, batches and other publishes (T43).

use std::time::{Duration, Instant};

use acceptance::{Cluster, Database, Job, publish_model, write_plan};
use milepost_job_spec::StreamSpec;
use milepost_merge_job::error::Error;
use milepost_merge_job::session::Session;
use milepost_merge_job::tables::{self, Catalog, Patience, catalog};
use tempfile::TempDir;

use crate::{COLUMNS, MILESTONED, people, publish_ok, schema};

/// What stands against making the tables what `spec` says, with this patience. The spec is published beforehand.
fn make(url: &str, spec: &StreamSpec, patience: Patience) -> Vec<Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(async {
        let session = Session::connect(&url.parse().expect("a URL"))
            .await
            .expect("a server");
        let sql = format!(
            "select id, {}::text from milepost.streams s",
            catalog::of_spec("s.spec::jsonb")
        );
        let rows = session
            .query("read", &sql, &[])
            .await
            .expect("the catalog is readable");
        let catalog = Catalog::from_json(rows[0].get(1)).expect("the catalog parses");
        let changes = tables::differences(spec, &catalog);
        tables::make(&session, rows[0].get(0), spec, &changes, patience).await
    })
}

/// A published spec that wants one column more than the merge table has.
fn behind() -> (Database, StreamSpec) {
    let mut database = Cluster::shared().database();
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 1);
    let mut columns = COLUMNS.to_vec();
    columns.push(("country", "text?"));
    let wider = people(MILESTONED, &columns);
    database.run(&format!(
        "update milepost.streams set spec = $spec${}$spec$",
        wider.to_json()
    ));
    (database, wider)
}

const fn patience(attempts: u32) -> Patience {
    Patience {
        lock_timeout: Duration::from_millis(200),
        attempts,
        first_pause: Duration::from_millis(20),
    }
}

fn waits(database: &mut Database) -> bool {
    let sql = "select count(*) from pg_stat_activity
                where datname = current_database() and wait_event_type = 'Lock' and query like '%add column%'";
    database.value(sql) != "0"
}

#[test]
fn a_reader_idle_in_its_transaction_delays_a_change_and_no_other_reader_for_long() {
    let (mut database, spec) = behind();
    let mut reader = database.again();
    reader.run("begin; select count(*) from risk.shop__people");
    let url = database.url().to_owned();
    let change = std::thread::spawn(move || make(&url, &spec, patience(8)));

    let deadline = Instant::now() + Duration::from_secs(20);
    while !waits(&mut database) {
        assert!(
            Instant::now() < deadline,
            "the change never waited for the reader"
        );
        std::thread::yield_now();
    }
    // Whoever comes now queues behind the change, until its lock timeout lets them through.
    database.run("set statement_timeout = '5s'; select count(*) from risk.shop__people");
    reader.run("commit");
    let errors = change.join().expect("the change does not panic");
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(
        database.rows("select country from risk.shop__people"),
        Vec::<Vec<_>>::new()
    );
}

#[test]
fn a_reader_that_never_ends_is_reported_and_the_table_untouched() {
    let (mut database, spec) = behind();
    let mut reader = database.again();
    reader.run("begin; select count(*) from risk.shop__people");
    let before = schema(&database);
    let errors = make(database.url(), &spec, patience(2));
    assert_eq!(errors.len(), 1, "{errors:?}");
    let message = errors[0].chain();
    assert!(message.contains("table `main.shop__people`"), "{message}");
    assert!(message.contains("adds column `country` text"), "{message}");
    // Staging is no table of readers: it has the column already.
    reader.run("rollback");
    let after = schema(&database);
    assert_eq!(lines_about(&before, "country"), 0);
    assert_eq!(
        lines_about(&after, "country"),
        2,
        "column and mark of staging:\n{after}"
    );
    assert_eq!(
        database.value("select count(*) from pg_locks l join pg_database d on d.oid = l.database\n              where d.datname = current_database() and l.mode = 'AccessExclusiveLock'"),
        "0"
    );
}

fn lines_about(schema: &str, word: &str) -> usize {
    schema.lines().filter(|line| line.contains(word)).count()
}

#[test]
fn a_change_of_a_held_stream_waits_for_the_batch() {
    let (mut database, spec) = behind();
    let mut batch = database.again();
    batch.run("begin; select from milepost.streams for no key update");
    let errors = make(database.url(), &spec, patience(2));
    assert!(matches!(errors[..], [Error::Held(_)]), "{errors:?}");
    batch.run("rollback");
    assert!(make(database.url(), &spec, patience(2)).is_empty());
    assert_eq!(
        database.rows("select country from risk.shop__people"),
        Vec::<Vec<_>>::new()
    );
}

#[test]
fn changes_for_a_spec_that_is_no_more_the_published_one_are_not_made() {
    let (database, _) = behind();
    let before = schema(&database);
    let mut columns = COLUMNS.to_vec();
    columns.push(("planet", "text?"));
    let errors = make(database.url(), &people(MILESTONED, &columns), patience(2));
    assert!(matches!(errors[..], [Error::Disturbed(_)]), "{errors:?}");
    assert_eq!(schema(&database), before);
}

#[test]
fn publishes_at_once_make_everything_once() {
    let database = Cluster::shared().database();
    let specs: Vec<StreamSpec> = ["a", "b", "c", "d"]
        .map(|name| {
            crate::stream(acceptance::shop::dataset(
                name,
                MILESTONED,
                &["id"],
                &COLUMNS,
            ))
        })
        .into();
    let folder = TempDir::new().expect("a temporary directory");
    write_plan(&database, &specs, 1, folder.path());
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let (url, from) = (
                database.url().to_owned(),
                folder.path().display().to_string(),
            );
            std::thread::spawn(move || Job::new(&url).args(["publish", "--from", &from]).run())
        })
        .collect();
    for run in runs {
        let run = run.join().expect("the run does not panic");
        assert_eq!(run.code, 0, "{run}");
    }
    let run = publish_model(&database, &specs, 2);
    assert!(
        run.stdout.contains("0 changes of tables and views"),
        "{run}"
    );
}
