//! What was wrong once, found by attacking the engine: each stays mended.

use acceptance::{Cluster, Database, Job, publish, publish_model, shop};
use milepost_job_spec::{PgIdent, StreamSpec};

use crate::ALL;

const UNKNOWN: &str = "'__debezium_unavailable_value'";

/// A stream of one dataset `things`: a key that is staged as text, a large text, and a document that may not cast.
fn things() -> StreamSpec {
    let mut spec = shop::single_streams(&shop::stream(ALL)).remove(0);
    let columns = [("id", "bigint"), ("big", "text?"), ("doc", "jsonb?")];
    spec.stream.dataset = Some("things".to_owned());
    spec.datasets = vec![shop::dataset("things", ALL, &["id"], &columns)];
    spec.datasets[0].columns[0].staging_type = "text".to_owned();
    spec
}

fn ready(spec: &StreamSpec) -> Database {
    let database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(spec));
    database
}

/// Stages a row of `things`; rows of one `position` are one transaction and one record of the source's log.
fn stage(database: &mut Database, offset: i64, op: &str, position: i64, values: &str) {
    database.run(&format!(
        "insert into main_staging.shop__things (id, big, doc, __op, __sequence, __lsn, __transaction_id,
             __transaction_total_order, __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
         values ({values}, '{op}', '[\"{position}\",\"{position}\"]', {position}, '{position}:1', {offset} + 1, {position}, 'false', 't', 0, {offset})"
    ));
}

fn live(database: &mut Database) -> String {
    database.value("select coalesce(string_agg(id || '=' || big, ',' order by id), '') from main.shop__things where dp_out is null")
}

fn quarantined(database: &mut Database) -> String {
    database.value(
        "select coalesce(string_agg(key::text || ' ' || status, ', ' order by \"offset\"), '') from milepost.quarantine",
    )
}

#[test]
fn a_row_that_does_not_cast_keeps_its_key() {
    let spec = things();
    let mut database = ready(&spec);
    stage(&mut database, 0, "c", 10, "1, 'old', '{}'");
    Job::merge(database.url(), &spec).succeed();
    stage(&mut database, 1, "u", 20, "1, 'new', '{'");
    stage(&mut database, 2, "u", 30, &format!("1, {UNKNOWN}, '[]'"));
    stage(&mut database, 3, "c", 40, "2, 'two', '{}'");
    Job::merge(database.url(), &spec).succeed();
    // What the second row would be filled from is in quarantine: it joins it.
    assert_eq!(
        quarantined(&mut database),
        r#"{"id": 1} open, {"id": 1} open"#
    );
    assert_eq!(live(&mut database), "1=old,2=two");
    stage(&mut database, 4, "u", 50, "1, 'newest', '{}'");
    Job::merge(database.url(), &spec).succeed();
    assert_eq!(
        quarantined(&mut database),
        r#"{"id": 1} superseded, {"id": 1} superseded"#
    );
    assert_eq!(live(&mut database), "1=newest,2=two");
}

#[test]
fn a_key_change_carries_no_value_across_quarantine() {
    for together in [true, false] {
        let spec = things();
        let mut database = ready(&spec);
        stage(&mut database, 0, "c", 10, "1, 'old', '{}'");
        Job::merge(database.url(), &spec).succeed();
        stage(&mut database, 1, "u", 20, "1, 'new', '{'");
        Job::merge(database.url(), &spec).succeed();
        stage(&mut database, 2, "d", 30, "1, null, null");
        if !together {
            Job::merge(database.url(), &spec).succeed();
        }
        stage(&mut database, 3, "c", 30, &format!("2, {UNKNOWN}, '{{}}'"));
        Job::merge(database.url(), &spec).succeed();
        assert_eq!(live(&mut database), "", "together: {together}");
        assert_eq!(
            quarantined(&mut database),
            r#"{"id": 1} superseded, {"id": 2} open"#,
            "together: {together}"
        );
    }
}

