//! Invariants of the control rows, as SQL. `$1` is the stream's row.

/// A check that counts what breaks it.
pub(super) struct Check {
    pub(super) rule: &'static str,
    /// Of what it counts.
    pub(super) noun: &'static str,
    /// After that.
    pub(super) message: &'static str,
    pub(super) remedy: &'static str,
    /// A statement of one number.
    pub(super) sql: &'static str,
}

const TOUCHED: &str = "somebody changed the control tables by hand: restore schema `milepost` together with the merge tables";

pub(super) const CHECKS: [Check; 4] = [
    Check {
        rule: "batch-counts",
        noun: "batch",
        message: "with counts that are not the sum of their datasets' counts",
        remedy: TOUCHED,
        sql: "select count(*) from milepost.batches b
                left join lateral (
                     select coalesce(sum(d.rows_staged), 0) as staged, coalesce(sum(d.rows_inserted), 0) as inserted,
                            coalesce(sum(d.rows_updated), 0) as updated, coalesce(sum(d.rows_deleted), 0) as deleted,
                            coalesce(sum(d.rows_unchanged), 0) as unchanged, coalesce(sum(d.rows_overtaken), 0) as overtaken,
                            coalesce(sum(d.rows_replayed), 0) as replayed, coalesce(sum(d.rows_quarantined), 0) as quarantined,
                            coalesce(sum(d.rows_truncate), 0) as truncate, coalesce(sum(d.rows_closed), 0) as closed
                       from milepost.batch_datasets d where d.batch_id = b.id) d on true
               where b.stream_id = $1 and b.status = 'succeeded'
                 and (b.rows_staged, b.rows_inserted, b.rows_updated, b.rows_deleted, b.rows_unchanged, b.rows_overtaken,
                      b.rows_replayed, b.rows_quarantined, b.rows_truncate, b.rows_closed)
                  <> (d.staged, d.inserted, d.updated, d.deleted, d.unchanged, d.overtaken,
                      d.replayed, d.quarantined, d.truncate, d.closed)",
    },
    Check {
        rule: "batch-sum",
        noun: "batch",
        message: "with a staged row in no class, or in two",
        remedy: TOUCHED,
        sql: "select count(*) from milepost.batches
               where stream_id = $1 and status = 'succeeded'
                 and rows_staged <> rows_inserted + rows_updated + rows_deleted + rows_unchanged + rows_overtaken
                                    + rows_replayed + rows_quarantined + rows_truncate",
    },
    Check {
        rule: "batch-order",
        noun: "batch",
        message: "with a number or time that does not follow from the one before",
        remedy: TOUCHED,
        sql: "select count(*) from (
                select batch_number, lag(batch_number) over w as number_before, batch_time, lag(batch_time) over w as time_before
                  from milepost.batches where stream_id = $1 and status = 'succeeded' window w as (order by id)) b
               where number_before is not null and (batch_number <> number_before + 1 or batch_time <= time_before)",
    },
    Check {
        rule: "batch-last",
        noun: "dataset",
        message: "with a last batch other than that of its stream",
        remedy: TOUCHED,
        sql: "select count(*) from milepost.streams s
                join milepost.datasets d
                  on d.platform = s.platform and d.store = s.store and (s.dataset is null or d.dataset = s.dataset)
               where s.id = $1
                 and (d.last_batch_time > (select max(b.batch_time) from milepost.batches b
                                            where b.platform = s.platform and b.store = s.store
                                              and (b.dataset is null or b.dataset = d.dataset) and b.status = 'succeeded')
                      or s.batch_number <> (select max(b.batch_number) from milepost.batches b
                                             where b.stream_id = s.id and b.status = 'succeeded'))",
    },
];
