//! Truncates at the source (T26): what each policy does, and the way on where one stops the stream.

use acceptance::{Cluster, Database, Job, Run, publish, shop};
use milepost_job_spec::{OnTruncate, Outcome, Strategy, StreamSpec, TableRef};
use test_case::test_case;

use crate::{ALL, LAST, LIVE};

const UNKNOWN: &str = "__debezium_unavailable_value";

/// Two tables of a source, `one` and `two`, and their staging.
struct Source {
    spec: StreamSpec,
    database: Database,
    offsets: i64,
    transaction: i64,
}

impl Source {
    fn begin(strategy: Strategy, policy: OnTruncate, multi_dataset: bool) -> Self {
        let mut spec = shop::stream(strategy);
        let columns = [("id", "bigint"), ("big", "text?"), ("doc", "jsonb?")];
        spec.datasets = ["one", "two"]
            .map(|name| {
                let mut dataset = shop::dataset(name, strategy, &["id"], &columns);
                dataset.policy.truncate = policy;
                dataset
            })
            .into();
        if multi_dataset {
            spec.transactions = Some(TableRef {
                schema: "main_staging".parse().expect("an identifier"),
                name: "shop__control".parse().expect("an identifier"),
            });
        } else {
            spec = shop::single_streams(&spec).remove(0);
        }
        let database = Cluster::shared().database();
        publish(&database, std::slice::from_ref(&spec));
        Self {
            spec,
            database,
            offsets: 0,
            transaction: 0,
        }
    }

