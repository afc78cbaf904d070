//! Up to where a batch goes: one offset per topic partition, all seen in one snapshot.
//!
//! A single-dataset stream cuts by offset alone. A multi-dataset stream cuts between source transactions:
//! [`crate::staging::transaction`].

use milepost_job_spec::{DatasetSpec, SourcePosition};

use crate::control::position::Position;
use crate::staging::{delivery, position, resumed};

/// A stretch of one topic partition: offsets above `position.watermark`, up to `high`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Where the partition stands.
    pub position: Position,
    /// The highest offset of the stretch.
    pub high: i64,
}

/// The partitions of a staging table, found by skipping through the primary key.
pub(crate) fn partitions(staging: &str) -> String {
    format!(
        "with recursive parts(topic, part) as (\n  \
           (select __connect_topic, __connect_partition from {staging} order by 1, 2 limit 1)\n  \
           union all\n  \
           select n.topic, n.part from parts p cross join lateral (\n    \
             select __connect_topic as topic, __connect_partition as part from {staging}\n     \
              where (__connect_topic, __connect_partition) > (p.topic, p.part) order by 1, 2 limit 1) n\n\
         ) select topic, part from parts"
    )
}

/// The statement that cuts a single-dataset stream. `$1` topics, `$2` partitions, `$3` watermarks of the known
/// partitions, `$4` the most rows of the batch.
///
/// Returns topic, partition, the highest offset to take and the highest visible one, for each partition that has rows above its watermark. The
/// rows are shared out evenly between them; where there are more partitions than rows, the last ones stay where they are. A cut never falls between the halves of a key change.
#[must_use]
pub fn by_offset(dataset: &DatasetSpec, source: SourcePosition) -> String {
    let staging = dataset.staging.quoted();
    let place = position::place_columns(source);
    let list: String = place.iter().map(|column| format!("n.{column}, ")).collect();
    let same: String = place
        .iter()
        .map(|column| format!(" and b.{column} = a.{column}"))
        .collect();
    let transaction = |alias| position::transaction_of(source, alias);
    format!(
        "with known as (select * from unnest($1::text[], $2::integer[], $3::bigint[]) as k(topic, part, watermark)),\n\
         head as (\n  \
           select p.topic, p.part, coalesce(k.watermark, -1) as watermark,\n         \
                  (select max(s.__connect_offset) from {staging} s\n           \
                    where s.__connect_topic = p.topic and s.__connect_partition = p.part) as head\n    \
             from ({partitions}) p left join known k using (topic, part)\n\
         ), news as (\n  \
           select *, greatest($4::bigint / count(*) over (), 1) as share, row_number() over (order by topic, part) as place\n    \
             from head where head > watermark\n\
         ), full_cut as (\n  \
           select n.topic, n.part, n.head, n.watermark, case when n.place > $4 then n.watermark when n.head - n.watermark <= n.share then n.head else coalesce((\n    \
             select s.__connect_offset from {staging} s\n     \
              where s.__connect_topic = n.topic and s.__connect_partition = n.part and s.__connect_offset > n.watermark\n     \
              order by s.__connect_offset offset n.share - 1 limit 1), n.head) end as high\n    \
             from news n\n\
         )\n\
         select c.topic, c.part, coalesce((\n  \
           select b.__connect_offset from {staging} a cross join lateral (\n    \
             select n.__connect_offset, n.__op, {list}n.__transaction_id from {staging} n\n     \
              where n.__connect_topic = c.topic and n.__connect_partition = c.part and n.__connect_offset > c.high\n     \
              order by n.__connect_offset limit 1) b\n   \
            where a.__connect_topic = c.topic and a.__connect_partition = c.part and a.__connect_offset = c.high and c.high > c.watermark\n     \
              and a.__op = 'd' and b.__op = 'c'{same}\n     \
              and {after} is not distinct from {before}), c.high) as high, c.head\n  \
           from full_cut c order by 1, 2",
        partitions = partitions(&staging),
        after = transaction("b"),
        before = transaction("a"),
    )
}

