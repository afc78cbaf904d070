//! Keys that change at once: a source that checks its constraint late has rows take keys that others still have.

use acceptance::{Cluster, Database, Job, publish_model, shop};
use milepost_job_spec::{SourcePosition, Strategy, StreamSpec};
use test_case::test_case;

use crate::{ALL, LAST, LIVE};

const UNKNOWN: &str = "__debezium_unavailable_value";

/// An event: the transaction and the place of the change in it, operation, key, large value.
type Event = (i64, i64, &'static str, i64, &'static str);

/// Two rows swap keys.
const SWAP: &[Event] = &[
    (2, 1, "d", 1, ""),
    (2, 1, "c", 2, UNKNOWN),
    (2, 2, "d", 2, ""),
    (2, 2, "c", 1, UNKNOWN),
];
/// `update … set id = id + 1`.
const SHIFT: &[Event] = &[
    (2, 1, "d", 1, ""),
    (2, 1, "c", 2, UNKNOWN),
    (2, 2, "d", 2, ""),
    (2, 2, "c", 3, UNKNOWN),
    (2, 3, "d", 3, ""),
    (2, 3, "c", 4, UNKNOWN),
];
const ROTATE: &[Event] = &[
    (2, 1, "d", 1, ""),
    (2, 1, "c", 2, UNKNOWN),
    (2, 2, "d", 2, ""),
    (2, 2, "c", 3, UNKNOWN),
    (2, 3, "d", 3, ""),
    (2, 3, "c", 1, UNKNOWN),
];
/// Two statements of one transaction, each of which finds the row of key 1 first.
const TWICE: &[Event] = &[
    (2, 1, "d", 1, ""),
    (2, 1, "c", 2, UNKNOWN),
    (2, 2, "d", 2, ""),
    (2, 2, "c", 1, UNKNOWN),
    (2, 3, "d", 1, ""),
    (2, 3, "c", 2, UNKNOWN),
    (2, 4, "d", 2, ""),
    (2, 4, "c", 1, UNKNOWN),
];
/// The same, and the second finds the row of key 2 first.
const THERE_AND_BACK: &[Event] = &[
    (2, 1, "d", 1, ""),
    (2, 1, "c", 2, UNKNOWN),
    (2, 2, "d", 2, ""),
    (2, 2, "c", 1, UNKNOWN),
    (2, 3, "d", 2, ""),
    (2, 3, "c", 1, UNKNOWN),
    (2, 4, "d", 1, ""),
    (2, 4, "c", 2, UNKNOWN),
];
const IN_TWO_TRANSACTIONS: &[Event] = &[
    (2, 1, "d", 1, ""),
    (2, 1, "c", 2, UNKNOWN),
    (2, 2, "d", 2, ""),
    (2, 2, "c", 1, UNKNOWN),
    (3, 1, "d", 2, ""),
    (3, 1, "c", 3, UNKNOWN),
    (3, 2, "d", 3, ""),
    (3, 2, "c", 2, UNKNOWN),
];
const THEN_DELETED: &[Event] = &[
    (2, 1, "d", 1, ""),
    (2, 1, "c", 2, UNKNOWN),
    (2, 2, "d", 2, ""),
    (2, 2, "c", 1, UNKNOWN),
    (2, 3, "d", 2, ""),
];
const THEN_UPDATED: &[Event] = &[
    (2, 1, "d", 1, ""),
    (2, 1, "c", 2, UNKNOWN),
    (2, 2, "d", 2, ""),
    (2, 2, "c", 1, UNKNOWN),
    (2, 3, "u", 2, "z"),
];
/// The row whose key was taken is deleted.
const TAKEN_AND_DELETED: &[Event] = &[
    (2, 1, "d", 1, ""),
    (2, 1, "c", 2, UNKNOWN),
    (2, 2, "d", 2, ""),
];
/// An ordinary key that moves on: its delete is of the row that has it now.
const MOVED_ON: &[Event] = &[
    (2, 1, "d", 1, ""),
    (2, 1, "c", 5, UNKNOWN),
    (2, 2, "d", 5, ""),
    (2, 2, "c", 6, UNKNOWN),
];

