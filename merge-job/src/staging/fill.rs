//! Unchanged large values: what the source did not send is taken from what is known (T27–T30).
//!
//! Within a key, in position order, a value is known from the last earlier row that sent it, back to where the key's life
//! began in the batch; before that, from the live row. A life begins after a delete, and after a row that is quarantined.
//! The new key of a key change begins a life too, and takes what its old key had: that goes across keys, so the two
//! statements here are repeated until the second finds nothing more.

use std::fmt::Write as _;

use milepost_job_spec::StreamKey;

use crate::sql::literal;
use crate::staging::events::{STATE_QUARANTINED, STATE_REPLAY, STATE_VALID, Shape};
use crate::staging::quarantine;

/// The statements that add what a fill needs to know of each event: did it need one (`x_need`), is it the old half of a
/// key change (`x_moved`), and from which event does its new half take (`x_from`).
///
/// The halves of a key change are a delete and a create with one row position and transaction. Of a redelivered old half
/// nothing is known that its first delivery did not know, so the first one counts; where that was merged in an earlier
/// batch the new half is filled by [`from_last_batch`], or stands live already.
#[must_use]
pub fn prepare(shape: &Shape<'_>) -> String {
    let events = shape.events();
    let unknown = shape.any_unknown("");
    let mut moved = String::new();
    for place in shape.fillable() {
        let _ = write!(moved, ", u{place} = e.u{place} or h.moved");
    }
    format!(
        "alter table {events} add column x_need boolean not null default false, \
           add column x_moved boolean not null default false, add column x_from bigint;\n\
         update {events} set x_need = true where x_op <> 'd' and {unknown};\n\
         update {events} e set x_moved = h.moved, x_from = h.source {moved}\n  \
           from (select ctid as t, x_op = 'd' and count(*) filter (where x_op = 'c') over one > 0 as moved,\n               \
                        case when x_op = 'c' then min(x_off) filter (where x_op = 'd' and not x_doubt) over one end as source\n          \
                   from {events} where x_state = {STATE_VALID} and x_row is not null and x_op in ('d', 'c')\n        \
                 window one as (partition by x_topic, x_part, x_commit, x_row, x_tx)) h\n \
          where e.ctid = h.t and (h.moved or h.source is not null)"
    )
}

/// How many values [`last_images`] takes.
pub const LAST_IMAGES_VALUES: usize = 3;

/// The query for what the next batch may need of this one: where the last row of a partition is a delete, it may be the
/// old half of a key change whose new half is not staged yet. Its values begin at `$first`: topics, partitions, last
/// offsets.
///
/// Of a key with a row in quarantine nothing is known: no image is better than a stale one.
///
/// Returns one jsonb: `[[topic, partition, {column: large value as text}], …]`, or null.
#[must_use]
pub fn last_images(shape: &Shape<'_>, stream: &StreamKey, first: usize) -> String {
    let events = shape.events();
    // Two arrays: a function takes at most 100 arguments.
    let mut keys = Vec::new();
    let mut values = Vec::new();
    for place in shape.fillable() {
        let column = &shape.dataset.columns[place];
        let name = column.name.quoted();
        keys.push(literal(column.name.as_str()));
        values.push(format!(
            "case when p.x_op is null then l.{name}::text else p.c{place}::text end"
        ));
    }
    format!(
        "select jsonb_agg(jsonb_build_array(e.x_topic, e.x_part, jsonb_object(array[{keys}], array[{values}])))\n  \
           from unnest(${first}::text[], ${second}::integer[], ${third}::bigint[]) h(topic, part, high)\n  \
           join {events} e on e.x_topic = h.topic and e.x_part = h.part and e.x_off = h.high\n  \
           left join lateral (select * from {events} q where {earlier} and {rank_q} < {rank_e} and q.x_state <> {STATE_REPLAY}\n                      \
                               order by {last_q} limit 1) p on true\n  \
           left join {live} l on {joined}\n \
          where e.x_op = 'd' and e.x_state = {STATE_VALID} and case when p.x_op is null then l.ctid is not null and not {set_aside}\n                  \
                                                                      else p.x_op <> 'd' and p.x_state = {STATE_VALID} end",
        second = first + 1,
        third = first + 2,
        keys = keys.join(", "),
        values = values.join(", "),
        set_aside = quarantine::has_entry(shape, stream, "e."),
        earlier = shape.same_key("q.", "e."),
        rank_q = shape.rank("q."),
        rank_e = shape.rank("e."),
        last_q = shape.order_from_last("q."),
        live = shape.dataset.live_table().quoted(),
        joined = shape.live_key("l.", "e.", None),
    )
}

