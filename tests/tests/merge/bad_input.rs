//! Bad input: the message names the place and the remedy, the exit code is the contract's, the database is as before.

use std::fs;

use acceptance::{Cluster, Database, Job, Run, publish, publish_model, shop, stage};
use milepost_job_spec::{Outcome, Strategy, StreamSpec, Versions};
use milepost_simulator::History;

/// A published stream of one dataset with staged rows, of which nothing is merged.
fn staged() -> (StreamSpec, Database) {
    let mut spec = shop::single_streams(&shop::stream(Strategy::Milestoned {
        versions: Versions::All,
    }))
    .into_iter()
    .find(|spec| spec.datasets[0].name == "customers")
    .expect("the shop has customers");
    spec.limits.max_rows = 1000;
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    stage::round(&mut database, &spec, &History::new(&spec, 5).round(20));
    (spec, database)
}

/// Everything in the database but the log of attempts, which a failed merge adds to.
fn state(database: &mut Database) -> String {
    let attempts = ["batches", "batch_datasets", "events", "streams"];
    let options: Vec<String> = attempts
        .iter()
        .flat_map(|table| {
            [
                format!("--exclude-table-data=milepost.{table}"),
                format!("--exclude-table-data=milepost.{table}_id_seq"),
            ]
        })
        .collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let streams = database.rows(
        "select platform, store, dataset, wanted, spec_digest, model_version, batch_number from milepost.streams order by 1, 2, 3",
    );
    format!(
        "{}\n{streams:?}",
        Cluster::shared().dump(database, &options)
    )
}

/// The run ended as the contract says, and its message says all of this to its user.
fn says(run: &Run, outcome: Outcome, words: &[&str]) {
    assert_eq!(run.code, i32::from(outcome.code()), "{run}");
    for word in words {
        assert!(
            run.stderr.contains(word),
            "the message lacks {word:?}: {run}"
        );
    }
    assert!(!run.stderr.contains("panicked"), "{run}");
    assert!(
        !run.stderr.contains("right") || !run.stderr.contains("wrong"),
        "a password is shown: {run}"
    );
}

#[test]
fn a_database_that_is_not_there_is_unreachable() {
    let (spec, _) = staged();
    let url = "postgres://postgres@127.0.0.1:1/shop";
    let run = Job::merge(url, &spec).run();
    says(&run, Outcome::Unreachable, &["127.0.0.1", "hint:"]);
}

#[test]
fn a_database_of_a_wrong_name_is_told_apart() {
    let (spec, database) = staged();
    let url = database.url().replace(database.name(), "nowhere");
    let run = Job::merge(&url, &spec).run();
    says(&run, Outcome::Unreachable, &["nowhere", "hint:"]);
}

#[test]
fn a_wrong_password_is_a_wrong_configuration() {
    let (spec, database) = staged();
    let url = Cluster::shared().url_with_password(database.name(), "hunter2");
    let run = Job::merge(&url, &spec).run();
    says(&run, Outcome::Usage, &["password", "scram", "hint:"]);
    assert!(
        !run.stderr.contains("hunter2"),
        "the password is shown: {run}"
    );
    Job::merge(
        &Cluster::shared().url_with_password(database.name(), "right"),
        &spec,
    )
    .succeed();
}

#[test]
fn a_table_changed_by_hand_stops_the_stream_before_any_row_moves() {
    let changes = [
        (
            "alter table main.shop__customers drop column balance",
            "balance",
        ),
        (
            "alter table main.shop__customers alter column email type text",
            "email",
        ),
        (
            "alter table main_staging.shop__customers alter column joined type text using joined::text",
            "joined",
        ),
        (
            "alter table main.shop__customers alter column vip type text using vip::text",
            "vip",
        ),
        (
            "drop table main_staging.shop__customers; create view main_staging.shop__customers as select 1",
            "shop__customers",
        ),
    ];
    for (change, word) in changes {
        let (spec, mut database) = staged();
        database.run(change);
        let before = state(&mut database);
        let run = Job::merge(database.url(), &spec).run();
        assert_ne!(run.code, 0, "{change}: {run}");
        says(&run, Outcome::Findings, &["shop__customers", word, "hint:"]);
        assert_eq!(state(&mut database), before, "after {change}");
        let failed = database.rows("select status, hint from milepost.batches");
        assert_eq!(failed.len(), 1, "the failure is on record");
        assert_eq!(failed[0][0].as_deref(), Some("failed"));
        assert!(failed[0][1].is_some(), "with what to do next");
    }
}

