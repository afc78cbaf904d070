//! Replays: rows that a restarted connector sends again, at new offsets with old source positions.

use crate::staging::events::{STATE_REPLAY, STATE_VALID, Shape};

/// The statement that marks replays exactly; run where [`crate::staging::events::survey`] found a row that does not stand
/// strictly above its predecessor.
///
/// A row is a replay if commit position and row position are below the highest at a lower offset of its topic partition,
/// in earlier batches (the fence, `$1` topics, `$2` partitions, `$3` to `$5` positions, `$6` newest commit time) or in
/// this one. A row *at* the highest, of no higher order, is doubtful: several rows may share a row position (T45), and a
/// connector that restarts inside a transaction counts its rows from 1 again (docs/decisions/0001), so it may be news.
/// It is merged: if it is a replay its key stands as it left it, and nothing changes. Where the batch holds both deliveries
/// there is no doubt: a row position has each key and operation once. Of keys with a null that is not known: none is merged,
/// each is kept.
///
/// Where rows have no row position the order decides, and where they have neither, every row of the last commit is doubtful.
///
/// Snapshot rows are none and move nothing, but a snapshot that is not incremental starts the fence anew.
///
/// Returns one row: how many are replays, how many of them were committed after everything merged, which only happens when
/// the source was replaced, how many rows are doubtful, and the first offset of those that tell of a replaced source.
#[must_use]
pub fn mark(shape: &Shape<'_>) -> String {
    format!(
        "with fence as (\n  \
           select * from unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])\n    \
             as f(topic, part, commit, row, ord, ts)\n\
         ), epoch as (\n  \
           select ctid as t, x_topic, x_part, x_off, x_op, x_ts, {keys},\n    \
                  case when x_op = 'r' or x_commit is null then null\n         \
                       else array[x_commit, coalesce(x_row, -1), coalesce(x_order, -1)] end as place,\n    \
                  count(*) filter (where x_op = 'r' and x_snapshot is distinct from 'incremental')\n      \
                    over (partition by x_topic, x_part order by x_off) as epoch\n    \
             from {events}\n\
         ), judged as (\n  \
           select e.*, f.ts as fence_ts,\n    \
                  e.place[2] >= 0 and (x_op = 't' or row({keys}) is not null)\n                          \
                     and row_number() over (partition by x_topic, x_part, epoch, place[1:2], x_op, {keys} order by x_off) > 1 as again,\n    \
                  greatest(max(e.place) over before,\n      \
                           case when e.epoch = 0 and f.commit >= 0 then array[f.commit, f.row, f.ord] end) as highest,\n    \
                  greatest(max(e.x_ts) over before, case when e.epoch = 0 then f.ts end) as newest\n    \
             from epoch e left join fence f on f.topic = e.x_topic and f.part = e.x_part\n  \
           window before as (partition by e.x_topic, e.x_part, e.epoch order by e.x_off\n                    \
                             rows between unbounded preceding and 1 preceding)\n\
         ), replay as (\n  \
           select t, x_off, x_ts > newest as replaced, place[1:2] = highest[1:2] and not again and (place[2] >= 0 or place[3] < 0) as doubt from judged\n   \
            where place is not null and highest is not null and (place <= highest or again and place[1:2] = highest[1:2])\n\
         ), marked as (\n  \
           update {events} e set x_state = case when r.doubt then {STATE_VALID} else {STATE_REPLAY} end, x_doubt = r.doubt\n    \
             from replay r where e.ctid = r.t\n\
         )\n\
         select count(*) filter (where not doubt), count(*) filter (where replaced and not doubt), count(*) filter (where doubt),\n       \
                min(x_off) filter (where replaced and not doubt) from replay",
        events = shape.events(),
        keys = shape.keys(""),
    )
}
