//! Append: every event is a row of its own, of a dataset that has no key. Rows are only added; a truncate is one too.

use milepost_job_spec::milestone;

use crate::merge::moment;
use crate::staging::events::{STATE_TRUNCATE, STATE_VALID, Shape};

/// See [`crate::merge::count`]. Nothing is reduced: each event is a change.
pub(crate) fn count(shape: &Shape<'_>) -> String {
    format!(
        "select {index} as i,\n       \
         count(*) filter (where x_state = {STATE_VALID}) as inserted, 0::bigint as updated, 0::bigint as deleted, 0::bigint as unchanged,\n       \
         count(*) filter (where x_state = {STATE_VALID}) as certain, 0::bigint as news, 0::bigint as closed, 1::bigint as most,\n       \
         0::bigint as to_closed, count(*) as to_insert, 0::bigint as to_update, 0::bigint as unknown\n  \
         from {events} where x_state in ({STATE_VALID}, {STATE_TRUNCATE})",
        index = shape.index,
        events = shape.events(),
    )
}

/// The statement that appends the events, in the order in which they were staged. `$1` the batch time in microseconds
/// since 1970.
#[must_use]
pub fn apply(shape: &Shape<'_>) -> String {
    format!(
        "insert into {merge} ({names}, {time}, {op})\n\
         select {all}, {now}, x_op from {events} where x_state in ({STATE_VALID}, {STATE_TRUNCATE}) order by x_topic, x_part, x_off",
        merge = shape.dataset.merge.quoted(),
        names = shape.names(""),
        time = milestone::IN,
        op = milestone::OP,
        all = shape.all(""),
        now = moment("$1::bigint"),
        events = shape.events(),
    )
}