#[test]
fn two_hundred_large_columns_are_filled_and_kept() {
    let mut spec = things();
    let names: Vec<String> = (0..200).map(|n| format!("large_{n}")).collect();
    let mut columns = vec![("id", "bigint")];
    columns.extend(names.iter().map(|name| (name.as_str(), "text?")));
    spec.datasets = vec![shop::dataset("things", ALL, &["id"], &columns)];
    let mut database = ready(&spec);
    let list = names.join(", ");
    for (offset, op, value) in [
        (0, "c", "'x'"),
        (1, "u", UNKNOWN),
        (2, "c", "'y'"),
        (3, "d", "null"),
    ] {
        let values = vec![value; names.len()].join(", ");
        let id = if offset < 2 { 1 } else { 2 };
        database.run(&format!(
            "insert into main_staging.shop__things (id, {list}, __op, __sequence, __lsn, __connect_topic, __connect_partition, __connect_offset)
             values ({id}, {values}, '{op}', '[\"{offset}\",\"1\"]', {offset}, 't', 0, {offset})"
        ));
        Job::merge(database.url(), &spec).succeed();
    }
    assert_eq!(
        database.value("select large_0 || large_199 from main.shop__things where dp_out is null"),
        "xx"
    );
}

#[test]
fn a_key_too_long_for_an_index_is_set_aside() {
    let mut spec = things();
    spec.datasets = vec![shop::dataset(
        "things",
        ALL,
        &["id", "part"],
        &[("id", "text"), ("part", "bytea"), ("big", "text?")],
    )];
    let mut database = ready(&spec);
    let long = "(select string_agg(md5(g::text), '') from generate_series(1, 120) g)";
    for (offset, id, part) in [
        (0, "'short'".to_owned(), "'a'".to_owned()),
        (1, long.to_owned(), "'a'".to_owned()),
        (2, "'short'".to_owned(), format!("decode({long}, 'hex')")),
    ] {
        database.run(&format!(
            "insert into main_staging.shop__things (id, part, big, __op, __sequence, __lsn, __connect_topic, __connect_partition, __connect_offset)
             values ({id}, {part}, 'x', 'c', '[\"{offset}\",\"1\"]', {offset}, 't', 0, {offset})"
        ));
    }
    Job::merge(database.url(), &spec).succeed();
    assert_eq!(
        database.value("select count(*) from main.shop__things"),
        "1"
    );
    assert_eq!(
        database.value("select count(*) from milepost.quarantine where status = 'open'"),
        "2"
    );
}

#[test]
fn rows_of_an_older_shape_have_null_in_a_newer_column() {
    let spec = things();
    let mut database = ready(&spec);
    stage(&mut database, 0, "c", 10, "1, 'one', '{}'");
    let newer = with_column(&spec);
    assert_eq!(
        publish_model(&database, std::slice::from_ref(&newer), 2).code,
        0
    );
    Job::merge(database.url(), &newer).succeed();
    assert_eq!(live(&mut database), "1=one");
    assert_eq!(
        database.value("select count(*) from main.shop__things where w is null"),
        "1"
    );
}

/// The stream with a column `w` that may not be null.
fn with_column(spec: &StreamSpec) -> StreamSpec {
    let mut spec = spec.clone();
    let mut column = spec.datasets[0].columns[0].clone();
    let name: PgIdent = "w".parse().expect("it is a name");
    column.staging_type = column.merge_type.clone();
    column.name = name.clone();
    column.staged_as = name;
    spec.datasets[0].columns.push(column);
    spec
}

