//! What a repair makes of rows that have diverged.

use acceptance::{Database, Job, Pooler, publish_model, shop};
use milepost_job_spec::TableRef;
use test_case::test_case;

use super::{ALL, LAST, Pair, Strategy};

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(ALL; "all versions")]
#[test_case(LAST; "last version per batch")]
fn rows_become_those_of_the_source_in_a_batch(strategy: Strategy) {
    let mut pair = Pair::of(strategy);
    pair.write(11, "new");
    pair.write(1, "changed");
    pair.delete(3);
    let watermark =
        "select watermark::text || fence_commit || watermark_row from milepost.positions";
    let before = pair.platform.value(watermark);
    let run = pair.repaired();
    assert!(
        run.stdout
            .contains("main/shop#items: batch 2 inserted 1 row, updated 1, closed 1\n"),
        "{run}"
    );
    pair.is_equal();
    let counts = pair.platform.value(
        "select concat_ws(' ', rows_staged, rows_inserted, rows_updated, rows_deleted, rows_closed, positions_to is null)
           from milepost.batches where status = 'succeeded' order by id desc limit 1",
    );
    assert_eq!(counts, "3 1 1 1 1 t");
    assert_eq!(pair.platform.value(watermark), before);
    assert_eq!(
        pair.platform.value(
            "select count(*) from milepost.events where message like 'rows that had diverged %'"
        ),
        "1"
    );
    // The events that come next are merged as ever.
    pair.write(1, "later");
    pair.stage("u", 1, "later");
    pair.delete(11);
    pair.stage("d", 11, "");
    pair.merged();
    pair.is_equal();
    if strategy.is_milestoned() {
        let versions = pair.platform.value(
            "select string_agg(v || coalesce(' ' || (dp_source_ts is null)::text, ''), ', ' order by dp_in) from main.shop__items where id = 1",
        );
        assert_eq!(versions, "old false, changed true, later false");
    }
}

#[test]
fn a_plan_that_is_another_one_now_is_not_executed() {
    let mut pair = Pair::of(ALL);
    pair.write(1, "changed");
    let digest = Pair::digest(&pair.resync(&[]));
    pair.write(2, "changed");
    let run = pair.resync(&["--execute", &digest]);
    assert_eq!(run.code, 2, "{run}");
    assert!(
        run.stderr
            .contains("the plan is another one now, and nothing was changed: repair plan "),
        "{run}"
    );
    assert_eq!(
        pair.platform.value("select count(*) from milepost.batches"),
        "1"
    );
    pair.repaired();
    pair.is_equal();
    let run = pair.resync(&["--execute", &digest]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("there is nothing to repair"), "{run}");
}

#[test]
fn a_row_with_a_staged_event_is_left_to_it() {
    let mut pair = Pair::of(ALL);
    pair.write(1, "newest");
    pair.write(2, "lost");
    // An older event than the source's row: merged after a repair it would set it back.
    pair.stage("u", 1, "older");
    let run = pair.repaired();
    assert!(
        run.stdout
            .contains("inserted 0 rows, updated 1, closed 0\n"),
        "{run}"
    );
    let v = |pair: &mut Pair, id| {
        pair.platform.value(&format!(
            "select v from main.shop__items where id = {id} and dp_out is null"
        ))
    };
    assert_eq!(
        (v(&mut pair, 1), v(&mut pair, 2)),
        ("old".to_owned(), "lost".to_owned())
    );
    pair.stage("u", 1, "newest");
    pair.merged();
    pair.is_equal();
}

#[test]
fn entries_of_the_quarantine_are_superseded_by_whole_rows() {
    let mut pair = Pair::of(ALL);
    // An update whose large value nobody knows: its row was lost.
    pair.write(11, "whole");
    pair.stage("u", 11, "__debezium_unavailable_value");
    pair.stage("u", 12, "__debezium_unavailable_value");
    pair.merged();
    let entries = "select string_agg(status, ' ' order by \"offset\") from milepost.quarantine";
    assert_eq!(pair.platform.value(entries), "open open");
    pair.repaired();
    pair.is_equal();
    assert_eq!(pair.platform.value(entries), "superseded open");
    // What comes next is filled from the row that is there.
    pair.source.run("update items set price = 5 where id = 11");
    pair.platform.run(
        "insert into main_staging.shop__items (id, v, price, __op, __sequence, __lsn, __transaction_id, __transaction_total_order,
             __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
         values (11, '__debezium_unavailable_value', 5, 'u', '[\"5000\",\"5000\"]', 5000, '5000:1', 1, 5000, 'false', 't', 0, 5000)",
    );
    pair.merged();
    pair.is_equal();
}