/// The statement that groups the staged rows of all datasets by source transaction. `$1` datasets, `$2` topics, `$3`
/// partitions, `$4` watermarks, `$5` commit positions of the fences (null where there is none), `$6` the most rows to
/// look at in each partition. Distinct rows are only told apart where `ends` will be compared with them.
///
/// Returns, per partition and transaction: place of the dataset, topic, partition, commit position, transaction, rows,
/// distinct rows of the transaction, last offset, does it hold streamed rows, whether the look ended before the partition
/// did, the highest visible offset of the partition, and whether rows stand below what came before them, or are of several
/// transactions at one position. A transaction of a partition is one stretch of offsets; snapshot rows and replays inside it
/// belong to it, those behind it are a stretch of their own.
#[must_use]
pub fn by_transaction(datasets: &[DatasetSpec], source: SourcePosition, ends: bool) -> String {
    let (distinct, streamed) = told_apart(ends);
    let transaction = position::transaction_of(source, "s");
    let parts = datasets
        .iter()
        .enumerate()
        .map(|(index, dataset)| {
            let staging = dataset.staging.quoted();
            let rows = staged(dataset, source, ends, &transaction, false);
            format!(
                "select {index} as i, g.* from (\n  \
                 with known as (\n    \
                   select topic, part, watermark, commit from unnest($1::integer[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[])\n      \
                     as k(i, topic, part, watermark, commit) where k.i = {index}\n  \
                 ), look as (\n    \
                   select p.topic, p.part, r.* from ({partitions}) p left join known k using (topic, part)\n    \
                   cross join lateral (\n      \
                     select q.*, k.commit as fence, greatest(k.commit, max(q.commit) over (order by q.off), -1) as place,\n             \
                            count(*) over () >= $6::bigint as more\n        \
                       from ({rows}) q) r\n  \
                 ), split as (\n    \
                   select *, coalesce(off > max(off) filter (where {streamed}) over (partition by topic, part, place), true) as follows\n      \
                     from look\n  \
                 )\n  \
                 select topic, part, place, max(tx) filter (where commit = place) as tx, count(*) as n,\n         \
                        {distinct} filter (where commit = place) as n_distinct, max(off) as high,\n         \
                        not follows as streamed, bool_or(more) as more,\n         \
                        coalesce(bool_or(commit < place), false) or coalesce(min(tx) filter (where commit = place) <> max(tx) filter (where commit = place), false) as back,\n         \
                        (select max(s.__connect_offset) from {staging} s\n           \
                          where s.__connect_topic = split.topic and s.__connect_partition = split.part) as head\n    \
                   from split group by topic, part, place, follows) g",
                partitions = partitions(&staging),
            )
        })
        .collect::<Vec<_>>();
    format!(
        "{}\norder by place, i, topic, part",
        parts.join("\nunion all\n")
    )
}

/// The same, where a connector may have resumed below its slot ([`resumed`]). `$7` row positions of the fences, `$8` their
/// transactions, `$9` and `$10` transactions that are not merged, by their ENDs, and where these are; and the last END that
/// is, without its transaction.
///
/// A transaction has the same position in all partitions: behind every END that is before its own, or before a row of it, and
/// behind the last one that is merged where its position was mended. The first one after a snapshot, at 0, stays there: what
/// it follows is the snapshot.
#[must_use]
pub fn by_transaction_resumed(
    datasets: &[DatasetSpec],
    source: SourcePosition,
    ends: bool,
) -> String {
    let (distinct, streamed) = told_apart(ends);
    let transaction = position::transaction_of(source, "s");
    let parts: Vec<String> = datasets
        .iter()
        .enumerate()
        .map(|(index, dataset)| {
            let staging = dataset.staging.quoted();
            let rows = staged(dataset, source, ends, &transaction, true);
            format!(
                "select {index} as i, p.topic, p.part, r.off, r.ident::text as ident, r.tx,\n         \
                        r.commit as sent, nullif(r.commit, 0) as commit, r.place,\n         \
                        k.commit as fence, k.place as fence_place, k.tx as fence_tx, coalesce(r.tx = any($9::text[]), false) as is_news,\n         \
                        count(*) over (partition by p.topic, p.part) >= $6::bigint as more,\n         \
                        (select max(s.__connect_offset) from {staging} s\n           \
                          where s.__connect_topic = p.topic and s.__connect_partition = p.part) as head\n    \
                   from ({partitions}) p\n    \
                   left join (select * from known where i = {index}) k using (topic, part)\n   \
                  cross join lateral ({rows}) r",
                partitions = partitions(&staging),
            )
        })
        .collect();
    format!(
        "with known as (\n  \
           select * from unnest($1::integer[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[], $7::bigint[], $8::text[])\n    \
             as k(i, topic, part, watermark, commit, place, tx)\n\
         ), seen as (\n  {parts}\n\
         ), mended as (\n  {mended}\n\
         ), ended as (\n  \
           select * from unnest($9::text[], $10::bigint[]) as e(tx, position)\n\
         ), floors as (\n  \
           select tx, max(position) over (order by place groups between unbounded preceding and 1 preceding) as low\n    \
             from (select null as tx, position as place, position from ended where position is not null\n           \
                   union all\n           \
                   select m.tx, coalesce((select max(e.position) from ended e where e.tx = m.tx), max(m.place)), null from mended m\n            \
                    where m.commit is not null and m.tx <> '' group by m.tx) f\n\
         ), own as (\n  \
           select i, topic, part, off, m.tx, ident, fence, more, head,\n         \
                  case when commit is null or f.tx is null or fence is not null and m.tx = fence_tx then coalesce(mended, sent)\n              \
                       else greatest(max(mended) filter (where fence is null or m.tx is distinct from fence_tx) over same, f.low,\n                                     \
                                     case when bool_or(mended > commit) over same then (select max(position) from ended where tx = '') end)\n                                     \
                  end as commit\n    \
             from mended m left join floors f on f.tx = m.tx window same as (partition by m.tx)\n\
         ), look as (\n  \
           select *, greatest(fence, max(commit) over (partition by i, topic, part order by off), -1) as place from own\n\
         ), split as (\n  \
           select *, coalesce(off > max(off) filter (where {streamed}) over (partition by i, topic, part, place), true) as follows\n    \
             from look\n\
         )\n\
         select i, topic, part, place, max(tx) filter (where commit = place) as tx, count(*) as n,\n       \
                {distinct} filter (where commit = place) as n_distinct, max(off) as high,\n       \
                not follows as streamed, bool_or(more) as more, max(head) as head\n  \
           from split group by i, topic, part, place, follows\n\
         order by place, i, topic, part",
        parts = parts.join("\n  union all\n  "),
        mended = resumed::mended("select * from seen", "i, topic, part"),
    )
}

