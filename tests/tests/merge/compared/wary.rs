//! What a comparison must not trust: a source that is behind, events that wait, texts that are cut, keys of another type.

use acceptance::{Cluster, Job, publish, shop};
use milepost_job_spec::DatasetSpec;
use test_case::test_case;

use super::{ALL, Pair, Strategy, stream};

/// A source with a table of its own, and a platform where these rows of it are merged.
fn pair(table: &str, dataset: DatasetSpec, rows: &str) -> Pair {
    let mut source = Cluster::shared().empty_database();
    source.run(table);
    let platform = Cluster::shared().database();
    let name = dataset.name.clone();
    let columns: Vec<String> = dataset
        .columns
        .iter()
        .map(|own| own.name.quoted())
        .collect();
    let mut spec = stream(&source, vec![dataset]);
    spec.datasets[0].policy.max_missing_percent = 100;
    publish(&platform, std::slice::from_ref(&spec));
    let mut pair = Pair {
        source,
        platform,
        spec,
        next: 0,
    };
    pair.platform.run(&format!(
        "insert into main_staging.shop__{name} ({columns}, __op, __sequence, __lsn, __transaction_id, __transaction_total_order,
             __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
         select {columns}, 'c', format('[\"%s\",\"%s\"]', 100 + n, 100 + n), 100 + n, 100 + n || ':1', 1, 1, 'false', 't', 0, n
           from (select q.*, row_number() over () as n from ({rows}) q({columns})) q",
        columns = columns.join(", "),
    ));
    pair.merged();
    pair
}

fn live(pair: &mut Pair, sql: &str) -> String {
    let table = pair.spec.datasets[0].live_table().quoted();
    pair.platform.value(&format!("select {sql} from {table}"))
}

#[test]
fn rows_of_a_source_that_is_older_than_what_is_merged_are_never_taken() {
    let mut pair = Pair::of(ALL);
    pair.write(1, "changed");
    let digest = Pair::digest(&pair.resync(&[]));
    // Merged from a commit that this source, a standby or a restored copy, does not have yet.
    pair.stage("u", 2, "newer");
    pair.stage("c", 11, "newer");
    pair.platform.run(
        "update main_staging.shop__items set __lsn = 900000000000000 + __lsn, __sequence = format('[\"%s\",\"%s\"]', 900000000000000 + __lsn, 900000000000000 + __lsn)
          where v = 'newer'",
    );
    pair.merged();
    let run = pair.verify();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stdout
            .contains("error[source-older]: shop#items: 3 rows differ from a source that is older"),
        "{run}"
    );
    assert!(!run.stdout.contains("repair plan"), "{run}");
    let run = pair.resync(&["--execute", &digest]);
    assert_eq!(run.code, 2, "{run}");
    assert_eq!(
        live(
            &mut pair,
            "string_agg(v, ' ' order by id) filter (where id in (1, 2, 11))"
        ),
        "old newer newer"
    );
}

#[test]
fn a_truncate_that_waits_is_an_event_of_every_row() {
    let mut pair = Pair::of(ALL);
    pair.source.run("truncate items");
    pair.stage("t", 3, "");
    pair.write(1, "after the truncate");
    let run = pair.verify();
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout.contains(": 10 staged and not merged yet"),
        "{run}"
    );
    let run = Job::merge(pair.platform.url(), &pair.spec)
        .args(["--truncate", "close-all"])
        .run();
    assert_eq!(run.code, 0, "{run}");
    pair.repaired();
    pair.is_equal();
}

#[test]
fn an_event_in_a_partition_that_nobody_knows_yet_is_waited_for() {
    let mut pair = Pair::of(ALL);
    pair.write(1, "newest");
    pair.stage("u", 1, "older");
    pair.platform.run(
        "update main_staging.shop__items set __connect_partition = 1, __connect_offset = 0 where v = 'older'",
    );
    let run = pair.verify();
    assert!(run.stdout.contains("1 staged and not merged yet"), "{run}");
    let plan = pair.resync(&[]);
    assert!(!plan.stdout.contains("repair plan"), "{plan}");
}

#[test_case(ALL; "all versions")]
#[test_case(Strategy::LiveOnly; "live only")]
fn a_text_that_the_table_would_cut_does_not_fit(strategy: Strategy) {
    let columns = [("c", "character varying(6)"), ("v", "character(3)?")];
    let mut pair = pair(
        "create table e (c character varying(20) primary key, v text); insert into e values ('abcdef', 'x'), ('y', 'y'), ('z', 'z')",
        shop::dataset("e", strategy, &["c"], &columns),
        "values ('abcdef', 'x'), ('y', 'y'), ('z', 'z')",
    );
    let run = pair.verify();
    assert_eq!(run.code, 0, "{run}");
    // A key that is cut is not the other one, and a value that is cut is not equal.
    pair.source.run("insert into e values ('abcdefG', 'x'); update e set v = 'yyyy' where c = 'y'; update e set v = 'w' where c = 'z'");
    let run = pair.verify();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stdout
            .contains("error[source-unfit]: shop#e: 2 rows of the source"),
        "{run}"
    );
    pair.repaired();
    assert_eq!(
        live(&mut pair, "string_agg(c || '=' || v, ', ' order by c)"),
        "abcdef=x, y=y, z=w"
    );
}