struct Things {
    spec: StreamSpec,
    database: Database,
    offset: i64,
}

impl Things {
    fn begin(strategy: Strategy, max_rows: u64) -> Self {
        let columns = [("id", "bigint"), ("big", "text?")];
        let mut spec = shop::single_streams(&shop::stream(strategy)).remove(0);
        spec.stream.dataset = Some("things".to_owned());
        spec.limits.max_rows = max_rows;
        spec.datasets = vec![shop::dataset("things", strategy, &["id"], &columns)];
        let database = Cluster::shared().database();
        let mut things = Self {
            spec,
            database,
            offset: 0,
        };
        things.publish(1);
        things.stage(&[
            (1, 1, "c", 1, "a"),
            (1, 2, "c", 2, "b"),
            (1, 3, "c", 3, "c"),
        ]);
        assert!(things.merge().contains("batch"));
        things
    }

    fn publish(&self, order: u64) {
        let run = publish_model(&self.database, std::slice::from_ref(&self.spec), order);
        assert_eq!(run.code, 0, "{run}");
    }

    fn stage(&mut self, events: &[Event]) {
        for (transaction, place, op, id, big) in events {
            let place = transaction * 100 + place;
            self.database.run(&format!(
                "insert into main_staging.shop__things (id, big, __op, __sequence, __lsn, __transaction_id,
                     __transaction_total_order, __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
                 values ({id}, '{big}', '{op}', '[\"{commit}\",\"{place}\"]', {place}, '{transaction}:1', {order}, {transaction}, 'false', 't', 0, {offset})",
                commit = transaction * 100 + 99,
                order = self.offset + 1,
                offset = self.offset,
            ));
            self.offset += 1;
        }
    }