#[test]
fn a_source_that_lost_its_rows_is_not_followed_unasked() {
    let mut pair = Pair::of(ALL);
    pair.source.run("delete from items where id <= 2");
    let digest = Pair::digest(&pair.resync(&[]));
    let run = pair.resync(&["--execute", &digest]);
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr.contains("the source does not have 2 of the 10 live rows of dataset `items`, more than 10 percent; nothing was changed"),
        "{run}"
    );
    assert_eq!(
        pair.platform
            .value("select count(*) from main.shop__items where dp_out is null"),
        "10"
    );
    let run = pair.resync(&["--execute", &digest, "--allow-missing"]);
    assert_eq!(run.code, 0, "{run}");
    pair.is_equal();
}

#[test]
fn a_stream_that_another_run_holds_is_left_to_it() {
    let mut pair = Pair::of(ALL);
    pair.write(1, "changed");
    let digest = Pair::digest(&pair.resync(&[]));
    let mut other = pair.platform.again();
    other.run("begin; select from milepost.streams for no key update");
    let run = pair.resync(&["--execute", &digest]);
    assert_eq!(run.code, 75, "{run}");
    other.run("rollback");
    pair.repaired();
    pair.is_equal();
}

#[test]
fn a_stream_that_cannot_be_repaired_takes_nothing_from_those_before_it() {
    let mut pair = Pair::of(ALL);
    // A second stream of the store, whose table is called `more`.
    let mut more = pair.spec.clone();
    let mut dataset = shop::dataset("more", ALL, &["id"], &[("id", "bigint"), ("v", "text?")]);
    dataset.source_table = pair.spec.datasets[0]
        .source_table
        .clone()
        .map(|own| TableRef {
            name: "more".parse().expect("an identifier"),
            ..own
        });
    more.stream.dataset = Some("more".to_owned());
    more.datasets = vec![dataset];
    let run = publish_model(&pair.platform, &[pair.spec.clone(), more.clone()], 2);
    assert_eq!(run.code, 0, "{run}");
    pair.source.run(
        "create table more (id bigint primary key, v text); insert into more values (1, 'lost')",
    );
    pair.platform.run(
        "insert into main_staging.shop__more (id, v, __op, __sequence, __lsn, __connect_topic, __connect_partition, __connect_offset)
         values (2, 'kept', 'c', '[\"5\",\"5\"]', 5, 'more', 0, 0)",
    );
    pair.source.run("insert into more values (2, 'kept')");
    let run = Job::merge(pair.platform.url(), &more).run();
    assert_eq!(run.code, 0, "{run}");
    pair.write(1, "changed");
    let digest = Pair::digest(&pair.resync(&[]));
    let mut other = pair.platform.again();
    other.run("begin; select from milepost.streams where dataset = 'more' for no key update");
    let run = pair.resync(&["--execute", &digest]);
    assert_eq!(run.code, 75, "{run}");
    assert!(
        run.stdout
            .contains("main/shop#items: batch 2 inserted 0 rows, updated 1, closed 0\n"),
        "{run}"
    );
    assert!(
        run.stderr
            .contains("another run holds stream `main/shop#more`"),
        "{run}"
    );
    other.run("rollback");
    let run = pair.repaired();
    assert!(
        run.stdout
            .contains("main/shop#more: batch 2 inserted 1 row"),
        "{run}"
    );
}

#[test]
fn a_repair_through_a_pooler_leaves_nothing_on_its_connections() {
    let mut pair = Pair::of(ALL);
    pair.write(11, "new");
    pair.write(1, "changed");
    pair.delete(3);
    // A value that does not cast has functions made for it.
    pair.source.run("alter table items alter price type numeric; insert into items values (12, 'too dear', 12345678901.00)");
    let pooler = Pooler::start(&pair.platform, 2).expect("PgBouncer starts");
    let url = pooler.url(&pair.platform);
    let resync = |pair: &Pair, more: &[&str]| {
        let job = pair.job("resync").env("MILEPOST_DATABASE_URL", &url);
        job.args(["--settle", "0"]).args(more.iter().copied()).run()
    };
    let digest = Pair::digest(&resync(&pair, &[]));
    let run = resync(&pair, &["--execute", &digest]);
    assert_eq!(run.code, 0, "{run}");
    for mut client in [(); 2].map(|()| Database::connect(&url)) {
        client.run("begin");
        let left = "select (select count(*) from pg_class c where pg_my_temp_schema() = c.relnamespace)
                         + (select count(*) from pg_proc p where pg_my_temp_schema() = p.pronamespace)";
        assert_eq!(client.value(left), "0");
    }
    let v = "select string_agg(v, ' ' order by id) from main.shop__items where id in (1, 3, 11, 12) and dp_out is null";
    assert_eq!(pair.platform.value(v), "changed new");
}