/// How the rows of a transaction are counted, and which rows are of the transaction at their place.
const fn told_apart(ends: bool) -> (&'static str, &'static str) {
    if ends {
        // Where END vouches for transactions, none is merged in part: rows at the fence's commit are redelivered.
        (
            "count(distinct ident)",
            "commit = place and (fence is null or commit > fence)",
        )
    } else {
        ("count(*)", "commit = place")
    }
}

/// The rows of a partition `p` above its watermark: `off`, `ident` (what they are counted by, where there are ENDs), `tx`,
/// `commit`, and with `places` `place`, their row position.
fn staged(
    dataset: &DatasetSpec,
    source: SourcePosition,
    ends: bool,
    transaction: &str,
    places: bool,
) -> String {
    let position::Expressions { commit, row, order } = position::of(source);
    let staging = dataset.staging.quoted();
    let read = |columns: &str| {
        format!(
            "select s.__connect_offset as off, {columns}, {transaction} as tx,\n                     \
                    {commit} as commit\n                \
               from {staging} s where s.__connect_topic = p.topic and s.__connect_partition = p.part\n                 \
                and s.__connect_offset > coalesce(k.watermark, -1)\n               \
              order by s.__connect_offset limit $6::bigint"
        )
    };
    if ends && dataset.strategy.is_append() {
        let rows = read(&format!(
            "p.topic, p.part, {row} as place, {order} as number"
        ));
        return format!(
            "select off, (place, nth) as ident, tx, commit{} from ({}) n",
            if places { ", place" } else { "" },
            delivery::numbered(&rows)
        );
    }
    // The order in the transaction is no identity: a connector that restarts inside one counts from 1 again.
    let ident = if ends {
        delivery::identity(dataset, source)
    } else {
        "null::integer".to_owned()
    };
    let place = if places {
        format!(", {row} as place")
    } else {
        String::new()
    };
    read(&format!("{ident} as ident{place}"))
}

/// The statement that tells the deliveries of a transaction apart. `$1` datasets, `$2` topics, `$3` partitions, `$4`
/// watermarks, `$5` last offsets of the partitions to look at, `$6` commit position, `$7` transaction.
///
/// A delivery begins at a row that is the first of its transaction by order. Returns, per row position of such a row and
/// dataset: distinct rows behind that position, and from it on.
#[must_use]
pub fn deliveries(datasets: &[DatasetSpec], source: SourcePosition) -> String {
    let position::Expressions { commit, row, order } = position::of(source);
    // A connector that resumed may have sent rows of one transaction with several commit positions.
    let own = |commit: &str, transaction: &str| {
        if resumed::may_be(source) {
            format!("{transaction} = $7::text")
        } else {
            format!("{commit} = $6::bigint")
        }
    };
    let transaction = position::transaction_of(source, "s");
    let parts: Vec<String> = datasets
        .iter()
        .enumerate()
        .map(|(index, dataset)| {
            let read = |columns: &str| format!(
                "select p.i, {row} as place, {order} as number, {columns}\n    \
                   from parts p join {staging} s on s.__connect_topic = p.topic and s.__connect_partition = p.part\n     \
                    and s.__connect_offset > p.low and s.__connect_offset <= p.high\n   \
                  where p.i = {index}",
                staging = dataset.staging.quoted(),
            );
            if dataset.strategy.is_append() {
                // Rows of other transactions in between tell where a delivery begins.
                let rows = read(&format!("p.topic, p.part, s.__connect_offset as off, {commit} as commit, {transaction} as tx"));
                format!(
                    "select i, place, number, (place, nth)::text as ident from ({}) n where {}",
                    delivery::numbered(&rows),
                    own("commit", "tx")
                )
            } else {
                let rows = read(&format!("{}::text as ident", delivery::identity(dataset, source)));
                format!("{rows} and {}", own(commit, &transaction))
            }
        })
        .collect();
    format!(
        "with parts as (\n  \
           select * from unnest($1::integer[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[]) as p(i, topic, part, low, high)\n\
         ), staged as materialized (\n  {}\n), begins as (\n  \
           select distinct place from staged where number = 1 and place is not null\n\
         )\n\
         select b.place, s.i, count(distinct s.ident) filter (where s.place > b.place) as behind, count(distinct s.ident) as n_from\n  \
           from begins b join staged s on s.place >= b.place group by 1, 2 order by 1, 2",
        parts.join("\n  union all\n  ")
    )
}
