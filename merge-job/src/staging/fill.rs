//! Unchanged large values: what the source did not send is taken from what is known (T27–T30).
//!
//! Within a key, in position order, a value is known from the last earlier row that sent it, back to where the key's life
//! began in the batch; before that, from the live row. A life begins after a delete, and after a row that is quarantined.
//! The new key of a key change begins a life too, and takes what its old key had: that goes across keys, so the two
//! statements here are repeated until the second finds nothing more.

use std::fmt::Write as _;

use crate::staging::events::{STATE_QUARANTINED, STATE_VALID, Shape};

/// The statement that adds what a fill needs to know of each event: did it need one (`x_need`), is it the old half of a
/// key change (`x_moved`), and from which event does its new half take (`x_from`).
///
/// The halves of a key change are a delete and a create side by side in one partition with one row position and
/// transaction.
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
           from (select ctid as t,\n               \
                        x_op = 'd' and lead(x_op) over w = 'c' and same_after as moved,\n               \
                        case when x_op = 'c' and lag(x_op) over w = 'd' and same_before then lag(x_off) over w end as source\n          \
                   from (select *, ctid, \n                           \
                                lead(x_row) over v = x_row and lead(x_tx) over v is not distinct from x_tx as same_after,\n                           \
                                lag(x_row) over v = x_row and lag(x_tx) over v is not distinct from x_tx as same_before\n                      \
                           from {events} where x_state = {STATE_VALID}\n                    \
                         window v as (partition by x_topic, x_part order by x_off)) n\n                \
                 window w as (partition by x_topic, x_part order by x_off)) h\n \
          where e.ctid = h.t and (h.moved or h.source is not null)"
    )
}

/// The statement that fills within each key, from earlier rows of the batch or from the live row.
#[must_use]
pub fn within_keys(shape: &Shape<'_>) -> String {
    let events = shape.events();
    let keys = shape.keys("");
    let mut counts = String::new();
    let mut values = String::new();
    let mut sets = Vec::new();
    let mut solved = Vec::new();
    for place in shape.fillable() {
        let live = shape.dataset.columns[place].name.quoted();
        let _ = write!(
            counts,
            ",\n           count(*) filter (where x_op <> 'd' and x_state = {STATE_VALID} and not u{place}) \
             over (partition by {keys}, x_life order by x_part, x_off) as g{place}"
        );
        let _ = write!(
            values,
            ",\n         u{place} and (g{place} > 0 or (x_life = 0 and l.ctid is not null)) as s{place},\n         \
             case when g{place} > 0 then first_value(n.c{place}) over (partition by {group}, g{place} order by x_part, x_off)\n              \
             when x_life = 0 then l.{live} end as v{place}",
            group = format_args!("{}, x_life", shape.keys("n.")),
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
                                     over (partition by {keys} order by x_part, x_off rows between unbounded preceding and 1 preceding), 0)\n                        \
                                 + count(*) filter (where x_from is not null)\n                          \
                                     over (partition by {keys} order by x_part, x_off) as x_life\n                   \
                                 from {events} where x_state in ({STATE_VALID}, {STATE_QUARANTINED})) k) n\n          \
                   left join {live} l on {joined}) f\n \
          where e.ctid = f.t and e.x_state = {STATE_VALID} and ({solved})",
        sets = sets.join(", "),
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
