//! New snapshots above the watermark: where one is whole, it supersedes what stands before it and cannot be merged.

use milepost_job_spec::{DatasetSpec, SourcePosition};

use crate::staging::cut;
use crate::staging::events::{STATE_REPLAY, STATE_VALID, Shape};
use crate::staging::position;

/// The statement that finds, per partition, the last whole snapshot above the watermark. `$1` datasets, `$2` topics, `$3`
/// partitions, `$4` watermarks.
///
/// A snapshot is a run of `r` rows that are not incremental, with nothing between them. It begins at a row that says
/// `first…`, or behind a streamed row or an end; it ends at a row that says `last…`. The first table of a source has one
/// row only if its `first` is followed by a streamed row. The row at the watermark is looked at too: a snapshot that began
/// below it is not whole.
///
/// Returns place of the dataset, topic, partition, the highest visible offset, first and last offset of the snapshot (null
/// where there is none), the place in the log at which a Postgres was read, and commit time and position of the last
/// streamed row before the snapshot.
pub(crate) fn find(datasets: &[DatasetSpec], source: SourcePosition) -> String {
    let commit = position::of(source).commit;
    let log = match source {
        SourcePosition::Postgres => position::of(source).row,
        SourcePosition::MySql
        | SourcePosition::MariaDb
        | SourcePosition::SqlServer
        | SourcePosition::Oracle => "null::bigint",
    };
    let parts: Vec<String> = datasets
        .iter()
        .enumerate()
        .map(|(index, dataset)| {
            let staging = dataset.staging.quoted();
            format!(
                "select {index} as i, p.topic, p.part,\n       \
                   (select max(s.__connect_offset) from {staging} s\n         \
                     where s.__connect_topic = p.topic and s.__connect_partition = p.part) as head,\n       \
                   n.low, n.high, n.log, b.ts, b.commit\n  \
                 from ({partitions}) p\n  \
                 left join (select topic, part, watermark from unnest($1::integer[], $2::text[], $3::integer[], $4::bigint[])\n              \
                   as k(i, topic, part, watermark) where k.i = {index}) k using (topic, part)\n  \
                 left join lateral (\n    \
                   select min(off) as low, max(off) as high, max(log) as log\n      \
                     from (select *, count(*) filter (where begins or not taken) over (order by off) as run\n             \
                             from (select *, taken and (is_first or not coalesce(lag(taken and not is_last) over w, false)) as begins,\n                          \
                                          coalesce(not lead(taken) over w, false) as streamed_next\n                     \
                                     from (select s.__connect_offset as off, {log} as log,\n                                  \
                                                  s.__op = 'r' and s.__snapshot is distinct from 'incremental' as taken,\n                                  \
                                                  coalesce(s.__snapshot in ('first', 'first_in_data_collection'), false) as is_first,\n                                  \
                                                  coalesce(s.__snapshot in ('last', 'last_in_data_collection'), false) as is_last\n                             \
                                             from {staging} s\n                            \
                                            where s.__connect_topic = p.topic and s.__connect_partition = p.part\n                              \
                                              and s.__connect_offset >= coalesce(k.watermark, -1)) r\n                   \
                                   window w as (order by off)) m) o\n     \
                    where taken and off > coalesce(k.watermark, -1) group by run\n    \
                   having bool_or(begins) and (bool_or(is_last) or (count(*) = 1 and bool_or(is_first and streamed_next)))\n     \
                    order by run desc limit 1) n on true\n  \
                 left join lateral (\n    \
                   select s.__source_ts_us as ts, {commit} as commit from {staging} s\n     \
                    where s.__connect_topic = p.topic and s.__connect_partition = p.part and {commit} is not null\n       \
                      and s.__connect_offset > coalesce(k.watermark, -1) and s.__connect_offset < n.low\n     \
                    order by s.__connect_offset desc limit 1) b on true",
                partitions = cut::partitions(&staging),
            )
        })
        .collect();
    format!("{}\norder by i, topic, part", parts.join("\nunion all\n"))
}

/// The statement that leaves out what stands before a whole snapshot and cannot be ordered: `$1` the first offset of it,
/// `$2` the first of the snapshot. The dataset has one partition, and the batch ends with the snapshot.
///
/// One thing is taken from those rows: of a key that the snapshot does not have, that it was deleted. Without a key there
/// is no such thing.
pub(crate) fn supersede(shape: &Shape<'_>) -> String {
    if shape.dataset.strategy.is_append() {
        return format!(
            "update {} set x_state = {STATE_REPLAY} where x_off >= $1::bigint and x_off < $2::bigint",
            shape.events()
        );
    }
    let keys = shape.keys("");
    format!(
        "update {events} e set x_doubt = false, x_state = case when o.is_gone then {STATE_VALID} else {STATE_REPLAY} end\n  \
           from (select ctid as t, x_off, x_op = 'd' and not bool_or(x_off >= $2::bigint) over key\n                 \
                        and row_number() over (partition by {keys}, x_op, x_off >= $2::bigint order by x_off desc) = 1 as is_gone\n          \
                   from {events} where x_off >= $1::bigint window key as (partition by {keys})) o\n \
          where e.ctid = o.t and o.x_off < $2::bigint",
        events = shape.events(),
    )
}

/// The query for how many rows are replays, or superseded, and how many may be replays.
pub(crate) fn recount(shape: &Shape<'_>) -> String {
    format!(
        "select count(*) filter (where x_state = {STATE_REPLAY}), count(*) filter (where x_state = {STATE_VALID} and x_doubt) from {}",
        shape.events()
    )
}
