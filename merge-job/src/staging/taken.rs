//! Keys that change at once: one statement gives a row the key of another, which gets a third, or the first's back.
//!
//! A source may check its constraint only at the end of the statement (SQL Server, Oracle) or of the transaction (a deferrable
//! key of Postgres). The log then has the rows one after the other, each as the delete of its old key and the create of its
//! new one: `d1 c2 d2 c1` for two rows that swap their keys. The second delete is of the row that had key 2 before; merged in
//! order it would end the one that has it now.
//!
//! At the end of the transaction a key has one row or none. So where a key change takes a key that has a row, and a delete of
//! the key follows in the transaction, that delete is of the row that was there first. It is put where it belongs: before
//! the create that took its key. `x_rank` is that place, at twice the offsets.

use milepost_job_spec::{OnTruncate, SourcePosition};

use crate::control::position::Position;
use crate::staging::events::{STATE_REPLAY, STATE_VALID, Shape};
use crate::staging::position;

/// A transaction that is not whole in a batch, and took keys of rows that may still follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its first offset in the batch.
    pub first: i64,
    /// Its commit position.
    pub commit: i64,
    /// Its id at the source.
    pub transaction: Option<String>,
}

impl Split {
    /// Is it of this partition?
    pub(crate) fn is_in(&self, position: &Position) -> bool {
        self.topic == position.topic && self.partition == position.partition
    }
}

