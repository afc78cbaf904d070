//! Rows without a key, told apart: which rows of a delivery were delivered before.
//!
//! Several rows may share a row position (those of a `copy` do), and without a key nothing else tells them apart. But they
//! come of one record of the source's log: a connector sends them side by side, in one order, and begins again before the
//! first of them. So a row is the n-th at its position, and the n-th of one delivery is the n-th of another.
//!
//! A delivery begins where positions go back, and where a row stands at the position of the one before and does not follow
//! it by its order in the transaction: a connector that restarts inside a transaction counts from 1 again
//! (docs/decisions/0001). Where rows have no order, one that stands where the last one stood is taken for the next one.

use milepost_job_spec::{DatasetSpec, SourcePosition};

use crate::control::position::Appended;
use crate::sql::literal;
use crate::staging::events::{STATE_REPLAY, Shape};
use crate::staging::position::{self, Expressions};

/// Does a delivery begin at a row? Over columns `{place}` (commit and row position, comparable) and `{order}` (null where
/// there is none), and the same of the row before.
fn begins(place: &str, order: &str, place_before: &str, order_before: &str) -> String {
    format!(
        "{place} < {place_before} or {place} = {place_before} and {order} <> {order_before} + 1"
    )
}

/// The statement that numbers the rows at each position and marks replays exactly; the counterpart of
/// [`crate::staging::replay::mark`] for a dataset without a key, with the same result. Nothing is doubtful.
///
/// A row is a replay if its position is below the highest at a lower offset of its partition, or the same and a row of its
/// number was there. `$1` topics, `$2` partitions, `$3` to `$5` the fence, `$6` newest commit time; `$7` to `$9` where the
/// last row stands, `$10` its number, `$11` how many rows at the fence are known.
#[must_use]
pub fn mark(shape: &Shape<'_>) -> String {
    format!(
        "with fence as (\n  \
           select topic, part, case when commit >= 0 then array[commit, row] end as place, ts,\n         \
                  case when l_commit >= 0 then array[l_commit, l_row] end as last, nullif(l_ord, -1) as last_order, number, known\n    \
             from unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],\n                \
                         $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])\n      \
               as f(topic, part, commit, row, ord, ts, l_commit, l_row, l_ord, number, known)\n\
         ), epoch as (\n  \
           select ctid as t, x_topic, x_part, x_off, x_ts, x_order,\n    \
                  case when x_op = 'r' or x_commit is null then null else array[x_commit, coalesce(x_row, -1)] end as place,\n    \
                  count(*) filter (where x_op = 'r' and x_snapshot is distinct from 'incremental')\n      \
                    over (partition by x_topic, x_part order by x_off) as epoch\n    \
             from {events}\n\
         ), follows as (\n  \
           select e.*, f.place as fence, f.known, f.ts as fence_ts, f.last, f.number as last_number,\n         \
                  lag(e.place, 1, f.last) over w as place_before, lag(e.x_order, 1, f.last_order) over w as order_before\n    \
             from epoch e left join fence f on f.topic = e.x_topic and f.part = e.x_part and e.epoch = 0\n   \
            where e.place is not null window w as (partition by e.x_topic, e.x_part, e.epoch order by e.x_off)\n\
         ), delivered as (\n  \
           select *, count(*) filter (where {begins}) over (partition by x_topic, x_part, epoch order by x_off) as delivery\n    \
             from follows\n\
         ), numbered as (\n  \
           select *, row_number() over (partition by x_topic, x_part, epoch, delivery, place order by x_off)\n           \
                   + case when delivery = 0 and place = last then last_number else 0 end as number\n    \
             from delivered\n\
         ), judged as (\n  \
           select t, x_off, number, place, x_ts > greatest(max(x_ts) over before, fence_ts) as replaced,\n         \
                  greatest(max(place) over before, fence) as highest,\n         \
                  greatest(max(number) over (partition by x_topic, x_part, epoch, place order by x_off\n                                     \
                                             rows between unbounded preceding and 1 preceding),\n                  \
                           case when place = fence then known end) as seen\n    \
             from numbered\n  \
           window before as (partition by x_topic, x_part, epoch order by x_off rows between unbounded preceding and 1 preceding)\n\
         ), replay as (\n  \
           select t, x_off, number, replaced, coalesce(place < highest or place = highest and number <= seen, false) as again from judged\n\
         ), marked as (\n  \
           update {events} e set x_number = r.number, x_state = case when r.again then {STATE_REPLAY} else e.x_state end\n    \
             from replay r where e.ctid = r.t\n\
         )\n\
         select count(*) filter (where again), count(*) filter (where again and replaced), 0::bigint,\n       \
                min(x_off) filter (where again and replaced) from replay",
        events = shape.events(),
        begins = begins("place", "x_order", "place_before", "order_before"),
    )
}

