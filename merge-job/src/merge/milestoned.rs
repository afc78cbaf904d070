//! Milestoned: every version of a row, live ones in one partition, closed ones in the other.
//!
//! With `versions: all` the j-th of a key's n effective events happens at batch time − (n − j) µs, so that "as of a batch
//! time" is the state after that batch. `$1` of the applying statements is the batch time in microseconds since 1970.

use milepost_job_spec::{Strategy, Versions};

use crate::merge::{differs, live, moment, source_ts};
use crate::staging::events::{STATE_VALID, Shape};

/// Does the table keep what lived only inside a batch?
pub(crate) fn keeps_all(shape: &Shape<'_>) -> bool {
    shape.dataset.strategy
        == Strategy::Milestoned {
            versions: Versions::All,
        }
}

/// The statement that makes the changes from the events.
///
/// With `versions: all` each event stays a row: `x_effective` says that it changes its key, `x_j` and `x_n` count the
/// effective events of the key, `x_was_live` says that the key was live before the event, `x_live` where its live row
/// stood before the batch. The state after an event is its own image, or nothing after a delete, so what an event changes
/// is seen from its predecessor alone.
#[must_use]
pub fn reduce(shape: &Shape<'_>) -> String {
    if !keeps_all(shape) {
        return live::reduce(shape);
    }
    // `offset 0`: else both sides of the join would be columns of the windows, and together more than there may be.
    format!(
        "create temp table {changes} on commit drop as\n\
         select x_op, x_ts, x_doubt, x_made, {all}, x_was_live, x_effective, first_value(x_first_live) over k as x_live,\n       \
                count(*) filter (where x_effective) over k as x_j, count(*) filter (where x_effective) over (partition by {keys}) as x_n\n  \
           from (select {places_w}, w.x_op, w.x_ts, w.x_doubt, w.x_made, {all_w}, l.ctid as x_first_live,\n               \
                        case when w.x_number = 1 then l.ctid is not null else w.x_last_op <> 'd' end as x_was_live,\n               \
                        case when w.x_number = 1 then case when l.ctid is null then w.x_op <> 'd' when w.x_op = 'd' then true else {differs} end\n                    \
                        when w.x_op = 'd' then w.x_last_op <> 'd'\n                    \
                        when w.x_last_op = 'd' then true\n                    \
                        else record_image_ne(row({all_w}), w.x_last_image) end as x_effective\n          \
                   from (select {places}, x_op, x_ts, x_doubt, x_topic is null as x_made, {all}, row_number() over k as x_number,\n                       \
                                lag(x_op) over k as x_last_op, case when lag(x_op) over k <> 'd' then lag(row({all})) over k end as x_last_image\n                  \
                           from {events} where x_state = {STATE_VALID}\n                \
                         window k as (partition by {keys} order by {order})) w\n          \
                   left join {live} l on {joined} offset 0) b\n\
         window k as (partition by {keys} order by {order})",
        changes = shape.changes(),
        all = shape.all(""),
        all_w = shape.all("w."),
        differs = differs(shape, "w.", "l."),
        events = shape.events(),
        keys = shape.keys(""),
        order = shape.order(""),
        places = shape.places(""),
        places_w = shape.places("w."),
        live = shape.dataset.live_table().quoted(),
        joined = shape.live_key("l.", "w.", Some("w.x_number = 1")),
    )
}

/// See [`crate::merge::count`].
pub(crate) fn count(shape: &Shape<'_>) -> String {
    if !keeps_all(shape) {
        return live::count(shape);
    }
    format!(
        "select {index} as i,\n       \
         count(*) filter (where x_effective and x_op <> 'd' and not x_was_live) as inserted,\n       \
         count(*) filter (where x_effective and x_op <> 'd' and x_was_live) as updated,\n       \
         count(*) filter (where x_effective and x_op = 'd' and not x_made) as deleted,\n       \
         count(*) filter (where not x_effective and not x_doubt and not x_made) as unchanged,\n       \
         count(*) filter (where not x_doubt and not x_made) as certain,\n       \
         count(*) filter (where x_doubt and x_effective and not x_made) as news,\n       \
         count(*) filter (where x_effective and x_j = x_n and x_op = 'd' and x_live is not null) as closed,\n       \
         coalesce(max(x_n), 1) as most,\n       \
         count(*) filter (where x_effective and x_j = 1 and x_live is not null)\n         \
           + count(*) filter (where x_effective and x_j < x_n and x_op <> 'd') as to_closed,\n       \
         count(*) filter (where x_effective and x_j = x_n and x_op <> 'd' and x_live is null) as to_insert,\n       \
         count(*) filter (where x_effective and x_j = x_n and x_op <> 'd' and x_live is not null) as to_update,\n       \
         0::bigint as unknown\n  \
         from {changes}",
        index = shape.index,
        changes = shape.changes(),
    )
}

/// The statement that writes closed versions: the rows that were live before, and what lived only inside the batch.
#[must_use]
pub fn close(shape: &Shape<'_>) -> String {
    let closed = shape.dataset.closed_table().quoted();
    let live = shape.dataset.live_table().quoted();
    let changes = shape.changes();
    let columns = format!("{}, dp_in, dp_out, dp_source_ts", shape.names(""));
    let names = shape.names("l.");
    if !keeps_all(shape) {
        return format!(
            "insert into {closed} ({columns})\n\
             select {names}, l.dp_in, {out}, l.dp_source_ts\n  \
               from {changes} c join {live} l on l.ctid = c.x_live where c.x_action in ('u', 'd')",
            out = moment("$1::bigint"),
        );
    }
    format!(
        "insert into {closed} ({columns})\n\
         select {names}, l.dp_in, {first}, l.dp_source_ts\n  \
           from {changes} c join {live} l on l.ctid = c.x_live where c.x_effective and c.x_j = 1\n\
         union all\n\
         select {all}, {begin}, {end}, {source}\n  \
           from {changes} c where c.x_effective and c.x_j < c.x_n and c.x_op <> 'd'",
        first = moment("$1::bigint - (c.x_n - 1)"),
        all = shape.all("c."),
        begin = moment("$1::bigint - (c.x_n - c.x_j)"),
        end = moment("$1::bigint - (c.x_n - c.x_j - 1)"),
        source = source_ts("c."),
    )
}

/// The statement that brings the live partition to the state after the batch.
#[must_use]
pub fn apply(shape: &Shape<'_>) -> String {
    let last = if keeps_all(shape) {
        "x_effective and x_j = x_n"
    } else {
        "x_action <> 'n'"
    };
    let sets = shape
        .columns()
        .map(|(place, column)| format!("{} = s.c{place}, ", column.name.quoted()))
        .collect::<String>();
    let now = moment("$1::bigint");
    format!(
        "merge into {live} t using (select * from {changes} where {last}) s on t.ctid = s.x_live\n \
         when matched and s.x_op = 'd' then delete\n \
         when matched then update set {sets}dp_in = {now}, dp_source_ts = {source}\n \
         when not matched and s.x_op <> 'd' then insert ({names}, dp_in, dp_source_ts) values ({all}, {now}, {source})",
        live = shape.dataset.live_table().quoted(),
        changes = shape.changes(),
        source = source_ts("s."),
        names = shape.names(""),
        all = shape.all("s."),
    )
}
