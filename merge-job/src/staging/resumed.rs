//! Transactions that a resumed connector sends with too low a commit position.
//!
//! What a Postgres connector writes as commit position is the last commit that it saw itself. It begins with the one in the
//! offset that it read; where its slot is further by then, because another worker that was taken for dead went on and
//! confirmed more, the first transaction that it sends has the commit position of an earlier one (docs/decisions/0019).
//! Taken as they are its rows pass for replays, and are lost.
//!
//! Such a transaction is given a commit position above all that its partition has before it, and not above its own
//! end. It is known by what cannot be in a replay.

use milepost_job_spec::SourcePosition;

use crate::staging::events::Shape;

/// May a connector of this source do so? Others write the position of the transaction itself.
pub(crate) const fn may_be(source: SourcePosition) -> bool {
    match source {
        SourcePosition::Postgres => true,
        SourcePosition::MariaDb
        | SourcePosition::MySql
        | SourcePosition::SqlServer
        | SourcePosition::Oracle => false,
    }
}

/// The query that adds `mended`, the commit position to go by. `rows` is a query with the columns of `part` (what tells one
/// partition from another), `off`, `tx`, `commit`, `place` (row position), `is_news` (an END says that the transaction is
/// not merged) and the fence: `fence` (commit position), `fence_place` and `fence_tx`.
///
/// - A transaction has one commit position: the highest that any of its rows was sent with, or the one with which its first
///   rows were merged.
/// - A transaction whose first row stands below what came before it is a replay, and its end is below that too, unless a row
///   of it is above, or its END is still to be merged. One whose position is another's is no replay either. Then its position
///   is just above all before it: positions in a log are multiples of 8, so it is nobody else's, and the next transaction's is
///   the end of this one.
pub(crate) fn mended(rows: &str, part: &str) -> String {
    format!(
        "select *, case when commit is null or coalesce(tx, '') = '' then commit\n              \
                    when fence is not null and tx = fence_tx then fence\n              \
                    when is_others or is_below and (furthest > first_high or is_news) then greatest(most, first_highest + 1)\n              \
                    else most end as mended\n  \
           from (select *, first_value(commit < high) over own as is_below, first_value(commit = taken) over own as is_others,\n               \
                        first_value(high) over own as first_high, first_value(highest) over own as first_highest,\n               \
                        max(commit) over whole as most, max(place) over whole as furthest\n          \
                   from (select *, greatest(fence, max(commit) over before) as high,\n                       \
                                greatest(case when fence_tx <> '' then fence end, max(commit) over before) as taken,\n                       \
                                greatest(fence, fence_place, max(greatest(commit, place)) over before) as highest\n                  \
                           from ({rows}) r\n                \
                         window before as (partition by {part} order by off rows between unbounded preceding and 1 preceding)) h\n        \
                 window whole as (partition by {part}, tx), own as (partition by {part}, tx, commit is null order by off)) m"
    )
}

/// The statement that gives the events of a batch the commit positions to go by; run before replays are marked. `$1` topics,
/// `$2` partitions, `$3` and `$4` commit and row position of the fences (null where there is none), `$5` their transactions,
/// `$6` transactions that are not merged, by their ENDs.
///
/// A snapshot that is not incremental starts anew.
#[must_use]
pub fn mend(shape: &Shape<'_>) -> String {
    let rows = format!(
        "select e.ctid as t, x_topic, x_part, x_off as off, x_tx as tx, case when x_op <> 'r' then x_commit end as commit, x_row as place,\n         \
                coalesce(x_tx = any($6::text[]), false) as is_news, e.epoch,\n         \
                case when e.epoch = 0 then f.commit end as fence, case when e.epoch = 0 then f.place end as fence_place,\n         \
                f.tx as fence_tx\n    \
           from (select ctid, *, count(*) filter (where x_op = 'r' and x_snapshot is distinct from 'incremental')\n                                   \
                                   over (partition by x_topic, x_part order by x_off) as epoch from {events}) e\n    \
           left join unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::text[]) f(topic, part, commit, place, tx)\n      \
             on f.topic = e.x_topic and f.part = e.x_part",
        events = shape.events()
    );
    format!(
        "update {events} e set x_commit = m.mended from ({mended}) m where e.ctid = m.t and m.mended <> m.commit",
        events = shape.events(),
        mended = mended(&rows, "x_topic, x_part, epoch"),
    )
}