#[test]
fn a_spec_of_another_version_is_refused() {
    let (spec, mut database) = staged();
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let file = directory.path().join("customers.json");
    fs::write(
        &file,
        spec.to_json().replace("\"version\": 3", "\"version\": 99"),
    )
    .expect("writable");
    let before = state(&mut database);
    let run = Job::new(database.url())
        .args(["merge", "--spec", &file.display().to_string()])
        .run();
    says(
        &run,
        Outcome::Usage,
        &["version 99", "reads versions 1 to 3", "customers.json"],
    );
    assert_eq!(state(&mut database), before);
}

#[test]
fn a_published_spec_of_another_version_is_refused() {
    let (spec, mut database) = staged();
    database.run("update milepost.streams set spec = replace(spec, '\"version\": 3', '\"version\": 99'), spec_version = 99");
    let before = state(&mut database);
    let run = Job::merge(database.url(), &spec).run();
    says(&run, Outcome::Usage, &["version 99"]);
    assert_eq!(state(&mut database), before);
}

#[test]
fn a_spec_file_that_is_not_there_or_no_json_is_named() {
    let (_, mut database) = staged();
    let before = state(&mut database);
    let run = Job::new(database.url())
        .args(["merge", "--spec", "no-such-file.json"])
        .run();
    says(&run, Outcome::Usage, &["no-such-file.json"]);
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let file = directory.path().join("half.json");
    fs::write(&file, "{\"version\": 1, \"stream\"").expect("writable");
    let run = Job::new(database.url())
        .args(["merge", "--spec", &file.display().to_string()])
        .run();
    says(&run, Outcome::Usage, &["half.json", "line 1"]);
    assert_eq!(state(&mut database), before);
}

#[test]
fn a_stream_that_nobody_published_is_named() {
    let (_, mut database) = staged();
    let before = state(&mut database);
    let run = Job::new(database.url())
        .args([
            "merge",
            "--platform",
            "main",
            "--store",
            "shop",
            "--dataset",
            "custmers",
        ])
        .run();
    says(&run, Outcome::Usage, &["main/shop#custmers", "publish"]);
    assert_eq!(state(&mut database), before);
}

#[test]
fn an_older_publish_is_refused() {
    let (spec, mut database) = staged();
    let newer = publish_model(&database, std::slice::from_ref(&spec), 7);
    assert_eq!(newer.code, 0, "{newer}");
    let before = state(&mut database);
    let mut changed = spec;
    changed.limits.max_rows = 5;
    let run = publish_model(&database, &[changed], 6);
    says(
        &run,
        Outcome::Findings,
        &["newer", "number 7", "number 6", "hint:"],
    );
    assert_eq!(state(&mut database), before);
}

#[test]
fn a_publish_with_a_wrong_digest_or_a_missing_file_is_refused() {
    let (spec, mut database) = staged();
    let before = state(&mut database);
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    acceptance::write_plan(&database, std::slice::from_ref(&spec), 9, directory.path());
    let file = directory.path().join("streams/customers.json");
    let json = fs::read_to_string(&file).expect("it was written");
    fs::write(&file, json.replace("1000", "1001")).expect("writable");
    let from = directory.path().display().to_string();
    let run = Job::new(database.url())
        .args(["publish", "--from", &from])
        .run();
    says(
        &run,
        Outcome::Findings,
        &["streams/customers.json", "digest", "hint:"],
    );
    fs::remove_file(&file).expect("it was written");
    let run = Job::new(database.url())
        .args(["publish", "--from", &from])
        .run();
    says(&run, Outcome::Usage, &["streams/customers.json"]);
    assert_eq!(state(&mut database), before);
}

#[test]
fn a_second_run_of_a_held_stream_changes_nothing() {
    let (spec, mut database) = staged();
    let before = state(&mut database);
    let mut other = database.again();
    other.run("begin; select 1 from milepost.streams for no key update");
    let run = Job::merge(database.url(), &spec).run();
    says(&run, Outcome::Held, &["main/shop#customers", "another run"]);
    assert_eq!(database.value("select count(*) from milepost.batches"), "0");
    assert_eq!(state(&mut database), before);
    other.run("rollback");
    Job::merge(database.url(), &spec).succeed();
}

#[test]
fn a_database_without_the_control_schema_says_how_to_make_it() {
    let (spec, _) = staged();
    let database = Cluster::shared().empty_database();
    let run = Job::merge(database.url(), &spec).run();
    says(&run, Outcome::Usage, &["merge-job migrate"]);
}
