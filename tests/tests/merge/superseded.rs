//! A stream that waits for a transaction that never becomes whole, and the new snapshot that ends the wait: rows as Postgres
//! has them. Other sources are in `position.rs`.

use acceptance::{Cluster, Database, Job, publish, shop};
use milepost_job_spec::{StreamSpec, TableRef};

use crate::ALL;

/// Two tables, `one` and `two`, and the ENDs of their transactions.
struct Staging {
    database: Database,
    spec: StreamSpec,
    next: i64,
}

impl Staging {
    /// A transaction of both tables is merged.
    fn begin() -> Self {
        let mut spec = shop::stream(ALL);
        spec.datasets = ["one", "two"]
            .map(|name| shop::dataset(name, ALL, &["id"], &[("id", "bigint"), ("v", "text?")]))
            .into();
        spec.transactions = Some(TableRef {
            schema: "main_staging".parse().expect("it is a name"),
            name: "shop__control".parse().expect("it is a name"),
        });
        let database = Cluster::shared().database();
        publish(&database, std::slice::from_ref(&spec));
        let mut staging = Self {
            database,
            spec,
            next: 0,
        };
        staging.change("one", "c", 1, Some(20), 21);
        staging.change("two", "c", 1, Some(20), 22);
        staging.end(20, 30, &[("one", 1), ("two", 1)]);
        assert_eq!(staging.merge(), ["1", "1"]);
        staging
    }

    /// A change in the transaction that is called by its commit position, or 0; without one it is the first after a snapshot.
    fn change(&mut self, table: &str, op: &str, id: i64, commit: Option<i64>, lsn: i64) {
        let last = commit.map_or("null".to_owned(), |commit| format!(r#""{commit}""#));
        self.row(
            table,
            id,
            &format!(
                "'{op}', '[{last},\"{lsn}\"]', {lsn}, '{}:{lsn}', 'false'",
                commit.unwrap_or(0)
            ),
        );
    }

    /// A row of a snapshot of the source at place 90 of its log.
    fn read(&mut self, table: &str, id: i64, mark: &str) {
        self.row(
            table,
            id,
            &format!("'r', '[null,\"90\"]', 90, null, '{mark}'"),
        );
    }

    fn row(&mut self, table: &str, id: i64, values: &str) {
        self.database.run(&format!(
            "insert into main_staging.shop__{table} (id, v, __op, __sequence, __lsn, __transaction_id, __snapshot,
                 __source_ts_us, __connect_topic, __connect_partition, __connect_offset)
             values ({id}, 'x', {values}, 1, '{table}', 0, {})",
            self.next
        ));
        self.next += 1;
    }

    /// The END of a transaction, and where it is over.
    fn end(&mut self, transaction: i64, position: i64, counts: &[(&str, u64)]) {
        let collections: Vec<String> = counts
            .iter()
            .map(|(name, count)| {
                format!(r#"{{"data_collection":"shop.{name}","event_count":{count}}}"#)
            })
            .collect();
        self.database.run(&format!(
            r#"insert into main_staging.shop__control values
               ('tx', 0, {}, '{{"status":"END","id":"{transaction}:{position}","data_collections":[{}]}}')"#,
            self.next,
            collections.join(",")
        ));
        self.next += 1;
    }

    /// The live keys of both tables after a run.
    fn merge(&mut self) -> [String; 2] {
        Job::merge(self.database.url(), &self.spec).succeed();
        ["one", "two"].map(|table| {
            self.database.value(&format!(
                "select string_agg(id::text, ' ' order by id) from main.shop__{table}__live"
            ))
        })
    }

    fn waits_for(&mut self) -> String {
        self.database
            .value("select coalesce(max(blocked_on), '') from milepost.streams")
    }
}

#[test]
fn a_quiet_table_may_be_merged_beyond_the_snapshot_before_the_wait_ends() {
    let mut staging = Staging::begin();
    // The source lost the last of three rows of a transaction.
    staging.change("one", "c", 2, Some(60), 61);
    staging.change("one", "d", 1, Some(60), 62);
    staging.end(60, 70, &[("one", 3)]);
    // Nothing is before the snapshot of the quiet table, nor before the first transaction behind it.
    staging.read("two", 1, "first_in_data_collection");
    staging.read("two", 2, "last");
    assert_eq!(staging.merge(), ["1", "1 2"]);
    staging.change("two", "c", 3, None, 95);
    staging.change("two", "c", 4, Some(96), 97);
    assert_eq!(staging.merge(), ["1", "1 2 3"]);
    // A table of one row, the first to be read: that this was all is known when a change follows.
    staging.read("one", 2, "first");
    assert_eq!(staging.merge(), ["1", "1 2 3"]);
    assert_eq!(staging.waits_for(), "60");
    staging.change("one", "c", 3, Some(99), 99);
    assert_eq!(staging.merge(), ["2", "1 2 3"]);
    assert_eq!(staging.waits_for(), "96");
    // What comes behind the snapshot is whole or not by its own ENDs, also where an old one is late.
    staging.end(61, 80, &[("one", 1)]);
    staging.end(0, 96, &[("two", 1)]);
    staging.end(96, 99, &[("two", 1)]);
    assert_eq!(staging.merge(), ["2", "1 2 3 4"]);
    staging.end(99, 100, &[("one", 1)]);
    assert_eq!(staging.merge(), ["2 3", "1 2 3 4"]);
    assert_eq!(staging.waits_for(), "");
}

/// A snapshot that was given up, an incremental one and one of another table only leave the stream waiting.
#[test]
fn what_is_no_whole_snapshot_ends_no_wait() {
    let mut staging = Staging::begin();
    staging.change("one", "c", 2, Some(60), 61);
    staging.end(60, 70, &[("one", 2)]);
    // A change between its rows: the first part is of a snapshot that was given up.
    staging.read("one", 5, "first");
    staging.change("one", "c", 3, Some(71), 72);
    staging.read("one", 6, "true");
    staging.read("one", 7, "incremental");
    assert_eq!(staging.merge(), ["1", "1"]);
    // The other table has been merged beyond its last snapshot, and has no new one.
    staging.read("one", 1, "first");
    staging.read("one", 2, "last_in_data_collection");
    assert_eq!(staging.merge(), ["1", "1"]);
    assert_eq!(staging.waits_for(), "60");
    staging.read("two", 1, "last");
    assert_eq!(staging.merge(), ["1 2 3 5 6 7", "1"]);
    assert_eq!(staging.waits_for(), "");
}