#[test]
fn a_run_takes_the_spec_that_is_published_while_it_works() {
    let mut spec = things();
    spec.limits.max_rows = 1;
    let mut database = ready(&spec);
    database.run(
        "insert into main_staging.shop__things (id, big, doc, __op, __sequence, __lsn, __connect_topic, __connect_partition, __connect_offset)
         select g, 'x', '{}', 'c', format('[\"%s\",\"1\"]', g), g, 't', 0, g from generate_series(0, 400) g",
    );
    let run = Job::merge(database.url(), &spec).spawn();
    // The run has begun when its first batch is there.
    let begun = std::time::Instant::now();
    while database.value("select count(*) from milepost.batches") == "0" {
        assert!(begun.elapsed().as_secs() < 60, "the run does not begin");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let newer = with_column(&spec);
    assert_eq!(
        publish_model(&database, std::slice::from_ref(&newer), 2).code,
        0
    );
    database.run(
        "insert into main_staging.shop__things (id, big, doc, w, __op, __sequence, __lsn, __connect_topic, __connect_partition, __connect_offset)
         values (1000, 'x', '{}', 77, 'c', '[\"1000\",\"1\"]', 1000, 't', 0, 1000)",
    );
    let ended = run.wait_with_output().expect("the run ends");
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    Job::merge(database.url(), &newer).succeed();
    assert_eq!(
        database.value("select w from main.shop__things where id = 1000"),
        "77"
    );
}

#[test]
fn a_snapshot_behind_a_transaction_is_no_part_of_it() {
    let mut spec = things();
    spec.stream.dataset = None;
    spec.limits.max_rows = 100;
    let mut database = ready(&spec);
    stage(&mut database, 0, "c", 10, "0, 'x', '{}'");
    database.run(
        "insert into main_staging.shop__things (id, big, doc, __op, __snapshot, __connect_topic, __connect_partition, __connect_offset)
         select g, 'x', '{}', 'r', 'incremental', 't', 0, g from generate_series(1, 1000) g",
    );
    Job::merge(database.url(), &spec).succeed();
    let largest: u64 = database
        .value("select max(rows_staged) from milepost.batches")
        .parse()
        .expect("a count");
    assert!(largest <= 100, "a batch of {largest} rows");
    assert_eq!(
        database.value("select count(*) from main.shop__things where dp_out is null"),
        "1001"
    );
}

#[test]
fn without_row_positions_the_order_tells_a_replay() {
    let spec = things();
    let mut database = ready(&spec);
    let mut row = |offset: i64, order: i64, big: &str| {
        database.run(&format!(
            "insert into main_staging.shop__things (id, big, doc, __op, __sequence, __transaction_total_order, __connect_topic, __connect_partition, __connect_offset)
             values (1, '{big}', '{{}}', 'u', '[\"30\",\"30\"]', {order}, 't', 0, {offset})"
        ));
        Job::merge(database.url(), &spec).succeed();
    };
    row(0, 1, "first");
    row(1, 2, "second");
    row(2, 1, "first");
    assert_eq!(live(&mut database), "1=second");
    assert_eq!(
        database.value("select sum(rows_replayed) from milepost.batches"),
        "1"
    );
}

#[test]
fn an_infinite_timestamp_comes_back_from_the_year_294247() {
    let mut spec = things();
    let columns = [
        ("id", "bigint"),
        ("at", "timestamp(0) without time zone?"),
        ("big", "text?"),
    ];
    spec.datasets = vec![shop::dataset("things", ALL, &["id"], &columns)];
    let mut database = ready(&spec);
    database.run(
        "insert into main_staging.shop__things (id, at, __op, __sequence, __lsn, __connect_topic, __connect_partition, __connect_offset)
         values (1, '294247-01-10 04:00:25.2', 'c', '[\"1\",\"1\"]', 1, 't', 0, 0), (2, '2026-11-20 12:00:00', 'c', '[\"1\",\"2\"]', 2, 't', 0, 1)",
    );
    Job::merge(database.url(), &spec).succeed();
    assert_eq!(
        database.value("select string_agg(at::text, ' ' order by id) from main.shop__things"),
        "infinity 2026-11-20 12:00:00"
    );
}

#[test]
fn a_store_that_becomes_one_stream_while_a_run_works_is_merged_once() {
    let mut spec = things();
    spec.limits.max_rows = 1;
    let mut database = ready(&spec);
    database.run(
        "insert into main_staging.shop__things (id, big, doc, __op, __sequence, __lsn, __connect_topic, __connect_partition, __connect_offset)
         select g, 'x', '{}', 'c', format('[\"%s\",\"1\"]', g), g, 't', 0, g from generate_series(0, 400) g",
    );
    let old = Job::merge(database.url(), &spec).spawn();
    let begun = std::time::Instant::now();
    while database.value("select count(*) from milepost.batches") == "0" {
        assert!(begun.elapsed().as_secs() < 60, "the run does not begin");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut whole = spec.clone();
    whole.stream.dataset = None;
    assert_eq!(
        publish_model(&database, std::slice::from_ref(&whole), 2).code,
        0
    );
    // The old run finds its stream retired, or had ended; either way it writes no more.
    old.wait_with_output().expect("the old run ends");
    Job::merge(database.url(), &whole).succeed();
    assert_eq!(
        database.value("select count(*) from main.shop__things"),
        "401"
    );
    assert_eq!(
        database.value("select sum(rows_inserted) from milepost.batches"),
        "401"
    );
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = silent.local_addr().expect("it is bound").port();
    let url = format!("postgres://nobody:secret-word@127.0.0.1:{port}/none");
    let run = Job::new(&url).args(["migrate"]).run();
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("does not answer within 10 s"), "{run}");
    assert!(!run.stderr.contains("secret-word"), "{run}");
}
