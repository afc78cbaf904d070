//! A table without a key, one event after the other.

use acceptance::{Cluster, Database, Job, Run, publish, shop};
use milepost_job_spec::{Strategy, StreamSpec};

/// What the connector writes in place of an unchanged large value.
pub(super) const UNKNOWN: &str = "'__debezium_unavailable_value'";

/// A stream of one dataset `events`: a text, a number that is staged as text, and a document.
pub(super) struct Log {
    pub(super) spec: StreamSpec,
    pub(super) database: Database,
    pub(super) offset: i64,
}

impl Log {
    pub(super) fn begin(max_rows: u64) -> Self {
        Self::with(max_rows, |_| {})
    }

    pub(super) fn with(max_rows: u64, change: impl FnOnce(&mut StreamSpec)) -> Self {
        let mut spec = shop::single_streams(&shop::stream(Strategy::Append)).remove(0);
        let columns = [("word", "text"), ("number", "integer"), ("doc", "jsonb?")];
        spec.stream.dataset = Some("events".to_owned());
        spec.datasets = vec![shop::dataset("events", Strategy::Append, &[], &columns)];
        spec.datasets[0].columns[1].staging_type = "text".to_owned();
        spec.limits.max_rows = max_rows;
        change(&mut spec);
        let database = Cluster::shared().database();
        publish(&database, std::slice::from_ref(&spec));
        Self {
            spec,
            database,
            offset: 0,
        }
    }

    /// Stages a row `word, number, doc` of a transaction, by its number, its place behind the commit before it and its order,
    /// at the next offset.
    pub(super) fn row(&mut self, op: &str, values: &str, (number, place, order): (i64, i64, i64)) {
        let offset = self.offset;
        let commit = number * 100;
        let row = commit + place;
        self.offset += 1;
        self.database.run(&format!(
            "insert into main_staging.shop__events (word, number, doc, __op, __sequence, __lsn, __transaction_id,
                 __transaction_total_order, __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
             values ({values}, '{op}', '[\"{commit}\",\"{row}\"]', {row}, '{number}:{row}', {order}, {number}, 'false', 't.events', 0, {offset})"
        ));
    }

    /// Stages a row of a snapshot.
    pub(super) fn read(&mut self, mark: &str, values: &str) {
        let offset = self.offset;
        self.offset += 1;
        self.database.run(&format!(
            "insert into main_staging.shop__events (word, number, doc, __op, __sequence, __lsn, __source_ts_us, __snapshot,
                 __connect_topic, __connect_partition, __connect_offset)
             values ({values}, 'r', '[null,\"5\"]', 5, 1, '{mark}', 't.events', 0, {offset})"
        ));
    }

    /// Stages the first rows of a record of equal rows, which is the last of its transaction.
    pub(super) fn copy(&mut self, rows: i64, first_order: i64) {
        for number in 0..rows {
            self.row("c", "'same', 7, '{}'", (9, 40, first_order + number));
        }
    }

    pub(super) fn merge(&self, arguments: &[&str]) -> Run {
        Job::merge(self.database.url(), &self.spec)
            .args(arguments.iter().copied())
            .run()
    }

    pub(super) fn succeed(&self) {
        let run = self.merge(&[]);
        assert_eq!(run.code, 0, "{run}");
    }

    pub(super) fn value(&mut self, sql: &str) -> String {
        self.database.value(sql)
    }

    /// The rows in the order in which they were appended: `word:operation`.
    pub(super) fn appended(&mut self) -> String {
        self.value(
            "select coalesce(string_agg(coalesce(word, 'null') || ':' || dp_op, ' ' order by dp_in, ctid), '') from main.shop__events",
        )
    }

    /// The counts of the last batch.
    pub(super) fn counts(&mut self) -> String {
        self.value(
            "select format('%s staged, %s inserted, %s replayed, %s quarantined, %s truncate',
                           rows_staged, rows_inserted, rows_replayed, rows_quarantined, rows_truncate)
               from milepost.batches where status = 'succeeded' order by id desc limit 1",
        )
    }

    /// Every staged row was counted once, and as many were appended as the table has.
    pub(super) fn all_are_counted(&mut self) {
        let counted = "select (select count(*) from main_staging.shop__events) = sum(rows_staged)
                and bool_and(rows_staged = rows_inserted + rows_replayed + rows_quarantined + rows_truncate)
                and (select count(*) from main.shop__events) = sum(rows_inserted + rows_truncate)
              from milepost.batches where status = 'succeeded'";
        assert_eq!(self.value(counted), "t", "each staged row has one class");
    }

    pub(super) fn verify(&self) {
        let run = Job::new(self.database.url())
            .args(["verify", "--platform", "main"])
            .run();
        assert_eq!(run.code, 0, "{run}");
    }
}