    fn merge(&self) -> String {
        let run = Job::merge(self.database.url(), &self.spec).run();
        assert_eq!(run.code, 0, "{run}");
        run.stdout
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

    fn verifies(&self) {
        Job::new(self.database.url())
            .args(["verify", "--platform", "main"])
            .succeed();
    }
}

#[test_case(SWAP, "1=b 2=a 3=c"; "swap")]
#[test_case(SHIFT, "2=a 3=b 4=c"; "shift")]
#[test_case(ROTATE, "1=c 2=a 3=b"; "rotate")]
#[test_case(TWICE, "1=a 2=b 3=c"; "twice")]
#[test_case(THERE_AND_BACK, "1=a 2=b 3=c"; "there and back")]
#[test_case(IN_TWO_TRANSACTIONS, "1=b 2=c 3=a"; "in two transactions")]
#[test_case(THEN_DELETED, "1=b 3=c"; "then deleted")]
#[test_case(THEN_UPDATED, "1=b 2=z 3=c"; "then updated")]
#[test_case(TAKEN_AND_DELETED, "2=a 3=c"; "taken and deleted")]
#[test_case(MOVED_ON, "2=b 3=c 6=a"; "moved on")]
fn rows_that_take_keys_of_others_are_all_there(events: &[Event], live: &str) {
    for strategy in [LIVE, ALL, LAST] {
        let mut things = Things::begin(strategy, 1000);
        things.stage(events);
        things.merge();
        assert_eq!(things.live(), live, "{strategy:?}, at once");
        things.verifies();
    }
    // Nothing follows, and a batch has room for a part of it only.
    for max_rows in [1, 2, 3] {
        let mut things = Things::begin(ALL, max_rows);
        things.stage(events);
        things.merge();
        assert_eq!(things.live(), live, "{max_rows} rows a batch");
        things.verifies();
    }
    // The sink lags in the middle, and a batch has room for so many rows only.
    for cut in 1..events.len() {
        for max_rows in [2, 1000] {
            let mut things = Things::begin(ALL, max_rows);
            things.stage(&events[..cut]);
            things.merge();
            things.stage(&events[cut..]);
            things.merge();
            // What is not known to be whole before a row of another transaction comes.
            things.stage(&[(9, 1, "c", 9, "i")]);
            things.merge();
            let when = format!("after {cut} events, {max_rows} rows a batch");
            assert_eq!(things.live(), format!("{live} 9=i"), "{when}");
            things.verifies();
        }
    }
}

#[test]
fn a_batch_time_shows_the_keys_before_and_after() {
    let mut things = Things::begin(ALL, 1000);
    things.stage(SWAP);
    things.merge();
    let as_of = |things: &mut Things, number: i64| {
        things.database.value(&format!(
            "select string_agg(t.id || '=' || t.big, ' ' order by t.id) from main.shop__things t
               join milepost.batches b on b.batch_number = {number}
              where t.dp_in <= b.batch_time and (t.dp_out is null or t.dp_out > b.batch_time)"
        ))
    };
    assert_eq!(as_of(&mut things, 1), "1=a 2=b 3=c");
    assert_eq!(as_of(&mut things, 2), "1=b 2=a 3=c");
}

/// A source whose log has no place of a row in its transaction.
#[test_case(SWAP, &["a", "b"], "1=b 2=a 3=c"; "swap")]
#[test_case(SHIFT, &["a", "b", "c"], "2=a 3=b 4=c"; "shift")]
#[test_case(THEN_DELETED, &["a", "b"], "1=b 3=c"; "then deleted")]
#[test_case(MOVED_ON, &["a", "a"], "2=b 3=c 6=a"; "moved on")]
fn without_a_place_the_halves_of_a_key_change_are_side_by_side(
    events: &[Event],
    values: &[&str],
    live: &str,
) {
    let mut things = Things::begin(ALL, 1000);
    things.database = Cluster::shared().database();
    things.spec.source = SourcePosition::Oracle;
    things.publish(1);
    let rows = [
        (1, 1, "c", 1, "a"),
        (1, 2, "c", 2, "b"),
        (1, 3, "c", 3, "c"),
    ];
    let mut values = values.iter();
    for (offset, (transaction, _, op, id, big)) in rows.iter().chain(events).enumerate() {
        // Nothing is filled across keys: the source sends every value.
        let big = if *big == UNKNOWN {
            values.next().expect("each new key has its value")
        } else {
            big
        };
        things.database.run(&format!(
            "insert into main_staging.shop__things (id, big, __op, __source_commit_scn, __transaction_id, __source_ts_us, __snapshot,
                 __connect_topic, __connect_partition, __connect_offset)
             values ({id}, '{big}', '{op}', '{transaction}', 't{transaction}', {transaction}, 'false', 't', 0, {offset})"
        ));
        if offset + 1 == rows.len() {
            things.merge();
        }
    }
    things.merge();
    assert_eq!(things.live(), live);
}

/// A row of the merge table that the source has lost without a word looks like one whose key is taken.
#[test]
fn a_key_of_a_row_that_is_gone_is_taken_when_the_transaction_is_over() {
    let mut things = Things::begin(ALL, 1000);
    things.stage(&[(2, 1, "d", 1, ""), (2, 1, "c", 2, "a")]);
    let told = things.merge();
    assert!(
        told.contains("waiting for the rest of transaction 2"),
        "{told}"
    );
    assert_eq!(things.live(), "1=a 2=b 3=c");
    things.stage(&[(3, 1, "u", 3, "z")]);
    things.merge();
    assert_eq!(things.live(), "2=a 3=z");
}

/// A truncate that nothing lets pass ends a batch that was drawn out to the end of such a transaction.
#[test]
fn what_is_before_a_truncate_is_merged_also_where_a_batch_was_drawn_out() {
    for strategy in [LIVE, ALL, LAST] {
        let mut things = Things::begin(strategy, 4);
        things.stage(&[
            (2, 1, "c", 5, "e"),
            (3, 1, "t", 0, ""),
            (4, 1, "d", 1, ""),
            (4, 1, "c", 2, UNKNOWN),
            (4, 2, "d", 2, ""),
            (4, 2, "c", 1, UNKNOWN),
            (5, 1, "u", 3, "z"),
        ]);
        things
            .database
            .run("update main_staging.shop__things set id = null, big = null where __op = 't'");
        let run = Job::merge(things.database.url(), &things.spec).run();
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains("all before it is merged"), "{run}");
        assert_eq!(things.live(), "1=a 2=b 3=c 5=e", "{strategy:?}");
        Job::merge(things.database.url(), &things.spec)
            .args(["--truncate", "ignore"])
            .succeed();
        assert_eq!(things.live(), "1=b 2=a 3=z 5=e", "{strategy:?}");
        things.verifies();
    }
}

