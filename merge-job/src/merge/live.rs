//! Live-only: one row per live key, the latest event of a batch wins. Milestoned tables that keep only the last version
//! of a batch reduce the same way.
//!
//! For batches of which more is to be known than [`at_once`](crate::merge::at_once) tells.

use crate::merge::differs;
use crate::staging::events::{STATE_VALID, Shape};

/// The query of the last event of each key, in key order: what probes an index in its order finds the next page in memory.
pub(crate) fn last_events(shape: &Shape<'_>, columns: &str) -> String {
    format!(
        "select distinct on ({keys}) {columns} from {events} where x_state = {STATE_VALID}\n         \
          order by {keys}, {last}",
        keys = shape.keys(""),
        last = shape.order_from_last(""),
        events = shape.events(),
    )
}

// The key is set too: equal keys may differ in their image (1.0 and 1.00). An unchanged one keeps the update HOT.
pub(crate) fn sets(shape: &Shape<'_>) -> String {
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
         count(*) filter (where x_action = 'i') as to_insert, count(*) filter (where x_action = 'u') as to_update, 0::bigint as unknown\n  \
         from {changes}",
        index = shape.index,
        changes = shape.changes(),
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
