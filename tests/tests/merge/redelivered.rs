//! A connector that is killed inside a transaction delivers the rest of it again, with an END that counts the rest only.

use acceptance::{Cluster, Database, Job, publish, publish_model, shop};
use milepost_job_spec::{StreamSpec, TableRef};

use crate::{ALL, ends};

/// The transaction has so many rows in table `one`, then in table `two`.
const ROWS: [i64; 2] = [8, 2];

/// A store of two tables whose transactions END vouches for.
fn spec() -> StreamSpec {
    let mut spec = shop::stream(ALL);
    let columns = [("id", "bigint"), ("big", "text?")];
    spec.datasets = ["one", "two"]
        .map(|name| shop::dataset(name, ALL, &["id"], &columns))
        .into();
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
        staging.row(0, 1000, (10, 11), 1);
        staging.end(20, [1, 0]);
        assert_eq!(staging.merge(), "1");
        staging
    }

    /// A row of a transaction: its row position, and its order in the delivery.
    fn row(&mut self, table: usize, id: i64, (commit, row): (i64, i64), order: i64) {
        let (name, offset) = (["one", "two"][table], self.offsets[table]);
        self.database.run(&format!(
            "insert into main_staging.shop__{name} (id, big, __op, __sequence, __lsn, __transaction_id, __transaction_total_order,
                 __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
             values ({id}, 'x', 'c', '[\"{commit}\",\"{row}\"]', {row}, '{commit}:{row}', {order}, {commit}, 'false', '{name}', 0, {offset})"
        ));
        self.offsets[table] += 1;
    }

    /// Rows `from..to` of the transaction at commit position 20, as one delivery that begins at row `begin`.
    fn deliver(&mut self, begin: i64, from: i64, to: i64) {
        for number in from..to {
            let table = usize::from(number >= ROWS[0]);
            self.row(table, number, (20, 30 + number), number - begin + 1);
        }
    }

    /// The END of a transaction that is over at a position, with the counts of both tables.
    fn end(&mut self, position: i64, counts: [i64; 2]) {
        let transaction = if position == 20 { 10 } else { 20 };
        let Self {
            database, offsets, ..
        } = self;
        ends::stage(database, &mut offsets[2], (transaction, position), counts);
    }

    /// How many rows are live after a run.
    fn merge(&mut self) -> String {
        Job::merge(self.database.url(), &self.spec).succeed();
        self.database.value(
            "select (select count(*) from main.shop__one__live) + (select count(*) from main.shop__two__live)",
        )
    }

    fn alignments(&mut self) -> String {
        self.database
            .value("select string_agg(alignment, ' ' order by id) from milepost.batches")
    }
}

#[test]
fn the_rest_of_a_transaction_is_not_merged_before_all_of_it_is_staged() {
    let whole = (ROWS[0] + ROWS[1] + 1).to_string();
    // How far the first delivery came, and where the second one begins.
    for (came, begins) in [(6, 3), (5, 5), (7, 2), (7, 6), (5, 4)] {
        let mut staging = Staging::begin();
        staging.deliver(0, 0, came);
        assert_eq!(staging.merge(), "1", "without an END");
        let rest = [(ROWS[0] - begins).max(0), ROWS[1].min(10 - begins)];
        staging.end(60, rest);
        // The second delivery's rows of the other table are staged first, for topics are read each at its own pace.
        let other = begins.max(ROWS[0])..10;
        for next in other.chain(begins..ROWS[0]) {
            let when = format!("came {came}, begins {begins}, next {next}");
            assert_eq!(staging.merge(), "1", "{when}");
            staging.deliver(begins, next, next + 1);
        }
        assert_eq!(staging.merge(), whole, "came {came}, begins {begins}");
        assert_eq!(staging.alignments(), "exact exact");
    }
}

#[test]
fn a_late_delivery_of_what_is_merged_holds_up_nothing() {
    let mut staging = Staging::begin();
    staging.deliver(0, 0, 6);
    staging.deliver(4, 4, 10);
    staging.end(60, [4, 2]);
    // A worker that was taken for dead sends what it still had, and ends the transaction as it counts it.
    staging.deliver(0, 6, 10);
    staging.end(60, [8, 2]);
    assert_eq!(staging.merge(), "11");
    staging.deliver(0, 0, 10);
    staging.end(60, [8, 2]);
    assert_eq!(staging.merge(), "11");
    assert_eq!(
        staging
            .database
            .value("select count(*) from milepost.quarantine"),
        "0"
    );
}

#[test]
fn a_part_of_a_transaction_and_its_rest_may_lie_far_apart() {
    let mut staging = Staging::begin();
    staging.spec.limits.max_rows = 10;
    let published = publish_model(&staging.database, std::slice::from_ref(&staging.spec), 2);
    assert_eq!(published.code, 0, "{published}");
    // The worker was killed when it had sent one row of the transaction; the next one begins a long way before it.
    staging.deliver(0, 0, 1);
    for _ in 0..200 {
        staging.row(0, 1000, (10, 11), 1);
    }
    staging.deliver(0, 0, 10);
    staging.end(60, [8, 2]);
    assert_eq!(staging.merge(), "11");
    let replayed = "select sum(rows_replayed) from milepost.batches";
    assert_eq!(staging.database.value(replayed), "201");
}

#[test]
fn a_rest_without_a_row_ends_its_transaction() {
    let mut staging = Staging::begin();
    staging.deliver(0, 0, 10);
    assert_eq!(staging.merge(), "1", "without an END");
    staging.end(60, [0, 0]);
    assert_eq!(staging.merge(), "11");
}
