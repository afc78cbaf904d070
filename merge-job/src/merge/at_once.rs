//! The usual batch, merged at once: live rows are looked up when they are written, not before.
//!
//! What became of them is told by the transaction's own counters of rows, read before and after (docs/decisions/0020). That
//! is enough for a key of which one event is left: how many rows were inserted, updated and deleted says how many such
//! events did so. A key with several events of which each is a version needs to know first whether it was live.

use crate::merge::{differs, live, milestoned, moment, source_ts};
use crate::sql::literal;
use crate::staging::events::{STATE_VALID, Shape};

/// The statement that reduces the events to changes.
///
/// With `versions: all` each event stays a row. `x_before` says what its key was before it: not live (0), live with the same
/// image (1) or with another (2); it is null where the key has no other event, for nothing needs to be known then. From it
/// follows `x_effective`, that the event changes its key. `x_from` counts the effective events of the key from this one on;
/// `x_net`, on the first event of a key, says whether all together insert it (1), delete it (-1) or neither.
#[must_use]
pub fn reduce(shape: &Shape<'_>) -> String {
    let changes = shape.changes();
    let all = shape.all("");
    if !milestoned::keeps_all(shape) {
        let time = if shape.dataset.strategy.is_milestoned() {
            "x_ts, "
        } else {
            ""
        };
        let last = live::last_events(shape, &format!("x_op, {time}{all}"));
        return format!("create temp table {changes} on commit drop as\n{last}");
    }
    // From the last event of a key to its first. `offset 0`: images are compared once, however often the result is used.
    format!(
        "create temp table {changes} on commit drop as\n\
         select x_op, x_ts, {all}, x_is_first, x_before, {EFFECTIVE} as x_effective,\n       \
                count(*) filter (where {EFFECTIVE}) over k as x_from,\n       \
                sum(case when not {EFFECTIVE} then 0 when x_op = 'd' then -1 when x_before = 0 then 1 else 0 end) over k as x_net\n  \
           from (select {places_w}, w.x_op, w.x_ts, {all_w}, w.x_last_op is null as x_is_first,\n               \
                        case when w.x_last_op is null and w.x_is_last then null\n                    \
                        when w.x_last_op is null\n                    \
                          then coalesce((select case when {differs} then 2 else 1 end from {live} l where {joined}), 0)\n                    \
                        when w.x_last_op = 'd' then 0\n                    \
                        when w.x_op = 'd' or record_image_ne(row({all_w}), w.x_last_image) then 2\n                    \
                        else 1 end as x_before\n          \
                   from (select {places}, x_op, x_ts, {all}, row_number() over k = 1 as x_is_last, lead(x_op) over k as x_last_op,\n                       \
                                case when lead(x_op) over k <> 'd' then lead(row({all})) over k end as x_last_image\n                  \
                           from {events} where x_state = {STATE_VALID}\n                \
                         window k as (partition by {keys} order by {from_last})) w\n         \
                 offset 0) v\n\
         window k as (partition by {keys} order by {from_last} rows unbounded preceding)",
        places = shape.places(""),
        places_w = shape.places("w."),
        all_w = shape.all("w."),
        differs = differs(shape, "w.", "l."),
        live = shape.dataset.live_table().quoted(),
        joined = shape.live_key("l.", "w.", None),
        events = shape.events(),
        keys = shape.keys(""),
        from_last = shape.order_from_last(""),
    )
}

/// Does an event change its key? A delete where there is something, a row where there is nothing or something else.
const EFFECTIVE: &str = "((x_before > 0) = (x_op = 'd') or x_before = 2)";