    /// A transaction: table, operation and values (`id, 'big', 'doc'`; nulls for a truncate) of each row.
    fn transaction(&mut self, rows: &[(&str, &str, &str)]) {
        self.transaction += 1;
        for (order, row) in (1..).zip(rows) {
            self.row(row, order, 0);
        }
        if let Some(table) = self.spec.transactions.clone() {
            let count = |table: &str| rows.iter().filter(|(own, ..)| *own == table).count();
            let number = self.transaction;
            self.database.run(&format!(
                "insert into {} (__connect_topic, __connect_partition, __connect_offset, payload) values ('ends', 0, {number},
                   '{{\"status\":\"END\",\"id\":\"{number}:{}\",\"event_count\":{},\"data_collections\":[
                      {{\"data_collection\":\"shop.one\",\"event_count\":{}}},{{\"data_collection\":\"shop.two\",\"event_count\":{}}}],\"ts_ms\":1}}')",
                table.quoted(), number * 100 + 99, rows.len(), count("one"), count("two"),
            ));
        }
    }

    fn row(&mut self, (table, op, values): &(&str, &str, &str), order: i64, partition: i32) {
        let (number, offset) = (self.transaction, self.offsets);
        let values = if *op == "t" {
            "null, null, null"
        } else {
            values
        };
        self.database.run(&format!(
            "insert into main_staging.shop__{table} (id, big, doc, __op, __sequence, __lsn, __transaction_id,
                 __transaction_total_order, __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
             values ({values}, '{op}', '[\"{commit}\",\"{lsn}\"]', {lsn}, '{number}:1', {order}, {number}, 'false', 't.{table}', {partition}, {offset})",
            commit = number * 100,
            lsn = number * 100 + order,
        ));
        self.offsets += 1;
    }

    fn merge(&self, arguments: &[&str]) -> Run {
        Job::merge(self.database.url(), &self.spec)
            .args(arguments.iter().copied())
            .run()
    }

    fn succeed(&self) {
        let run = self.merge(&[]);
        assert_eq!(run.code, 0, "{run}");
    }

    fn live(&mut self, table: &str) -> String {
        let is_live = if self.spec.datasets[0].strategy.is_milestoned() {
            "where dp_out is null"
        } else {
            ""
        };
        self.database.value(&format!(
            "select coalesce(string_agg(id || '=' || big, ' ' order by id), '') from main.shop__{table} {is_live}"
        ))
    }

    /// The counts of the last batch: staged, inserted, updated, deleted, unchanged, overtaken, quarantined, truncate, closed.
    fn counts(&mut self) -> String {
        self.database.value(
            "select concat_ws(' ', rows_staged, rows_inserted, rows_updated, rows_deleted, rows_unchanged, rows_overtaken,
                              rows_quarantined, rows_truncate, rows_closed)
               from milepost.batches where status = 'succeeded' order by id desc limit 1",
        )
    }

    fn verify(&self) {
        let run = Job::new(self.database.url())
            .args(["verify", "--platform", "main"])
            .run();
        assert_eq!(run.code, 0, "{run}");
    }
}

#[test_case(LIVE; "live only")]
#[test_case(LAST; "last version per batch")]
#[test_case(ALL; "all versions")]
fn a_truncate_deletes_in_its_place_what_is_live_then(strategy: Strategy) {
    let mut source = Source::begin(strategy, OnTruncate::CloseAll, false);
    source.transaction(&[("one", "c", "1, 'a', null"), ("one", "c", "2, 'b', null")]);
    source.succeed();
    // 3 lives before the truncate only; 1 comes back after it, so it counts as no closed row.
    source.transaction(&[("one", "c", "3, 'c', null")]);
    source.transaction(&[("one", "t", "")]);
    source.transaction(&[
        ("one", "c", "1, 'again', null"),
        ("one", "c", "4, 'd', null"),
    ]);
    source.transaction(&[("one", "d", "4, null, null")]);
    source.succeed();
    assert_eq!(source.live("one"), "1=again");
    let found = source.counts();
    let (staged, rest) = found.split_once(' ').expect("counts");
    assert_eq!(staged, "5");
    assert!(
        rest.ends_with(" 1 1"),
        "one truncate, one row closed: {rest}"
    );
    let sum: u64 = rest
        .split(' ')
        .take(7)
        .map(|count| count.parse::<u64>().expect("a number"))
        .sum();
    assert_eq!(sum, 5, "each staged row has one class: {found}");
    if strategy == ALL {
        let gap = "select count(*) from main.shop__one a join main.shop__one b on a.id = b.id and a.dp_out < b.dp_in where a.id = 1";
        assert_eq!(source.database.value(gap), "1", "1 was gone for a while");
    }
    source.verify();
}

#[test_case(false; "one dataset")]
#[test_case(true; "a store as one transaction")]
fn what_is_before_a_truncate_is_merged_and_then_the_stream_stops(multi_dataset: bool) {
    for (policy, live) in [("close-all", "3=c"), ("ignore", "1=a 2=b 3=c")] {
        let mut source = Source::begin(ALL, OnTruncate::Fail, multi_dataset);
        source.transaction(&[("one", "c", "1, 'a', null")]);
        source.transaction(&[("one", "c", "2, 'b', null")]);
        source.transaction(&[("one", "t", "")]);
        source.transaction(&[("one", "c", "3, 'c', null")]);
        for _ in 0..2 {
            let run = source.merge(&[]);
            assert_eq!(run.code, i32::from(Outcome::Findings.code()), "{run}");
            assert!(run.stderr.contains("truncated dataset `one`"), "{run}");
            assert!(run.stderr.contains("--truncate close-all"), "{run}");
            assert_eq!(source.live("one"), "1=a 2=b");
        }
        let failures = "select consecutive_failures from milepost.streams";
        assert_eq!(source.database.value(failures), "2");
        let run = source.merge(&["--truncate", policy]);
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(source.live("one"), live);
        assert_eq!(source.database.value(failures), "0");
        // One was let pass, not the next.
        source.transaction(&[("one", "t", "")]);
        assert_eq!(source.merge(&[]).code, 1);
        source.verify();
    }
}

#[test]
fn of_two_truncates_a_permission_lets_the_first_pass() {
    let mut source = Source::begin(LIVE, OnTruncate::Fail, false);
    source.transaction(&[("one", "c", "1, 'a', null")]);
    source.transaction(&[("one", "t", "")]);
    source.transaction(&[("one", "c", "2, 'b', null")]);
    source.transaction(&[("one", "t", "")]);
    source.transaction(&[("one", "c", "3, 'c', null")]);
    let run = source.merge(&["--truncate", "close-all"]);
    assert_eq!(run.code, 1, "{run}");
    assert_eq!(source.live("one"), "2=b");
    let run = source.merge(&["--truncate", "close-all"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(source.live("one"), "3=c");
}

#[test]
fn a_transaction_that_truncates_one_of_its_tables_is_merged_as_one() {
    let mut source = Source::begin(ALL, OnTruncate::CloseAll, true);
    source.transaction(&[("one", "c", "1, 'a', null"), ("two", "c", "1, 'x', null")]);
    source.succeed();
    source.transaction(&[
        ("two", "c", "2, 'y', null"),
        ("one", "t", ""),
        ("one", "c", "2, 'b', null"),
        ("two", "t", ""),
    ]);
    source.succeed();
    assert_eq!(source.live("one"), "2=b");
    assert_eq!(source.live("two"), "");
    assert_eq!(
        source
            .database
            .value("select string_agg(distinct alignment, ' ') from milepost.batches where batch_number > 1"),
        "exact"
    );
    source.verify();
}

#[test]
fn no_value_is_filled_from_before_a_truncate_and_quarantine_ends_at_it() {
    let mut source = Source::begin(ALL, OnTruncate::CloseAll, false);
    source.transaction(&[("one", "c", "1, 'a', '{}'"), ("one", "u", "2, 'b', '{'")]);
    source.succeed();
    source.transaction(&[("one", "u", "3, 'c', '{'")]);
    source.transaction(&[("one", "t", "")]);
    let partial = format!("1, '{UNKNOWN}', '[]'");
    source.transaction(&[("one", "u", &partial), ("one", "c", "2, 'new', '{}'")]);
    source.succeed();
    assert_eq!(source.live("one"), "2=new");
    assert_eq!(
        source
            .database
            .value("select string_agg((key ->> 'id') || ' ' || status, ', ' order by \"offset\") from milepost.quarantine"),
        "2 superseded, 3 superseded, 1 open"
    );
    source.verify();
}

/// A key that had no row when the table was truncated is not deleted there; what was set aside of it ends all the same.
#[test_case(false; "in one batch")]
#[test_case(true; "in a later batch")]
fn behind_a_truncate_a_key_that_was_set_aside_takes_values_by_a_key_change(later: bool) {
    for strategy in [LIVE, ALL, LAST] {
        let mut source = Source::begin(strategy, OnTruncate::CloseAll, false);
        source.transaction(&[("one", "c", "2, 'a', '{'")]);
        if later {
            source.succeed();
        }
        source.transaction(&[("one", "t", "")]);
        source.transaction(&[("one", "c", "1, 'long', '{}'")]);
        source.transaction(&[]);
        source.row(&("one", "d", "1, null, null"), 1, 0);
        source.row(&("one", "c", &format!("2, '{UNKNOWN}', '{{}}'")), 1, 0);
        source.succeed();
        assert_eq!(source.live("one"), "2=long", "{strategy:?}");
        assert_eq!(
            source
                .database
                .value("select string_agg(status, ' ') from milepost.quarantine"),
            "superseded"
        );
        source.verify();
    }
}

#[test]
fn a_truncate_that_is_delivered_again_deletes_nothing() {
    let mut source = Source::begin(LIVE, OnTruncate::CloseAll, false);
    source.transaction(&[("one", "t", "")]);
    source.transaction(&[("one", "c", "1, 'a', null")]);
    source.succeed();
    source.transaction = 1;
    source.row(&("one", "t", ""), 1, 0);
    source.succeed();
    assert_eq!(source.live("one"), "1=a");
    assert_eq!(
        source
            .database
            .value("select sum(rows_replayed) from milepost.batches"),
        "1"
    );
}

#[test]
fn what_a_truncate_of_several_partitions_came_after_nobody_knows() {
    let mut source = Source::begin(LIVE, OnTruncate::CloseAll, false);
    source.transaction(&[("one", "c", "1, 'a', null")]);
    source.transaction += 1;
    source.row(&("one", "c", "2, 'b', null"), 1, 1);
    source.succeed();
    source.transaction(&[("one", "t", "")]);
    let run = source.merge(&[]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("several partitions"), "{run}");
    assert!(run.stderr.contains("--truncate ignore"), "{run}");
    assert_eq!(source.live("one"), "1=a 2=b");
}

#[test_case(LIVE; "live only")]
#[test_case(ALL; "all versions")]
fn a_run_killed_at_any_step_of_a_truncate_is_made_good(strategy: Strategy) {
    for step in [
        "read",
        "quarantine",
        "fill",
        "reduce",
        "close",
        "apply",
        "record",
        "commit",
        "done",
    ] {
        let mut source = Source::begin(strategy, OnTruncate::CloseAll, false);
        source.transaction(&[("one", "c", "1, 'a', null"), ("one", "c", "2, 'b', null")]);
        source.succeed();
        source.transaction(&[("one", "t", ""), ("one", "c", "2, 'new', null")]);
        let killed = Job::merge(source.database.url(), &source.spec)
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(killed.code, -1, "{step}: {killed}");
        source.succeed();
        assert_eq!(source.live("one"), "2=new", "{step}");
        source.verify();
    }
}