/// The statement that fills the new half of a key change whose old half ended the batch before. `$1` topic, `$2`
/// partition, `$3` what `milepost.positions.watermark_row` says of that row.
#[must_use]
pub fn from_last_batch(shape: &Shape<'_>) -> String {
    let mut sets = Vec::new();
    for place in shape.fillable() {
        let column = &shape.dataset.columns[place];
        let text = column.name.as_str().replace('\'', "''");
        sets.push(format!(
            "c{place} = case when u{place} then ($3::jsonb -> 'image' ->> '{text}')::{} else c{place} end, u{place} = false",
            column.merge_type
        ));
    }
    format!(
        "update {events} set {sets}\n \
          where x_topic = $1 and x_part = $2 and x_op = 'c' and x_state = {STATE_VALID}\n   \
            and x_row = ($3::jsonb ->> 'row')::bigint and x_tx is not distinct from $3::jsonb ->> 'tx'",
        events = shape.events(),
        sets = sets.join(", "),
    )
}

/// The statement that fills within each key, from earlier rows of the batch or from the live row. The live row of a key
/// with a row in quarantine is stale: nothing is filled from it.
///
/// One statement for every 100 columns: a row of a subselect has at most 1664.
#[must_use]
pub fn within_keys(shape: &Shape<'_>, stream: &StreamKey) -> Vec<String> {
    shape
        .fillable()
        .chunks(GROUP)
        .map(|group| fill_group(shape, stream, group))
        .collect()
}

/// How many columns one statement fills.
const GROUP: usize = 100;

fn fill_group(shape: &Shape<'_>, stream: &StreamKey, group: &[usize]) -> String {
    let events = shape.events();
    let keys = shape.keys("");
    let order = shape.order("");
    let mut counts = String::new();
    let mut values = String::new();
    let mut sets = Vec::new();
    let mut solved = Vec::new();
    for &place in group {
        let live = shape.dataset.columns[place].name.quoted();
        let _ = write!(
            counts,
            ",\n           count(*) filter (where x_op <> 'd' and x_state = {STATE_VALID} and not u{place}) \
             over (partition by {keys}, x_life order by {order}) as g{place}"
        );
        let _ = write!(
            values,
            ",\n         u{place} and (g{place} > 0 or (x_life = 0 and l.ctid is not null)) as s{place},\n         \
             case when g{place} > 0 then first_value(n.c{place}) over (partition by {group}, n.g{place} order by {order_n})\n              \
             when x_life = 0 then l.{live} end as v{place}",
            group = format_args!("{}, n.x_life", shape.keys("n.")),
            order_n = shape.order("n."),
        );
        sets.push(format!(
            "c{place} = case when f.s{place} then f.v{place} else e.c{place} end, \
             u{place} = e.u{place} and not f.s{place}"
        ));
        solved.push(format!("f.s{place}"));
    }
    format!(
        "update {events} e set {sets}\n  \
           from (select n.t{values}\n          \
                   from (select *{counts}\n            \
                           from (select ctid as t, *,\n                        \
                                   coalesce(count(*) filter (where x_op = 'd' or x_state = {STATE_QUARANTINED})\n                          \
                                     over (partition by {keys} order by {order} rows between unbounded preceding and 1 preceding), 0)\n                        \
                                 + count(*) filter (where x_from is not null)\n                          \
                                     over (partition by {keys} order by {order})\n                        \
                                 + case when {set_aside} then 1 else 0 end as x_life\n                   \
                                 from {events} where x_state in ({STATE_VALID}, {STATE_QUARANTINED})) k) n\n          \
                   left join {live} l on {joined}) f\n \
          where e.ctid = f.t and e.x_state = {STATE_VALID} and ({solved})",
        sets = sets.join(", "),
        set_aside = quarantine::has_entry(shape, stream, ""),
        live = shape.dataset.live_table().quoted(),
        // A null key is not searched for: only what needs the live row probes it.
        joined = shape.live_key(
            "l.",
            "n.",
            Some(&format!("n.x_life = 0 and {}", shape.any_unknown("n."))),
        ),
        solved = solved.join(" or "),
    )
}

/// The statement that fills new keys from old ones; what it touches says whether another round is worth it.
#[must_use]
pub fn across_keys(shape: &Shape<'_>) -> String {
    let events = shape.events();
    let mut sets = Vec::new();
    let mut open = Vec::new();
    for place in shape.fillable() {
        let ready = format!("(e.u{place} and not o.u{place})");
        sets.push(format!(
            "c{place} = case when {ready} then o.c{place} else e.c{place} end, \
             u{place} = e.u{place} and o.u{place}"
        ));
        open.push(ready);
    }
    format!(
        "update {events} e set {sets}\n  from {events} o\n \
          where e.x_from = o.x_off and e.x_topic = o.x_topic and e.x_part = o.x_part\n   \
            and o.x_moved and o.x_state = {STATE_VALID} and e.x_state = {STATE_VALID} and ({open})",
        sets = sets.join(", "),
        open = open.join(" or "),
    )
}
