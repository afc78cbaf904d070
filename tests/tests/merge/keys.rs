//! Keys that change (T24): a delete of the old key and a create of the new one, with one place in the source's log.

use acceptance::{Cluster, Database, Job, publish, shop};
use milepost_job_spec::{Strategy, StreamSpec};
use test_case::test_case;

use crate::{ALL, LAST, LIVE};

const UNKNOWN: &str = "__debezium_unavailable_value";

/// A table of the source whose keys change, and its staging.
struct Things {
    spec: StreamSpec,
    database: Database,
    offset: i64,
    transaction: i64,
}

impl Things {
    fn begin(strategy: Strategy) -> Self {
        let columns = [("id", "bigint"), ("big", "text?")];
        let mut spec = shop::single_streams(&shop::stream(strategy)).remove(0);
        spec.stream.dataset = Some("things".to_owned());
        spec.datasets = vec![shop::dataset("things", strategy, &["id"], &columns)];
        let database = Cluster::shared().database();
        publish(&database, std::slice::from_ref(&spec));
        Self {
            spec,
            database,
            offset: 0,
            transaction: 0,
        }
    }

    /// A transaction of the source; events that share a place are the halves of a key change.
    fn transaction(&mut self, events: &[(i64, &str, i64, &str)]) {
        self.transaction += 1;
        let number = self.transaction;
        for (order, (place, op, id, big)) in (1..).zip(events) {
            let place = number * 100 + place;
            self.database.run(&format!(
                "insert into main_staging.shop__things (id, big, __op, __sequence, __lsn, __transaction_id,
                     __transaction_total_order, __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
                 values ({id}, '{big}', '{op}', '[\"{commit}\",\"{place}\"]', {place}, '{number}:1', {order}, {number}, 'false', 't', 0, {offset})",
                commit = number * 100 + 99,
                offset = self.offset,
            ));
            self.offset += 1;
        }
    }

    fn merge(&self) {
        Job::merge(self.database.url(), &self.spec).succeed();
    }

    fn live(&mut self) -> String {
        let is_live = if self.spec.datasets[0].strategy.is_milestoned() {
            "where dp_out is null"
        } else {
            ""
        };
        self.database.value(&format!(
            "select coalesce(string_agg(id || '=' || big, ' ' order by id), '') from main.shop__things {is_live}"
        ))
    }
}

#[test_case(LIVE; "live only")]
#[test_case(ALL; "all versions")]
#[test_case(LAST; "last version per batch")]
fn two_keys_swapped_in_one_transaction_keep_their_own_large_values(strategy: Strategy) {
    let mut things = Things::begin(strategy);
    things.transaction(&[(1, "c", 1, "one"), (2, "c", 2, "two")]);
    things.merge();
    // By way of a third key: an ordinary unique index allows no other.
    things.transaction(&[
        (1, "d", 1, ""),
        (1, "c", 3, UNKNOWN),
        (2, "d", 2, ""),
        (2, "c", 1, UNKNOWN),
        (3, "d", 3, ""),
        (3, "c", 2, UNKNOWN),
    ]);
    things.merge();
    assert_eq!(things.live(), "1=two 2=one");
}

#[test_case(LIVE; "live only")]
#[test_case(ALL; "all versions")]
#[test_case(LAST; "last version per batch")]
fn a_key_that_changes_there_and_back_is_what_it_was(strategy: Strategy) {
    let mut things = Things::begin(strategy);
    things.transaction(&[(1, "c", 1, "one")]);
    things.merge();
    things.transaction(&[(1, "d", 1, ""), (1, "c", 2, UNKNOWN)]);
    things.transaction(&[(1, "d", 2, ""), (1, "c", 1, UNKNOWN)]);
    things.merge();
    assert_eq!(things.live(), "1=one");
    assert_eq!(
        things
            .database
            .value("select count(*) from milepost.quarantine"),
        "0"
    );
}