/// The expression for what the control row keeps of a partition: [`Appended`] after the batch. `here` says which events
/// are the partition's, `m.anew` is the offset of the last snapshot row that starts the fence anew, `f` the new fence,
/// `commit` and `row` are the old one.
///
/// Where nothing was marked no two rows share a position, and none stands at the old fence.
pub(crate) fn kept(
    shape: &Shape<'_>,
    here: &str,
    (commit, row): (&str, &str),
    old: Option<&Appended>,
) -> String {
    let known = old.map_or(0, |old| old.known);
    let before = old.map_or_else(
        || "null::jsonb".to_owned(),
        |old| format!("{}::jsonb", literal(&old.to_json())),
    );
    format!(
        "coalesce((\n    \
           select jsonb_build_object('commit', l.x_commit, 'row', coalesce(l.x_row, -1), 'order', coalesce(l.x_order, -1),\n                              \
                    'number', coalesce(l.x_number, n.known), 'known', n.known)\n      \
             from (select * from {events} where {here} and x_commit is not null and x_off > coalesce(m.anew, -1) order by x_off desc limit 1) l\n     \
            cross join lateral (\n      \
              select case when max(x_number) is null then count(x_off) + o.known else greatest(max(x_number), o.known) end as known\n        \
                from (select case when m.anew is null and f.x_commit = {commit} and f.x_row is not distinct from {row} then {known} else 0 end as known) o\n        \
                left join {events} on {here} and x_off > coalesce(m.anew, -1) and x_commit = f.x_commit and x_row is not distinct from f.x_row\n       \
               group by o.known) n), case when m.anew is null then {before} end)",
        events = shape.events(),
    )
}

/// The query for rows of a staging table with their number at their position, for counting them as END does. `rows` is a
/// query with the columns `topic`, `part`, `off`, `commit`, `place` and `number`, the order in the transaction. Adds `nth`.
pub(crate) fn numbered(rows: &str) -> String {
    let begins = begins(
        "(commit, place)",
        "number",
        "(commit_before, place_before)",
        "number_before",
    );
    format!(
        "select *, row_number() over (partition by topic, part, delivery, commit, place order by off) as nth from (\n  \
           select *, count(*) filter (where {begins}) over (partition by topic, part order by off) as delivery\n    \
             from (select *, lag(commit) over w as commit_before, lag(place) over w as place_before, lag(number) over w as number_before\n            \
                     from ({rows}) q window w as (partition by topic, part, commit is null order by off)) b) d"
    )
}

/// What tells the rows of a dataset with a key apart within a transaction, over staging alias `s`: row position, operation
/// and key.
pub(crate) fn identity(dataset: &DatasetSpec, source: SourcePosition) -> String {
    let Expressions { row, .. } = position::of(source);
    let key: String = dataset
        .key_columns()
        .map(|key| format!(", s.{}", key.staged_as.quoted()))
        .collect();
    format!("({row}, s.__op{key})")
}
