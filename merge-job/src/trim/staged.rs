//! Which staged rows may go, as SQL.
//!
//! Of the rows at or below a watermark, these are read again: the row at the watermark, which the topic is recognised by;
//! from the beginning of an open snapshot on, which rows of the table it has; the marks of snapshots behind an open entry
//! of the quarantine, which may supersede it. All other readers ask for rows above the watermark.

use milepost_job_spec::TableRef;

/// The query for how far each partition of a stream was merged a time ago. `$1` platform, `$2` store, `$3` the stream's
/// dataset or null, `$4` seconds.
///
/// Each batch keeps where all partitions of its stream stood before it, so the lowest of these, over the batches that ended
/// since, is what was merged before. A partition that one of them does not name was none then, and one that was made again
/// in between has begun anew: its offsets say nothing before that. A store may have been one stream, or several, in between.
pub const MERGED: &str = "with moment as materialized (
  select clock_timestamp() - $4::bigint * interval '1 second' as at
), recent as materialized (
  select b.dataset, b.positions_from from milepost.batches b
   where b.platform = $1 and b.store = $2 and b.dataset is null and b.status = 'succeeded' and b.finished_at > (select at from moment)
  union all
  select b.dataset, b.positions_from from milepost.batches b
   where b.platform = $1 and b.store = $2 and b.dataset = $3::text and b.status = 'succeeded' and b.finished_at > (select at from moment)
  union all
  select b.dataset, b.positions_from from milepost.batches b
   where $3::text is null and b.platform = $1 and b.store = $2 and b.dataset is not null
     and b.status = 'succeeded' and b.finished_at > (select at from moment)
), told as (
  select f.dataset, f.topic, f.partition, min(f.\"offset\") as low, count(*) as n
    from recent r cross join lateral jsonb_to_recordset(coalesce(r.positions_from, '[]'))
      as f(dataset text, topic text, partition integer, \"offset\" bigint)
   group by f.dataset, f.topic, f.partition
), batches as (
  select p.dataset, count(*) as n
    from (select distinct dataset from milepost.positions where platform = $1 and store = $2) p
    join recent r on r.dataset is null or r.dataset = p.dataset
   group by p.dataset
)
select p.dataset, p.topic, p.partition,
       case when coalesce(t.n, 0) = coalesce(b.n, 0) then coalesce(t.low, p.watermark) else -1 end as merged
  from milepost.positions p
  left join told t on (t.dataset, t.topic, t.partition) = (p.dataset, p.topic, p.partition)
  left join batches b on b.dataset = p.dataset
 where p.platform = $1 and p.store = $2 and ($3::text is null or p.dataset = $3)
 order by p.dataset, p.topic, p.partition";

/// A staging table, or the table of a store's ENDs.
#[derive(Debug, Clone, Copy)]
pub struct Staged<'a> {
    /// Which one.
    pub table: &'a TableRef,
    /// Does it hold rows of a dataset?
    pub is_dataset: bool,
}

/// What the statements below are bound to: `$1` platform, `$2` store, `$3` dataset, `$4` topic, `$5` partition, `$6` the
/// offset behind which, and `$7` the one up to which.
const OWN: &str = "platform = $1::text and store = $2::text and dataset = $3::text and topic = $4::text and partition = $5::integer";

impl Staged<'_> {
    /// The statement that locks the lowest staged row of a partition. `$1` topic, `$2` partition.
    ///
    /// Whoever writes a topic that was made again begins at its first offset, each of its transactions as a whole: while
    /// the lowest row is held and is still that of the old topic, so are all above it.
    #[must_use]
    pub fn lock_lowest(self) -> String {
        format!(
            "select s.__connect_offset from {} s where s.__connect_topic = $1 and s.__connect_partition = $2\n \
              order by s.__connect_offset limit 1 for update",
            self.table.quoted()
        )
    }

    /// The query for how many rows of a partition may go.
    #[must_use]
    pub fn count(self) -> String {
        format!(
            "with {}\nselect count(*) {}",
            self.own(),
            self.all_that_may_go()
        )
    }

    /// The query for whether one may go.
    #[must_use]
    pub fn has_any(self) -> String {
        format!(
            "with {}\nselect exists (select {})",
            self.own(),
            self.all_that_may_go()
        )
    }

    fn all_that_may_go(self) -> String {
        format!(
            "from {table} s where {may_go} and s.__connect_offset <= (select upto from own)",
            table = self.table.quoted(),
            may_go = self.may_go(),
        )
    }

    /// The statement that removes the next rows of a partition, at most `$8` with those it spares. Returns how many it
    /// removed and the last offset it looked at, null behind the last one.
    ///
    /// With the rows it writes down the newest commit time that they had at their source.
    #[must_use]
    pub fn remove(self) -> String {
        let noted = if self.is_dataset {
            "noted as (\n  \
               insert into milepost.retention as r (platform, store, dataset, trimmed_source_ts_us)\n  \
               select $1::text, $2::text, $3::text, max(coalesce(ts, 9223372036854775807)) from gone having count(*) > 0\n  \
               on conflict (platform, store, dataset) do update\n   \
                  set trimmed_source_ts_us = greatest(r.trimmed_source_ts_us, excluded.trimmed_source_ts_us)\n   \
                where r.trimmed_source_ts_us is distinct from greatest(r.trimmed_source_ts_us, excluded.trimmed_source_ts_us)\n\
             )\n"
        } else {
            "noted as (select)\n"
        };
        let ts = if self.is_dataset {
            "s.__source_ts_us"
        } else {
            "null::bigint"
        };
        format!(
            "with {own}, chunk as materialized (\n  \
               select max(off) as upto from (\n    \
                 select s.__connect_offset as off from {table} s\n     \
                  where s.__connect_topic = $4::text and s.__connect_partition = $5::integer\n       \
                    and s.__connect_offset > $6::bigint and s.__connect_offset <= (select upto from own)\n     \
                  order by s.__connect_offset limit $8::bigint) c\n\
             ), gone as (\n  \
               delete from {table} s where {may_go} and s.__connect_offset <= (select upto from chunk) returning {ts} as ts\n\
             ), {noted}\
             select (select count(*) from gone) as removed, (select upto from chunk) as upto",
            own = self.own(),
            table = self.table.quoted(),
            may_go = self.may_go(),
        )
    }

    /// How far a partition may go now, whatever was found before: below the watermark and the beginning of an open snapshot.
    fn own(self) -> String {
        let entries = if self.is_dataset {
            format!(
                ", entry as materialized (\n  \
                   select \"offset\" as off from milepost.quarantine where {OWN} and status = 'open'\n\
                 )"
            )
        } else {
            String::new()
        };
        format!(
            "own as materialized (\n  \
               select least($7::bigint, watermark - 1, snapshot_from - 1) as upto from milepost.positions where {OWN}\n\
             ){entries}"
        )
    }

    /// The condition on a row `s` but for the last offset. What another session makes of the row meanwhile is asked again.
    fn may_go(self) -> String {
        let spared = if self.is_dataset {
            "\n   and not exists (select from entry e where e.off = s.__connect_offset)\n   \
               and not coalesce(s.__op = 'r' and s.__snapshot in ('first', 'first_in_data_collection', 'last', 'last_in_data_collection')\n                        \
                       and s.__connect_offset > (select min(off) from entry), false)"
        } else {
            ""
        };
        format!(
            "s.__connect_topic = $4::text and s.__connect_partition = $5::integer and s.__connect_offset > $6::bigint{spared}"
        )
    }
}
