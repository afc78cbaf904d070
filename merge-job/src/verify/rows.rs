//! Invariants of merged rows, as SQL. Each statement reads its table once; cost is linear in its rows.

use milepost_job_spec::{DatasetSpec, Strategy, milestone};

use crate::sql;

/// An invariant of the rows of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Invariant {
    /// Its stable name.
    pub(super) rule: &'static str,
    /// What is wrong with a key that breaks it, after a count of keys.
    pub(super) message: &'static str,
    /// What to do.
    pub(super) remedy: &'static str,
    /// The expression, over the columns of [`keys`], that is true for such a key.
    broken: &'static str,
}

pub(super) const RESTORE: &str = "find out who wrote to the table beside merge-job; restore it from a backup with schema `milepost` of the same moment";

const LIVE_ONLY: [Invariant; 2] = [
    Invariant {
        rule: "duplicate-key",
        message: "with more than one row",
        remedy: "the index does not hold its table: `reindex table`, after removing the rows that are not the source's",
        broken: "n > 1",
    },
    NULL_KEY,
];

const NULL_KEY: Invariant = Invariant {
    rule: "null-key",
    message: "with a null in it",
    remedy: RESTORE,
    broken: "null_key",
};

const MILESTONED: [Invariant; 6] = [
    Invariant {
        rule: "several-live",
        message: "with more than one live row",
        remedy: RESTORE,
        broken: "live > 1",
    },
    Invariant {
        rule: "overlap",
        message: "with versions that overlap",
        remedy: RESTORE,
        broken: "overlap",
    },
    Invariant {
        rule: "interval-order",
        message: "with a version that ends before it begins, or as it begins",
        remedy: RESTORE,
        broken: "backward",
    },
    Invariant {
        rule: "future-version",
        message: "with a version from after the last batch",
        remedy: RESTORE,
        broken: "future",
    },
    Invariant {
        rule: "misplaced-row",
        message: "with a live row among the closed ones, or a closed one among the live",
        remedy: RESTORE,
        broken: "misplaced",
    },
    NULL_KEY,
];

/// The invariants of a dataset's rows.
pub(super) const fn invariants(dataset: &DatasetSpec) -> &'static [Invariant] {
    match dataset.strategy {
        Strategy::LiveOnly => &LIVE_ONLY,
        Strategy::Milestoned { .. } => &MILESTONED,
        Strategy::Append => &[],
    }
}

/// The query for how many batches appended other rows than the table has of them, or none of those that it has, from the
/// oldest row on: before it the table may have begun anew. Bound as [`LAST`] says.
pub(super) fn appended(dataset: &DatasetSpec) -> String {
    format!(
        "with found as (\n  \
           select {time} as batch, count(*) as n from {merge} group by 1\n\
         ), told as (\n  \
           select b.batch_time as batch, d.rows_inserted + d.rows_truncate as n\n    \
             from milepost.batches b join milepost.batch_datasets d on d.batch_id = b.id\n   \
            where b.platform = $1 and b.store = $2 and d.dataset = $3 and b.status = 'succeeded' and d.rows_inserted + d.rows_truncate > 0\n\
         )\n\
         select count(*) from found full join told using (batch)\n \
          where found.n is distinct from told.n and batch >= (select min(batch) from found)",
        time = milestone::IN,
        merge = dataset.merge.quoted(),
    )
}

/// The time of the dataset's last batch. `$1` platform, `$2` store, `$3` dataset.
const LAST: &str = "last as (\n  \
    select max(last_batch_time) as batch from milepost.datasets where platform = $1 and store = $2 and dataset = $3\n\
)";

/// One row: how many rows the table has, then how many keys break each invariant. Bound as [`LAST`] says.
pub(super) fn count(dataset: &DatasetSpec) -> String {
    if dataset.strategy.is_append() {
        return format!("select count(*) from {}", dataset.merge.quoted());
    }
    let counts = invariants(dataset)
        .iter()
        .map(|invariant| format!("count(*) filter (where {})", invariant.broken));
    format!(
        "with {LAST}, keys as (\n{}\n)\nselect coalesce(sum(n), 0)::bigint, {}\n  from keys",
        keys(dataset),
        sql::list(counts)
    )
}

/// Up to three keys that break an invariant, as text. Bound as [`LAST`] says.
pub(super) fn examples(dataset: &DatasetSpec, invariant: &Invariant) -> String {
    format!(
        "with {LAST}, keys as (\n{}\n)\nselect key from keys where {} order by key limit 3",
        keys(dataset),
        invariant.broken
    )
}

/// One row per key, with what the invariants ask about.
fn keys(dataset: &DatasetSpec) -> String {
    let key = sql::names_of("t", &dataset.key);
    let null_key = sql_or(dataset, "t");
    let merge = dataset.merge.quoted();
    let (Some(live), Some(closed)) = (&dataset.live, &dataset.closed) else {
        return format!(
            "  select row({key})::text as key, count(*) as n, bool_or({null_key}) as null_key\n    \
               from {merge} t group by {key}"
        );
    };
    let inner = sql::names_of("v", &dataset.key);
    let literal = |table: &milepost_job_spec::TableRef| sql::literal(&table.quoted());
    format!(
        "  select row({key})::text as key, count(*) as n, bool_or({null_key}) as null_key,\n         \
                  count(*) filter (where t.{end} is null) as live,\n         \
                  bool_or(t.next < coalesce(t.{end}, 'infinity')) as overlap,\n         \
                  bool_or(t.{end} <= t.{start}) as backward,\n         \
                  bool_or(greatest(t.{start}, t.{end}) > coalesce(last.batch, '-infinity')) as future,\n         \
                  bool_or(t.home = {live}::regclass and t.{end} is not null\n                  \
                       or t.home = {closed}::regclass and t.{end} is null) as misplaced\n    \
             from (select {inner}, v.tableoid as home, v.{start}, v.{end},\n                 \
                          lead(v.{start}) over (partition by {inner} order by v.{start}, v.{end} nulls last) as next\n            \
                     from {merge} v) t\n    \
            cross join last\n   \
            group by {key}",
        start = milestone::IN,
        end = milestone::OUT,
        live = literal(live),
        closed = literal(closed),
    )
}

fn sql_or(dataset: &DatasetSpec, alias: &str) -> String {
    let parts = dataset
        .key
        .iter()
        .map(|column| format!("{alias}.{} is null", column.quoted()));
    parts.collect::<Vec<_>>().join(" or ")
}