/// A connector that is killed delivers the rest of the transaction again, and its orders begin at 1; or it went back further,
/// and they are higher than those of the first delivery.
#[test]
fn a_delete_that_is_delivered_again_ends_nothing() {
    for strategy in [LIVE, ALL, LAST] {
        for again in [0, 2] {
            for (in_one_batch, orders) in [(true, -6), (false, -6), (true, 50), (false, 50)] {
                let when = format!("{strategy:?}, from {again}, {in_one_batch}, {orders}");
                let mut things = Things::begin(strategy, 1000);
                things.stage(SWAP);
                if !in_one_batch {
                    things.merge();
                }
                things.stage(&SWAP[again..]);
                things.database.run(&format!(
                    "update main_staging.shop__things set __transaction_total_order = __connect_offset + {orders} where __connect_offset > 6",
                ));
                things.merge();
                assert_eq!(things.live(), "1=b 2=a 3=c", "{when}");
                // What comes next is news.
                things.stage(&[(3, 1, "d", 2, ""), (3, 2, "u", 1, "z")]);
                things.merge();
                assert_eq!(things.live(), "1=z 3=c", "{when}");
                things.verifies();
            }
        }
    }
}

/// A value that does not fit comes with the row that took the key, or with the one that had it.
#[test]
fn what_does_not_fit_is_set_aside_and_not_superseded_by_the_delete_before_it() {
    let mut things = Things::begin(ALL, 1000);
    things.spec.datasets[0].columns[1].nullable = false;
    let columns = [("id", "bigint"), ("big", "text")];
    things.spec.datasets = vec![shop::dataset("things", ALL, &["id"], &columns)];
    things.publish(2);
    things.stage(SWAP);
    things
        .database
        .run("update main_staging.shop__things set big = null where __connect_offset = 4");
    things
        .database
        .run("alter table main.shop__things alter column big set not null");
    things.merge();
    assert_eq!(things.live(), "1=b 3=c");
    assert_eq!(
        things
            .database
            .value("select string_agg(status || ' ' || \"offset\", ', ') from milepost.quarantine"),
        "open 4"
    );
}

/// A statement that moves every key on, of more rows than anybody would try pair by pair.
#[test]
fn a_whole_table_may_move_on() {
    const ROWS: i64 = 20_000;
    let mut things = Things::begin(ALL, 1000);
    let columns = "id, big, __op, __sequence, __lsn, __transaction_id, __transaction_total_order, __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset";
    things.database.run(&format!(
        "insert into main_staging.shop__things ({columns})
         select 10 + n, 'v' || n, 'c', '[\"10000\",\"' || 10000 + n || '\"]', 10000 + n, '5:1', n, 5, 'false', 't', 0, 3 + n
           from generate_series(0, {ROWS} - 1) n;
         insert into main_staging.shop__things ({columns})
         select 10 + n + half, '{UNKNOWN}', case half when 0 then 'd' else 'c' end, '[\"1000000\",\"' || 1000000 + n || '\"]',
                1000000 + n, '6:1', 2 * n + half, 6, 'false', 't', 0, 3 + {ROWS} + 2 * n + half
           from generate_series(0, {ROWS} - 1) n, generate_series(0, 1) half"
    ));
    things.offset = 3 + 3 * ROWS;
    things.stage(&[(90_000, 1, "c", 9, "i")]);
    things.merge();
    assert_eq!(
        things.database.value(&format!(
            "select count(*) || ' ' || count(*) filter (where big = 'v' || id - 11) from main.shop__things
              where dp_out is null and id > 10 and id <= 10 + {ROWS}"
        )),
        format!("{ROWS} {ROWS}")
    );
}