/// See [`crate::merge::count`]; there are so many `changes`.
pub(crate) fn count(shape: &Shape<'_>, changes: u64) -> String {
    let index = shape.index;
    if !milestoned::keeps_all(shape) {
        return format!(
            "select {index} as i, 0::bigint as inserted, 0::bigint as updated, 0::bigint as deleted, 0::bigint as unchanged,\n       \
             {changes}::bigint as certain, 0::bigint as news, 0::bigint as closed, 1::bigint as most, 0::bigint as to_closed,\n       \
             0::bigint as to_insert, 0::bigint as to_update, {changes}::bigint as unknown"
        );
    }
    format!(
        "select {index} as i,\n       \
         count(*) filter (where x_effective and x_op <> 'd' and x_before = 0) as inserted,\n       \
         count(*) filter (where x_effective and x_op <> 'd' and x_before > 0) as updated,\n       \
         count(*) filter (where x_effective and x_op = 'd') as deleted,\n       \
         count(*) filter (where not x_effective) as unchanged,\n       \
         {changes}::bigint as certain, 0::bigint as news,\n       \
         count(*) filter (where x_is_first and x_from > 0 and x_net = -1) as closed,\n       \
         coalesce(greatest(max(x_from), 1), 1) as most,\n       \
         count(*) filter (where x_is_first and x_from > 0 and x_before > 0)\n         \
           + count(*) filter (where x_effective and x_from > 1 and x_op <> 'd') as to_closed,\n       \
         count(*) filter (where x_is_first and x_from > 0 and x_net = 1) as to_insert,\n       \
         count(*) filter (where x_is_first and x_from > 0 and x_net = 0 and x_before > 0) as to_update,\n       \
         count(*) filter (where x_effective is null) as unknown\n  \
         from {table}",
        table = shape.changes(),
    )
}

/// The statement that writes closed versions. `$1` the batch time in microseconds since 1970.
#[must_use]
pub fn close(shape: &Shape<'_>) -> String {
    let names = shape.names("l.");
    let time = format!("(select {})", moment("$1::bigint"));
    let changes = shape.changes();
    let head = format!(
        "insert into {closed} ({columns}, dp_in, dp_out, dp_source_ts)\n",
        closed = shape.dataset.closed_table().quoted(),
        columns = shape.names(""),
    );
    let joined = format!(
        "{changes} c join {live} l on {joined}",
        live = shape.dataset.live_table().quoted(),
        joined = shape.live_key("l.", "c.", None),
    );
    let found = format!("c.x_op = 'd' or {}", differs(shape, "c.", "l."));
    if !milestoned::keeps_all(shape) {
        return format!(
            "{head}select {names}, l.dp_in, {time}, l.dp_source_ts\n  from {joined} where {found}"
        );
    }
    format!(
        "{head}\
         select {names}, l.dp_in, case when c.x_from > 1 then {first} else {time} end, l.dp_source_ts\n  \
           from {joined}\n \
          where c.x_is_first and (c.x_from > 0 or c.x_effective is null and ({found}))\n\
         union all\n\
         select {all}, {begin}, {end}, {source}\n  \
           from {changes} c where c.x_effective and c.x_from > 1 and c.x_op <> 'd'",
        first = moment("$1::bigint - (c.x_from - 1)"),
        all = shape.all("c."),
        begin = moment("$1::bigint - (c.x_from - 1)"),
        end = moment("$1::bigint - (c.x_from - 2)"),
        source = source_ts("c."),
    )
}

/// The statements that merge the live rows, and before and after that read how many rows the transaction has inserted, updated
/// and deleted in their table. `time_us` is the batch time in microseconds since 1970.
#[must_use]
pub fn merge(shape: &Shape<'_>, time_us: i64) -> String {
    let live = shape.dataset.live_table().quoted();
    let wrote = ["inserted", "updated", "deleted"].map(|what| {
        let table = literal(&live);
        format!("pg_stat_get_xact_tuples_{what}({table}::regclass)")
    });
    // The server may be told to stop counting at any time.
    let wrote = format!(
        "select {}, current_setting('track_counts')",
        wrote.join(", ")
    );
    let mut differs = differs(shape, "s.", "t.");
    let mut from = shape.changes();
    if milestoned::keeps_all(shape) {
        from = format!(
            "(select * from {from} where x_effective is null or x_effective and x_from = 1)"
        );
        // Of several events the last that is effective is written, even if it makes of the row what it was.
        differs = format!("(s.x_effective or {differs})");
    }
    let mut sets = live::sets(shape);
    let mut names = shape.names("");
    let mut values = shape.all("s.");
    if shape.dataset.strategy.is_milestoned() {
        let now = format!("(select {})", moment(&time_us.to_string()));
        let source = source_ts("s.");
        sets = format!("{sets}, dp_in = {now}, dp_source_ts = {source}");
        names = format!("{names}, dp_in, dp_source_ts");
        values = format!("{values}, {now}, {source}");
    }
    format!(
        "{wrote};\n\
         merge into {live} t using {from} s on {joined}\n \
         when matched and s.x_op = 'd' then delete\n \
         when matched and {differs} then update set {sets}\n \
         when not matched and s.x_op <> 'd' then insert ({names}) values ({values});\n\
         {wrote}",
        joined = shape.live_key("t.", "s.", None),
    )
}
