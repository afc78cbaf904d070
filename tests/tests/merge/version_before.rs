//! What the releases before wrote is read: stream specs of version 1, and control tables of earlier versions.

use acceptance::{Cluster, Database, Job, compare, publish, shop, stage};
use milepost_job_spec::{CONTROL_VERSION, DatasetPolicy, Input, Strategy, StreamSpec};
use milepost_simulator::{History, Image, Settings};
use test_case::test_case;

/// A spec as version 1 had it: none of the later fields.
fn as_version_1(spec: &StreamSpec) -> String {
    let mut json: serde_json::Value =
        serde_json::to_value(spec).expect("a spec has only text keys");
    json["version"] = 1.into();
    json["limits"]
        .as_object_mut()
        .and_then(|limits| limits.remove("staged_seconds"))
        .expect("version 2 has it");
    json.to_string()
}

/// What undoes each version of the control schema, the newest first.
const UNDONE: [(i32, &str); 5] = [
    (
        7,
        "drop table milepost.unused_tables;
         alter table milepost.datasets drop column staging_schema, drop column staging_table",
    ),
    (
        6,
        "do $$ declare had text := replace(pg_get_viewdef('milepost.stream_status'),
             '(p.in_snapshot OR (p.refill_after IS NOT NULL) OR (p.refill_upto IS NOT NULL))', 'p.in_snapshot');
         begin execute 'create or replace view milepost.stream_status as ' || had; end $$;
         alter table milepost.positions drop column refill_after, drop column refill_upto",
    ),
    (5, "drop table milepost.erasures"),
    (
        4,
        "drop table milepost.retention; drop index milepost.batches_finished",
    ),
    (
        3,
        "alter table milepost.positions drop column lowest_offset, drop column lowest_row;
         update milepost.positions set watermark_row = watermark_row - 'staged'",
    ),
];

/// Makes the control schema what a release with this version left.
fn back_to(database: &mut Database, version: i32) {
    assert_eq!(UNDONE[0].0, CONTROL_VERSION, "each version has a way back");
    for (_, undo) in UNDONE.iter().filter(|(own, _)| *own > version) {
        database.run(undo);
    }
    database.run(&format!(
        "delete from milepost.schema_version where version > {version}"
    ));
}

#[test]
fn a_stream_that_version_1_published_merges_on() {
    let spec = shop::stream(Strategy::LiveOnly);
    let text = as_version_1(&spec);
    let read = StreamSpec::from_json(&text).expect("version 1 is read");
    assert_eq!(read.input, Input::Events);
    assert!(
        read.datasets
            .iter()
            .all(|dataset| dataset.policy == DatasetPolicy::default())
    );

    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let mut history = History::with(&spec, crate::seed(), Settings::default());
    stage::round(&mut database, &spec, &history.round(30));
    Job::merge(database.url(), &spec).succeed();

    let literal = text.replace('\'', "''");
    database.run(&format!(
        "update milepost.streams set spec_version = 1, spec = '{literal}'"
    ));
    let round = history.round(30);
    stage::round(&mut database, &spec, &round);
    Job::merge(database.url(), &spec).succeed();
    for (place, dataset) in spec.datasets.iter().enumerate() {
        let truth: Vec<Image> = round.truth.tables[place].values().cloned().collect();
        compare::live_is_image(
            &mut database,
            dataset,
            &truth,
            "merged by a spec of version 1",
        );
    }
}

/// A database in which a history is merged that goes on.
fn merged() -> (Database, StreamSpec, History) {
    let spec = shop::stream(Strategy::LiveOnly);
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let mut history = History::with(&spec, crate::seed(), Settings::default());
    stage::round(&mut database, &spec, &history.round(30));
    Job::merge(database.url(), &spec).succeed();
    (database, spec, history)
}

#[test_case(2)]
#[test_case(3)]
#[test_case(4)]
#[test_case(5)]
#[test_case(6)]
fn control_tables_of_an_earlier_version_are_migrated_and_a_stream_goes_on(version: i32) {
    let (mut database, spec, mut history) = merged();
    back_to(&mut database, version);
    let status = "select status from milepost.stream_status";
    let before = database.value(status);
    let round = history.round(30);
    stage::round(&mut database, &spec, &round);
    let run = Job::merge(database.url(), &spec).run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("run `merge-job migrate`"), "{run}");
    Job::new(database.url()).args(["migrate"]).succeed();
    assert_eq!(database.value(status), before);
    Job::merge(database.url(), &spec).succeed();
    for (place, dataset) in spec.datasets.iter().enumerate() {
        let truth: Vec<Image> = round.truth.tables[place].values().cloned().collect();
        compare::live_is_image(&mut database, dataset, &truth, "merged on");
    }
    // What came with each version works.
    assert_eq!(
        database.value(
            "select count(*) from milepost.positions
              where watermark_row -> 'staged' is null or lowest_row is null or refill_after is not null"
        ),
        "0"
    );
    let key = database.value("select id from main.shop__customers limit 1");
    Job::erase(database.url(), &spec, "customers")
        .args(["--key", &format!("id={key}"), "--yes"])
        .succeed();
    assert_eq!(
        database.value("select rows_live from milepost.erasures"),
        "1"
    );
    for command in ["trim-staging", "trim-history"] {
        Job::new(database.url()).args([command]).succeed();
    }
    Job::new(database.url())
        .args(["verify", "--platform", "main"])
        .succeed();
}