/// The statement that gives such deletes their rank. Replays are marked, nothing is set aside yet.
///
/// `x_level` is how many rows the key has at the source before an event, in its transaction (`x_one`): one more after a
/// create, one less after a delete. A transaction whose levels cannot be, because deletes were lost or creates are of rows
/// that are there already, is left in its order. An event that may be a replay changes no level, and goes with the delete
/// that it repeats; but where rows have no place (Oracle) every row of a transaction may be one, and counts.
///
/// A connector that was killed behind the last change of a transaction delivers its two halves again, counted from 1. Where
/// the row of the new half stands live as that half left it, the change was merged (`settled`), and its old half is a replay:
/// taken for news it would end the row that has the key now.
///
/// Deletes and creates are paired by windows, not by joins: of how many there are the planner knows nothing.
///
/// Behind a truncate that closes everything (`x_epoch`) no key has a row.
///
/// `$1` to `$5`: topic, partition, commit position, row position and transaction of rows at watermarks that are deletes:
/// the new half of a key change may be the first row of the batch. `$6` to `$9`: topic, partition, commit position and row
/// position of the fences.
///
/// Returns how many old halves are replays and, for the transaction that ends the partition, whether it leaves a key with
/// more than one row (`open`: the rest of it is not in the batch), its first offset, and its id.
#[must_use]
pub fn rank(shape: &Shape<'_>, truncates: OnTruncate) -> String {
    let events = shape.events();
    let keys = shape.keys("");
    // An unchanged value is as it stands.
    let fillable = shape.fillable();
    let image: Vec<String> = shape
        .columns()
        .map(|(place, column)| {
            if fillable.contains(&place) {
                let stands = column.name.quoted();
                format!("case when c.u{place} then l.{stands} else c.c{place} end")
            } else {
                format!("c.c{place}")
            }
        })
        .collect();
    format!(
        "with settled as materialized (\n  \
           select d.t\n    \
             from (select ctid as t, x_topic, x_part, x_op, x_commit, x_row, x_tx, lead(ctid) over w as next, lead(x_op) over w as next_op,\n                 \
                          lead(x_commit) over w as next_commit, lead(x_row) over w as next_row, lead(x_tx) over w as next_tx\n            \
                     from {events} where x_state = {STATE_VALID} and x_op <> 't' window w as (partition by x_topic, x_part order by x_off)) d\n    \
             join unnest($6::text[], $7::integer[], $8::bigint[], $9::bigint[]) f(topic, part, commit, place)\n      \
               on f.topic = d.x_topic and f.part = d.x_part and f.commit = d.x_commit and f.place = d.x_row\n    \
             join {events} c on c.ctid = d.next\n    \
             join {live} l on {next_joined}\n   \
            where d.x_op = 'd' and d.next_op = 'c' and d.next_commit = d.x_commit and d.next_row = d.x_row and d.next_tx is not distinct from d.x_tx\n     \
              and record_image_eq(row({image}), row({names}))\n\
         ), event as materialized (\n  \
           select e.t, {keys}, x_epoch, x_topic, x_part, x_off, x_op, x_commit, x_row, x_tx, x_doubt and x_row is not null as x_doubt,\n         \
                  case when x_op = 'r' then x_off else -1 end as x_read,\n         \
                  coalesce(x_op = 'c' and not (x_doubt and x_row is not null) and case when lag(x_off) over w is null\n                    \
                             then b.commit = x_commit and b.place is not distinct from x_row and b.tx is not distinct from x_tx\n                    \
                             else lag(x_op) over w = 'd' and lag(x_commit) over w = x_commit\n                         \
                               and lag(x_row) over w is not distinct from x_row and lag(x_tx) over w is not distinct from x_tx end, false) as x_took\n    \
             from (select ctid as t, *, {epoch} as x_epoch from {events}) e left join unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::text[]) b(topic, part, commit, place, tx)\n                \
               on b.topic = x_topic and b.part = x_part\n   \
            where x_state = {STATE_VALID} and x_op <> 't' and e.t not in (select t from settled)\n  \
           window w as (partition by x_topic, x_part order by x_off)\n\
         ), last as (\n  \
           select x_topic, x_part, x_commit, x_tx from event order by x_topic desc, x_part desc, x_off desc limit 1\n\
         ), change as materialized (\n  \
           select e.*, l.ctid is not null as x_stood,\n         \
                  case when x_doubt then 0 when x_op = 'c' then 1 when x_op = 'd' then -1 else 0 end as x_step\n    \
             from (select * from (select *, bool_or(x_took) over (partition by {keys}) as x_taken from event) e where x_taken) e\n    \
             left join {live} l on {joined}\n\
         ), one as (\n  \
           select *, min(x_off) over (partition by {keys}, x_epoch, x_commit, x_tx, x_read) as x_one,\n         \
                  sum(x_step) over (partition by {keys}, x_epoch, x_commit, x_tx, x_read) as x_sum,\n         \
                  coalesce(sum(x_step) over (partition by {keys}, x_epoch, x_commit, x_tx, x_read order by x_off\n                                           \
                                             rows between unbounded preceding and 1 preceding), 0) as x_before\n    \
             from change\n\
         ), begun as (\n  \
           select *, coalesce(max(case when x_read >= 0 or x_sum > 0 then 2 * x_one + 1 when x_sum < 0 then 2 * x_one end)\n                              \
                                over (partition by {keys}, x_epoch order by x_one range between unbounded preceding and 1 preceding) % 2,\n                            \
                              (x_stood and x_epoch = 0)::integer) as x_begin\n    \
             from one\n\
         ), level as (\n  \
           select *, x_begin + x_before as x_level,\n         \
                  x_begin + x_sum between 0 and 1 and bool_and(case when x_doubt then true when x_op = 'd' then x_begin + x_before > 0\n                                                                  \
                                                                when x_op = 'c' and not x_took then x_begin + x_before = 0 else true end)\n                                                           \
                                                     over (partition by {keys}, x_one) as x_sound\n    \
             from begun\n\
         ), met as (\n  \
           select *, x_took and x_level > 0 as x_takes, x_op = 'd' and not x_doubt and x_level > 1 as x_late,\n         \
                  count(*) filter (where x_took and x_level > 0) over k as x_takers,\n         \
                  count(*) filter (where x_op = 'd' and not x_doubt and x_level > 1) over k as x_lates\n    \
             from level where x_sound window k as (partition by {keys}, x_one order by x_off)\n\
         ), pair as (\n  \
           select *, case when x_late then 2 * max(x_off) filter (where x_takes)\n                                           \
                       over (partition by {keys}, x_one, case when x_takes then x_takers when x_late then x_lates else 0 end) - 1 end as x_place\n    \
             from met\n\
         ), again as materialized (\n  \
           select t, case when x_doubt then max(x_place) over (partition by {keys}, x_one, x_topic, x_part, x_row) else x_place end as x_rank\n    \
             from pair where x_op = 'd'\n\
         ), ranked as (\n  \
           update {events} e set x_rank = a.x_rank, x_state = a.x_state, x_doubt = e.x_doubt and a.x_state = {STATE_VALID}\n    \
             from (select t, x_rank, {STATE_VALID}::smallint as x_state from again where x_rank is not null\n           \
                   union all select t, null, {STATE_REPLAY}::smallint from settled) a\n   \
            where e.ctid = a.t\n\
         )\n\
         select (select count(*) from settled) as settled,\n       \
                exists (select from begun b join last l on b.x_topic = l.x_topic and b.x_part = l.x_part\n                            \
                         and b.x_commit = l.x_commit and b.x_tx is not distinct from l.x_tx where b.x_begin + b.x_sum > 1) as open,\n       \
                l.x_topic as topic, l.x_part as part, l.x_tx as tx, l.x_commit as commit,\n       \
                (select min(e.x_off) from event e where e.x_topic = l.x_topic and e.x_part = l.x_part and e.x_commit = l.x_commit\n                                                     \
                    and e.x_tx is not distinct from l.x_tx) as first\n  \
           from last l",
        epoch = match truncates {
            OnTruncate::CloseAll => format!(
                "count(*) filter (where x_op = 't' and x_state = {STATE_VALID}) over (partition by x_topic, x_part order by x_off)"
            ),
            OnTruncate::Fail | OnTruncate::Ignore => "0".to_owned(),
        },
        live = shape.dataset.live_table().quoted(),
        joined = shape.live_key("l.", "e.", None),
        image = image.join(", "),
        next_joined = shape.live_key("l.", "c.", None),
        names = shape.names("l."),
    )
}

/// The query for up to where a partition is taken in place of a part of a transaction: to its end, where a row of a later
/// one is staged behind it, and else to the row before offset `$5`. Rows of earlier ones say nothing: a connector that was
/// killed inside the transaction delivers them again, and then all of it. `$1` topic, `$2` partition, `$3` the first offset
/// of the transaction, `$4` its commit position, `$6` its id. Null where no row is before it.
#[must_use]
pub fn whole(shape: &Shape<'_>, source: SourcePosition) -> String {
    let staging = shape.dataset.staging.quoted();
    format!(
        "select max(s.__connect_offset) as high from {staging} s\n \
          where s.__connect_topic = $1 and s.__connect_partition = $2 and s.__connect_offset < coalesce((\n   \
            select s.__connect_offset from {staging} s\n    \
             where s.__connect_topic = $1 and s.__connect_partition = $2 and s.__connect_offset > $3\n      \
               and {commit} > $4 and {transaction} is distinct from $6\n    \
             order by s.__connect_offset limit 1), $5)",
        commit = position::of(source).commit,
        transaction = position::transaction_of(source, "s"),
    )
}