#[test_case("integer", "numeric(12,2)", "1", "7")]
#[test_case("integer", "bigint", "1", "5000000000")]
#[test_case("integer", "text", "1", "'lost'")]
#[test_case("uuid", "text", "'6b0b1d2e-0000-4000-8000-000000000001'", "'lost'")]
#[test_case("boolean", "text", "'t'", "'lost'")]
#[test_case("date", "timestamp(6) with time zone", "'2020-01-01'", "'2020-01-02'")]
#[test_case("color", "text", "'red'", "'blue'")]
fn a_key_that_the_source_cannot_read_is_found_and_closed(
    source: &str,
    merge: &str,
    kept: &str,
    lost: &str,
) {
    let mut pair = pair(
        &format!(
            "create type color as enum ('red', 'green'); create table e (c {source} primary key, v text); insert into e values ({kept}, 'a')"
        ),
        shop::dataset("e", ALL, &["c"], &[("c", merge), ("v", "text?")]),
        &format!("select {kept}::{merge}, 'a' union all select {lost}::{merge}, 'b'"),
    );
    let run = pair.verify();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stdout
            .contains("error[source-extra]: shop#e: 1 row of the table"),
        "{run}"
    );
    pair.repaired();
    let run = pair.verify();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(live(&mut pair, "string_agg(v, ' ')"), "a");
}

#[test]
fn a_key_of_several_rows_at_the_source_has_no_right_one() {
    let mut pair = Pair::of(ALL);
    pair.source.run(
        "alter table items drop constraint items_pkey; alter table items alter price type numeric",
    );
    pair.source.run(
        "insert into items values (1, 'twice', 1), (50, 'a', 1), (50, 'b', 1), (60, 'fits', 1), (60, 'does not', 12345678901), (70, 'lost', 1)",
    );
    let run = pair.verify();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stdout
            .contains("source-unfit]: shop#items: 6 rows of the source cannot be in the table"),
        "{run}"
    );
    pair.repaired();
    assert_eq!(
        live(
            &mut pair,
            "string_agg(v, ' ' order by id) filter (where id in (1, 50, 60, 70))"
        ),
        "old lost"
    );
}

#[test]
fn a_stream_that_fails_goes_on_failing() {
    let mut pair = Pair::of(ALL);
    pair.stage("c", 2, "x");
    pair.platform
        .run("update main_staging.shop__items set __op = 'x' where v = 'x'");
    for _ in 0..3 {
        let run = Job::merge(pair.platform.url(), &pair.spec).run();
        assert_eq!(run.code, 1, "{run}");
    }
    pair.write(1, "lost");
    pair.repaired();
    let status = "select status || ' ' || consecutive_failures from milepost.stream_status";
    assert_eq!(pair.platform.value(status), "failed 3");
}

#[test]
fn a_wide_table_is_compared() {
    let names: Vec<String> = (0..1200).map(|n| format!("col{n}")).collect();
    let mut columns = vec![("id", "bigint")];
    columns.extend(names.iter().map(|name| (name.as_str(), "integer?")));
    let all: Vec<String> = names.iter().map(|name| format!("{name} integer")).collect();
    let nulls = vec!["null::integer"; names.len()].join(", ");
    let mut pair = pair(
        &format!(
            "create table w (id bigint primary key, {}); insert into w (id) values (1), (2)",
            all.join(", ")
        ),
        shop::dataset("w", ALL, &["id"], &columns),
        &format!("select i, {nulls} from generate_series(1, 2) i"),
    );
    pair.source.run("update w set col7 = 3 where id = 2");
    pair.repaired();
    let run = pair.verify();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(live(&mut pair, "sum(col7)"), "3");
}

/// So many that ranges of keys differ by more rows than are compared one by one, had somebody counted them so.
#[test]
fn equal_rows_are_equal_however_their_server_spells_them() {
    let mut cluster = Cluster::shared().empty_database();
    cluster.run("create database of_latin1 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0");
    let columns = [("c", "text"), ("v", "integer?")];
    let mut pair = pair(
        "select",
        shop::dataset("e", Strategy::LiveOnly, &["c"], &columns),
        "values ('é1', 1)",
    );
    let rows = "select 'é' || i, i from generate_series(2, 600000) i";
    pair.platform
        .run(&format!("insert into main.shop__e (c, v) {rows}"));
    let url = pair
        .source
        .url()
        .replace(&format!("/{}", pair.source.name()), "/of_latin1");
    pair.source = acceptance::Database::connect(&url);
    pair.source.run(&format!(
        "create table e (c text primary key, v integer); insert into e values ('é1', 1); insert into e {rows}"
    ));
    let run = pair.verify();
    assert_eq!(run.code, 0, "{run}");
    pair.source
        .run("update e set v = -1 where v = 17; delete from e where v = 18");
    let run = pair.verify();
    assert!(
        run.stdout
            .contains("600000 rows compared with the source: 2 diverged"),
        "{run}"
    );
}
