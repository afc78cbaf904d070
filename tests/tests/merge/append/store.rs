//! A table without a key beside one with a key, merged between the transactions of their source.

use acceptance::{Cluster, Database, Job, publish, shop};
use milepost_job_spec::{Strategy, StreamSpec, TableRef};

use crate::{ALL, ends};

/// A store of two tables whose transactions END vouches for: `one` has no key, `two` has one.
fn spec() -> StreamSpec {
    let mut spec = shop::stream(ALL);
    let columns = [("id", "bigint"), ("big", "text?")];
    spec.datasets = vec![
        shop::dataset("one", Strategy::Append, &[], &columns),
        shop::dataset("two", ALL, &["id"], &columns),
    ];
    spec.transactions = Some(TableRef {
        schema: "main_staging".parse().expect("it is a name"),
        name: "shop__control".parse().expect("it is a name"),
    });
    spec
}

/// What arrived, offset by offset.
struct Staging {
    database: Database,
    spec: StreamSpec,
    offsets: [i64; 3],
}

/// The record that a transaction writes into `one`, and the row positions of those it writes into `two`.
const RECORD: i64 = 30;
const EQUAL_ROWS: i64 = 5;
const LAST: i64 = 40;

impl Staging {
    /// One transaction of one row is merged, so that the stream knows ENDs.
    fn begin() -> Self {
        let spec = spec();
        let database = Cluster::shared().database();
        publish(&database, std::slice::from_ref(&spec));
        let mut staging = Self {
            database,
            spec,
            offsets: [0; 3],
        };
        staging.row(0, (10, 11), 1);
        staging.end(10, 20, [1, 0]);
        assert_eq!(staging.merge(), "1 0");
        staging
    }

    /// A row of a transaction: its positions, and its order in the delivery.
    fn row(&mut self, table: usize, (commit, row): (i64, i64), order: i64) {
        let (name, offset) = (["one", "two"][table], self.offsets[table]);
        self.database.run(&format!(
            "insert into main_staging.shop__{name} (id, big, __op, __sequence, __lsn, __transaction_id, __transaction_total_order,
                 __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
             values ({row}, 'x', 'c', '[\"{commit}\",\"{row}\"]', {row}, '{commit}:{row}', {order}, {commit}, 'false', '{name}', 0, {offset})"
        ));
        self.offsets[table] += 1;
    }

    /// The transaction: equal rows of one record in `one`, then a row in `two`. As one delivery from row `begin` on, up to
    /// row `to`; rows of one record are delivered together.
    fn deliver(&mut self, begin: i64, from: i64, to: i64) {
        for number in from..to {
            let order = number - begin + 1;
            if number < EQUAL_ROWS {
                self.row(0, (20, RECORD), order);
            } else {
                self.row(1, (20, LAST), order);
            }
        }
    }

    /// The END of a transaction that is over at a position, with the counts of both tables.
    fn end(&mut self, transaction: i64, position: i64, counts: [i64; 2]) {
        let Self {
            database, offsets, ..
        } = self;
        ends::stage(database, &mut offsets[2], (transaction, position), counts);
    }

    /// How many rows of either table there are after a run.
    fn merge(&mut self) -> String {
        Job::merge(self.database.url(), &self.spec).succeed();
        self.database.value(
            "select (select count(*) from main.shop__one) || ' ' || (select count(*) from main.shop__two__live)",
        )
    }

    /// Every batch was vouched for by END, and verification finds nothing.
    fn is_exact(&mut self) {
        assert_eq!(
            self.database
                .value("select string_agg(distinct alignment, ' ') from milepost.batches where batch_number > 1"),
            "exact"
        );
        Job::new(self.database.url())
            .args(["verify", "--platform", "main"])
            .succeed();
    }
}

#[test]
fn equal_rows_of_a_transaction_are_counted_as_its_end_counts_them() {
    let mut staging = Staging::begin();
    staging.end(20, 60, [EQUAL_ROWS, 1]);
    for number in 0..EQUAL_ROWS {
        assert_eq!(staging.merge(), "1 0", "{number} rows are staged");
        staging.deliver(0, number, number + 1);
    }
    assert_eq!(staging.merge(), "1 0", "the other table lags");
    staging.deliver(0, EQUAL_ROWS, EQUAL_ROWS + 1);
    assert_eq!(staging.merge(), "6 1");
    staging.is_exact();
}

#[test]
fn a_part_that_is_delivered_again_does_not_pass_for_the_rest() {
    for came in 0..=EQUAL_ROWS {
        let mut staging = Staging::begin();
        staging.deliver(0, 0, came);
        assert_eq!(staging.merge(), "1 0", "{came} came");
        staging.end(20, 60, [EQUAL_ROWS, 1]);
        // The connector begins again before the transaction.
        staging.row(0, (10, 11), 1);
        for number in 0..=EQUAL_ROWS {
            assert_eq!(staging.merge(), "1 0", "{came} came, then {number}");
            staging.deliver(0, number, number + 1);
        }
        assert_eq!(staging.merge(), "6 1", "{came} came");
        staging.is_exact();
        // All of it once more.
        staging.deliver(0, 0, EQUAL_ROWS + 1);
        staging.end(20, 60, [EQUAL_ROWS, 1]);
        staging.row(1, (60, 70), 1);
        staging.end(60, 80, [0, 1]);
        assert_eq!(staging.merge(), "6 2", "{came} came");
        staging.is_exact();
    }
}

#[test]
fn the_rest_of_a_transaction_is_delivered_alone() {
    let mut staging = Staging::begin();
    staging.deliver(0, 0, EQUAL_ROWS);
    assert_eq!(staging.merge(), "1 0");
    // From the other table's row on: its END counts nothing else.
    staging.deliver(EQUAL_ROWS, EQUAL_ROWS, EQUAL_ROWS + 1);
    staging.end(20, 60, [0, 1]);
    assert_eq!(staging.merge(), "6 1");
    staging.is_exact();
}

#[test]
fn a_truncated_transaction_of_both_tables_passes_as_one() {
    let mut staging = Staging::begin();
    staging.deliver(0, 0, EQUAL_ROWS + 1);
    staging.end(20, 60, [EQUAL_ROWS, 1]);
    assert_eq!(staging.merge(), "6 1");
    staging.row(0, (60, 70), 1);
    staging.row(1, (60, 71), 2);
    staging.database.run(
        "update main_staging.shop__one set __op = 't', id = null, big = null where id = 70;
         update main_staging.shop__two set __op = 't', id = null, big = null where id = 71",
    );
    staging.end(60, 80, [1, 1]);
    let run = Job::merge(staging.database.url(), &staging.spec).run();
    assert_eq!(run.code, 1, "{run}");
    let run = Job::merge(staging.database.url(), &staging.spec)
        .args(["--truncate", "close-all"])
        .run();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(staging.merge(), "7 0");
    staging.is_exact();
}
