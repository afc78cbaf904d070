//! Live-only: one row per live key, the latest event of a batch wins. Milestoned tables that keep only the last version
//! of a batch reduce the same way.
//!
//! Usually [`latest`] reduces the events and [`merge`] does the rest in one statement. Where more is to be known of a change
//! than that it was made, [`reduce`] finds it out first, and [`apply`] writes.

use crate::merge::differs;
use crate::sql::literal;
use crate::staging::events::{STATE_VALID, Shape};

/// The query of the last event of each key, in key order: what probes an index in its order finds the next page in memory.
fn last_events(shape: &Shape<'_>, columns: &str) -> String {
    format!(
        "select distinct on ({keys}) {columns} from {events} where x_state = {STATE_VALID}\n         \
          order by {keys}, {last}",
        keys = shape.keys(""),
        last = shape.order_from_last(""),
        events = shape.events(),
    )
}

/// The statement that reduces the events to the last one of each key.
#[must_use]
pub fn latest(shape: &Shape<'_>) -> String {
    format!(
        "create temp table {changes} on commit drop as\n\
         {last}",
        changes = shape.changes(),
        last = last_events(shape, &format!("x_op, {}", shape.all(""))),
    )
}

/// The statements that merge the [`latest`] events, and before and after that read how many rows the transaction has inserted,
/// updated and deleted in the table.
#[must_use]
pub fn merge(shape: &Shape<'_>) -> String {
    let live = shape.dataset.live_table().quoted();
    let wrote = ["inserted", "updated", "deleted"].map(|what| {
        let table = literal(&live);
        format!("pg_stat_get_xact_tuples_{what}({table}::regclass)")
    });
    let wrote = format!("select {}", wrote.join(", "));
    format!(
        "{wrote};\n\
         merge into {live} t using {changes} s on {joined}\n \
         when matched and s.x_op = 'd' then delete\n \
         when matched and {differs} then update set {sets}\n \
         when not matched and s.x_op <> 'd' then insert ({names}) values ({all});\n\
         {wrote}",
        changes = shape.changes(),
        joined = shape.live_key("t.", "s.", None),
        differs = differs(shape, "s.", "t."),
        sets = sets(shape),
        names = shape.names(""),
        all = shape.all("s."),
    )
}

// The key is set too: equal keys may differ in their image (1.0 and 1.00). An unchanged one keeps the update HOT.
fn sets(shape: &Shape<'_>) -> String {
    shape
        .columns()
        .map(|(place, column)| format!("{} = s.c{place}", column.name.quoted()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The statement that reduces the events to one change per key. `x_action`: `i`, `u`, `d`, or `n` for none.
#[must_use]
pub fn reduce(shape: &Shape<'_>) -> String {
    format!(
        "create temp table {changes} on commit drop as\n\
         select d.x_op, d.x_ts, d.x_doubt, d.x_topic is null as x_made, {all}, l.ctid as x_live,\n       \
                case when d.x_op = 'd' then case when l.ctid is null then 'n' else 'd' end\n            \
                when l.ctid is null then 'i'\n            \
                when {differs} then 'u' else 'n' end as x_action\n  \
           from ({last}) d\n  \
           left join {live} l on {joined}",
        changes = shape.changes(),
        all = shape.all("d."),
        differs = differs(shape, "d.", "l."),
        last = last_events(shape, "*"),
        live = shape.dataset.live_table().quoted(),
        joined = shape.live_key("l.", "d.", None),
    )
}

/// See [`crate::merge::count`].
pub(crate) fn count(shape: &Shape<'_>) -> String {
    let milestoned = shape.dataset.strategy.is_milestoned();
    format!(
        "select {index} as i,\n       \
         count(*) filter (where x_action = 'i') as inserted, count(*) filter (where x_action = 'u') as updated,\n       \
         count(*) filter (where x_action = 'd' and not x_made) as deleted,\n       \
         count(*) filter (where x_action = 'n' and not x_doubt and not x_made) as unchanged,\n       \
         count(*) filter (where not x_doubt and not x_made) as certain,\n       \
         count(*) filter (where x_doubt and x_action <> 'n' and not x_made) as news,\n       \
         count(*) filter (where x_action = 'd') as closed, 1::bigint as most,\n       \
         count(*) filter (where {milestoned} and x_action in ('u', 'd')) as to_closed,\n       \
         count(*) filter (where x_action <> 'n') as to_live\n  \
         from {changes}",
        index = shape.index,
        changes = shape.changes(),
    )
}

/// The same of changes that are merged at once: how many there are is known.
pub(crate) fn count_keys(shape: &Shape<'_>, keys: u64) -> String {
    format!(
        "select {index} as i, 0::bigint as inserted, 0::bigint as updated, 0::bigint as deleted, 0::bigint as unchanged,\n       \
         {keys}::bigint as certain, 0::bigint as news, 0::bigint as closed, 1::bigint as most, 0::bigint as to_closed,\n       \
         0::bigint as to_live",
        index = shape.index,
    )
}

/// The statement that applies the changes to a live-only table.
#[must_use]
pub fn apply(shape: &Shape<'_>) -> String {
    format!(
        "merge into {live} t using (select * from {changes} where x_action <> 'n') s on t.ctid = s.x_live\n \
         when matched and s.x_action = 'd' then delete\n \
         when matched then update set {sets}\n \
         when not matched and s.x_action = 'i' then insert ({names}) values ({all})",
        live = shape.dataset.live_table().quoted(),
        changes = shape.changes(),
        names = shape.names(""),
        all = shape.all("s."),
        sets = sets(shape),
    )
}
