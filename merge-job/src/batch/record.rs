//! The end of a batch: positions, counts and status in the batch's own transaction; failures in another.

use std::fmt::Write as _;

use tokio_postgres::types::Type;

use crate::batch::{Applied, Batch, Counts, Ended, fault};
use crate::control::position::{Appended, Recognised};
use crate::control::stream::Stream;
use crate::error::Error;
use crate::merge::moment;
use crate::retry;
use crate::session::{Bound, Session};
use crate::staging::cut::Slice;
use crate::staging::delivery;
use crate::staging::events::Shape;

/// Values of [`record`] before those of the slices.
const FIXED_VALUES: usize = 21;
/// Values of each slice.
const SLICE_VALUES: usize = 14;

/// Writes everything that the batch leaves in the control tables, and commits.
pub(super) async fn record(batch: Batch<'_, Applied>) -> Result<Ended, Error> {
    fault("record");
    let Batch {
        session,
        stream,
        state: applied,
        ..
    } = batch;
    let Applied {
        cut,
        counts,
        last_images,
        time_us,
        resnapshots,
        recognised,
    } = applied;
    let spec = &stream.spec;
    let total = counts.values().fold(Counts::default(), |mut total, own| {
        total += *own;
        total
    });
    let slices: Vec<(usize, &Slice)> = cut
        .slices
        .iter()
        .flat_map(|(&index, slices)| slices.iter().map(move |slice| (index, slice)))
        .collect();
    let sql = statement(
        &batch_slices(stream, &slices),
        cut.ends.is_some(),
        cut.open.replay,
    );

    let names: Vec<&str> = counts
        .keys()
        .map(|&index| spec.datasets[index].name.as_str())
        .collect();
    let column = |pick: fn(&Counts) -> u64| -> Vec<i64> {
        counts.values().map(|own| signed(pick(own))).collect()
    };
    let classes: [Vec<i64>; 10] = [
        column(|c| c.staged),
        column(|c| c.inserted),
        column(|c| c.updated),
        column(|c| c.deleted),
        column(|c| c.unchanged),
        column(|c| c.overtaken),
        column(|c| c.replayed),
        column(|c| c.quarantined),
        column(|c| c.truncate),
        column(|c| c.closed),
    ];
    let alignment = if cut.exact { "exact" } else { "staged" };
    let spec_version = i32::try_from(spec.version).unwrap_or(i32::MAX);
    let end_topic = cut.open.end_topic.as_ref();
    let end_name = end_topic.map_or("", |position| position.topic.as_str());
    let end_partition = end_topic.map_or(0, |position| position.partition);
    let end_offset = cut.ends.map(|ends| ends.offset);
    let end_position = cut.ends.and_then(|ends| ends.position);
    let mut values: Vec<Bound<'_>> = vec![
        (&stream.id, Type::INT8),
        (&cut.open.number, Type::INT8),
        (&time_us, Type::INT8),
        (&alignment, Type::TEXT),
        (&stream.model_version, Type::TEXT),
        (&spec_version, Type::INT4),
        (&cut.open.started_us, Type::INT8),
        (&names, Type::TEXT_ARRAY),
    ];
    values.extend(
        classes
            .iter()
            .map(|class| -> Bound<'_> { (class, Type::INT8_ARRAY) }),
    );
    // The transaction topic's position follows the last fixed value.
    values.push((&end_name, Type::TEXT));
    values.push((&end_partition, Type::INT4));
    let healed = column(|c| c.healed);
    values.push((&healed, Type::INT8_ARRAY));
    debug_assert_eq!(values.len(), FIXED_VALUES, "the slices' values follow");
    let old: Vec<OldFence> = slices
        .iter()
        .map(|(_, slice)| OldFence::of(slice))
        .collect();
    let images: Vec<Option<&String>> = slices
        .iter()
        .map(|(index, slice)| {
            let position = &slice.position;
            last_images.get(&(*index, position.topic.clone(), position.partition))
        })
        .collect();
    let open: Vec<Option<i64>> = slices
        .iter()
        .map(|(index, _)| resnapshots.get(index).and_then(|own| own.open))
        .collect();
    let kept: Vec<Kept> = slices
        .iter()
        .map(|(index, slice)| {
            let position = &slice.position;
            let part = (*index, position.topic.clone(), position.partition);
            Kept::of(recognised.get(&part))
        })
        .collect();
    let kept_end = Kept::of(end_topic.and_then(|topic| {
        recognised.get(&(spec.datasets.len(), topic.topic.clone(), topic.partition))
    }));
    for ((((index, slice), old), image), (open, kept)) in slices
        .iter()
        .zip(&old)
        .zip(&images)
        .zip(open.iter().zip(&kept))
    {
        values.push((&spec.datasets[*index].name, Type::TEXT));
        values.push((&slice.position.topic, Type::TEXT));
        values.push((&slice.position.partition, Type::INT4));
        values.push((&slice.high, Type::INT8));
        values.push((&old.commit, Type::INT8));
        values.push((&old.row, Type::INT8));
        values.push((&old.order, Type::INT8));
        values.push((&slice.position.newest_source_ts_us, Type::INT8));
        values.push((image, Type::TEXT));
        values.push((&slice.position.last_transaction, Type::TEXT));
        values.push((open, Type::INT8));
        values.extend(kept.values());
    }
    if cut.ends.is_some() {
        values.push((&end_offset, Type::INT8));
        values.push((&end_position, Type::INT8));
        values.extend(kept_end.values());
    }
    session.query("record the batch", &sql, &values).await?;
    fault("commit");
    session
        .script("commit the batch", "commit")
        .await
        .map_err(|error| match error {
            Error::Sql { source, .. } if source.as_db_error().is_none() => Error::Commit {
                number: cut.open.number,
                source,
            },
            other => other,
        })?;
    fault("done");
    Ok(Ended::Committed {
        number: cut.open.number,
        counts: total,
        progress: cut.progress,
    })
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

struct OldFence {
    commit: Option<i64>,
    row: Option<i64>,
    order: Option<i64>,
}

impl OldFence {
    fn of(slice: &Slice) -> Self {
        let fence = slice.position.fence;
        Self {
            commit: fence.map(|fence| fence.commit),
            row: fence.and_then(|fence| fence.row),
            order: fence.and_then(|fence| fence.order),
        }
    }
}

/// What a partition is recognised by, as values: the row at the watermark, the lowest offset and its row.
struct Kept {
    at_watermark: Option<String>,
    lowest_offset: Option<i64>,
    lowest: Option<String>,
}

impl Kept {
    fn of(recognised: Option<&Recognised>) -> Self {
        let lowest = recognised.and_then(|own| own.lowest.as_ref());
        Self {
            at_watermark: recognised.map(|own| own.at_watermark.to_string()),
            lowest_offset: lowest.map(|(offset, _)| *offset),
            lowest: lowest.map(|(_, row)| row.to_string()),
        }
    }

    fn values(&self) -> [Bound<'_>; 3] {
        [
            (&self.at_watermark, Type::TEXT),
            (&self.lowest_offset, Type::INT8),
            (&self.lowest, Type::TEXT),
        ]
    }
}

/// A slice, as the statement reads its events.
struct Moved<'a> {
    shape: Shape<'a>,
    appended: Option<&'a Appended>,
}

fn batch_slices<'a>(stream: &'a Stream, slices: &[(usize, &'a Slice)]) -> Vec<Moved<'a>> {
    slices
        .iter()
        .map(|&(index, slice)| Moved {
            shape: Shape {
                dataset: &stream.spec.datasets[index],
                index,
                // Positions are told by offsets.
                is_ranked: false,
            },
            appended: slice.position.appended.as_ref(),
        })
        .collect()
}

/// One statement: positions, datasets, stream, batch and its datasets.
///
/// `$1` stream, `$2` batch number, `$3` batch time, `$4` alignment, `$5` model version, `$6` spec version, `$7` started,
/// `$8` datasets, `$9` to `$18` their counts, `$19` and `$20` topic and partition of the transaction topic, `$21` the counts of healed rows; then per
/// slice dataset, topic, partition, offset, the old fence (three), the newest commit time, the image of a deleted last
/// row, the transaction of the old fence, the beginning of the open snapshot, and what the partition is recognised by
/// (three); then, with `ends`, offset and position of the last END, and the same three of the transaction topic.
fn statement(slices: &[Moved<'_>], ends: bool, replay: bool) -> String {
    let mut moved = Vec::new();
    for (n, Moved { shape, appended }) in slices.iter().enumerate() {
        let (events, key) = (shape.events(), shape.key_json(""));
        let value = |k: usize| FIXED_VALUES + n * SLICE_VALUES + k;
        let here = format!(
            "x_topic = ${}::text and x_part = ${}::integer",
            value(2),
            value(3)
        );
        let kept = if shape.dataset.strategy.is_append() {
            let [commit, row] = [5, 6].map(|k| format!("${}::bigint", value(k)));
            let kept = delivery::kept(shape, &here, (&commit, &row), *appended);
            format!(" || jsonb_build_object('appended', {kept})")
        } else {
            String::new()
        };
        moved.push(format!(
            "select ${dataset}::text as dataset, ${topic}::text as topic, ${part}::integer as part, ${high}::bigint as high,\n    \
               f.x_commit, f.x_row, f.x_order, greatest(m.newest, ${newest}::bigint) as newest, w.identity, coalesce(w.snapshot, false) as snapshot, ${open}::bigint as snapshot_from,\n    \
               ${lowest_offset}::bigint as lowest_offset, ${lowest}::jsonb as lowest_row\n  \
               from (select max(x_ts) as newest,\n               \
                            max(x_off) filter (where x_op = 'r' and x_snapshot is distinct from 'incremental') as anew\n          \
                       from {events} where {here}) m\n  \
               left join lateral (\n    \
                 select * from (\n      \
                   select x_commit, x_row, x_order, x_tx from {events}\n       \
                    where {here} and x_commit is not null and x_off > coalesce(m.anew, -1)\n      \
                   union all select ${commit}::bigint, ${row}::bigint, ${order}::bigint, ${tx}::text where m.anew is null) o\n     \
                  where x_commit is not null order by x_commit desc, x_row desc nulls last, x_order desc nulls last limit 1) f on true\n  \
               left join lateral (\n    \
                 select jsonb_build_object('key', {key}, 'commit', e.x_commit, 'op', e.x_op, 'row', e.x_row, 'order', e.x_order, 'tx', e.x_tx, 'fence_tx', f.x_tx)\n           \
                          || case when ${image}::text is null then '{{}}'::jsonb else jsonb_build_object('image', ${image}::jsonb) end\n           \
                          || case when ${staged}::text is null then '{{}}'::jsonb else jsonb_build_object('staged', ${staged}::jsonb) end{kept} as identity,\n           \
                        x_op = 'r' and x_snapshot in ('true', 'first', 'first_in_data_collection') as snapshot\n      \
                   from {events} e where {here} and x_off = ${high}) w on true",
            dataset = value(1),
            topic = value(2),
            part = value(3),
            high = value(4),
            commit = value(5),
            row = value(6),
            order = value(7),
            newest = value(8),
            image = value(9),
            tx = value(10),
            open = value(11),
            staged = value(12),
            lowest_offset = value(13),
            lowest = value(14),
        ));
    }
    let last = FIXED_VALUES + slices.len() * SLICE_VALUES;
    if ends {
        moved.push(format!(
            "select '', $19::text, $20::integer, ${}::bigint, ${}::bigint, null, null, null,\n    \
               case when ${staged}::text is not null then jsonb_build_object('staged', ${staged}::jsonb) end, false, null, ${}::bigint, ${}::jsonb",
            last + 1,
            last + 2,
            last + 4,
            last + 5,
            staged = last + 3,
        ));
    } else {
        // Both values are bound all the same, so that their numbers never move.
        moved.push(
            "select '' as dataset, $19::text as topic, $20::integer as part, 0::bigint as high, 0::bigint as x_commit, null::bigint as x_row,\n    \
               null::bigint as x_order, null::bigint as newest, null::jsonb as identity, false as snapshot, null::bigint as snapshot_from,\n    \
               null::bigint as lowest_offset, null::jsonb as lowest_row where false"
                .to_owned(),
        );
    }
    let mut sql = String::new();
    let _ = write!(
        sql,
        "with moved as (\n{moved}\n), stream as (\n  \
           update milepost.streams set batch_number = $2{health} where id = $1 returning *\n\
         ), positions as (\n  \
           insert into milepost.positions as old (platform, store, dataset, topic, partition, watermark, fence_commit, fence_row,\n    \
                                           fence_order, newest_source_ts_us, watermark_row, in_snapshot, snapshot_from,\n                                           \
                                           lowest_offset, lowest_row)\n  \
           select s.platform, s.store, m.dataset, m.topic, m.part, m.high, m.x_commit, m.x_row, m.x_order, m.newest, m.identity, m.snapshot, m.snapshot_from,\n         \
                 m.lowest_offset, m.lowest_row\n    \
             from moved m cross join stream s order by m.dataset, m.topic, m.part\n  \
           on conflict (platform, store, dataset, topic, partition) do update\n  \
           set watermark = excluded.watermark, fence_commit = excluded.fence_commit, fence_row = excluded.fence_row,\n      \
               fence_order = excluded.fence_order, newest_source_ts_us = excluded.newest_source_ts_us,\n      \
               watermark_row = excluded.watermark_row, in_snapshot = excluded.in_snapshot,\n      \
               snapshot_from = excluded.snapshot_from, lowest_offset = excluded.lowest_offset, lowest_row = excluded.lowest_row,\n      \
               refill_upto = case when excluded.watermark < old.refill_upto then old.refill_upto end\n  \
           returning dataset, topic, partition, watermark\n\
         ), datasets as (\n  \
           update milepost.datasets d set last_batch_time = {time} from stream s\n   \
            where d.platform = s.platform and d.store = s.store and (s.dataset is null or d.dataset = s.dataset)\n\
         ), counts as (\n  \
           select * from unnest($8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],\n    \
             $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $21::bigint[])\n    \
             as c(dataset, staged, inserted, updated, deleted, unchanged, overtaken, replayed, quarantined, truncate, closed, healed)\n\
         ), batch as (\n  \
           insert into milepost.batches (stream_id, platform, store, dataset, batch_number, batch_time, status, started_at,\n    \
             finished_at, alignment, rows_staged, rows_inserted, rows_updated, rows_deleted, rows_unchanged, rows_overtaken,\n    \
             rows_replayed, rows_quarantined, rows_truncate, rows_closed, rows_healed, positions_from, positions_to, model_version, spec_version)\n  \
           select s.id, s.platform, s.store, s.dataset, $2, {time}, 'succeeded', {started}, clock_timestamp(), $4,\n    \
             c.*, (select jsonb_agg(jsonb_build_object('dataset', p.dataset, 'topic', p.topic, 'partition', p.partition, 'offset', p.watermark))\n            \
                     from milepost.positions p where p.platform = s.platform and p.store = s.store\n                      \
                      and (s.dataset is null or p.dataset = s.dataset)),\n    \
             (select jsonb_agg(jsonb_build_object('dataset', p.dataset, 'topic', p.topic, 'partition', p.partition, 'offset', p.watermark)) from positions p),\n    \
             $5, $6\n    \
             from stream s cross join (select sum(staged), sum(inserted), sum(updated), sum(deleted), sum(unchanged), sum(overtaken),\n                                              \
               sum(replayed), sum(quarantined), sum(truncate), sum(closed), sum(healed) from counts) c\n  \
           returning id\n\
         )\n\
         insert into milepost.batch_datasets (batch_id, dataset, rows_staged, rows_inserted, rows_updated, rows_deleted,\n    \
           rows_unchanged, rows_overtaken, rows_replayed, rows_quarantined, rows_truncate, rows_closed, rows_healed)\n\
         select b.id, c.* from counts c cross join batch b",
        moved = moved.join("\nunion all\n"),
        health = if replay {
            // That they could be merged says nothing of what is staged.
            ""
        } else {
            ", checked_at = clock_timestamp(), consecutive_failures = 0,\n    blocked_on = null, blocked_since = null"
        },
        time = moment("$3::bigint"),
        started = moment("$7::bigint"),
    );
    sql
}

/// What became of a batch whose COMMIT got no answer: the control row's batch number decides. None if it did not commit.
pub(crate) async fn after_lost_commit(
    session: &Session,
    stream: &Stream,
    number: i64,
) -> Result<Option<Ended>, Error> {
    let rows = session
        .query(
            "see whether the batch was committed",
            "select rows_staged, rows_inserted, rows_updated, rows_deleted, rows_unchanged, rows_overtaken, rows_replayed,\n       \
                    rows_quarantined, rows_truncate, rows_closed, rows_healed\n  \
               from milepost.batches where stream_id = $1 and batch_number = $2 and status = 'succeeded'",
            &[(&stream.id, Type::INT8), (&number, Type::INT8)],
        )
        .await?;
    Ok(rows.first().map(|row| {
        let count = |column: usize| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        let counts = Counts {
            staged: count(0),
            inserted: count(1),
            updated: count(2),
            deleted: count(3),
            unchanged: count(4),
            overtaken: count(5),
            replayed: count(6),
            quarantined: count(7),
            truncate: count(8),
            closed: count(9),
            healed: count(10),
        };
        Ended::Committed {
            number,
            counts,
            progress: Vec::new(),
        }
    }))
}

/// Records a failed batch: its own row, the count of failures in a row, and an event for the operator.
pub(crate) async fn failed(session: &Session, stream: &Stream, error: &Error) -> Result<(), Error> {
    let text = error.chain();
    let hint = retry::hint(error);
    let sqlstate = error.sqlstate().map(str::to_owned);
    let spec_version = i32::try_from(stream.spec.version).unwrap_or(i32::MAX);
    // Another run may hold the stream by now; what it does is more recent news than this failure.
    session
        .script("bound the wait for the stream", "set lock_timeout = '5s'")
        .await?;
    session
        .query(
            "record the failure",
            "with stream as (\n  \
               update milepost.streams set consecutive_failures = consecutive_failures + 1, checked_at = clock_timestamp()\n   \
                where id = $1 returning *\n\
             ), batch as (\n  \
               insert into milepost.batches (stream_id, platform, store, dataset, batch_number, status, started_at, finished_at,\n    \
                 model_version, spec_version, error, sqlstate, hint, consecutive_failures)\n  \
               select id, platform, store, dataset, batch_number + 1, 'failed', clock_timestamp(), clock_timestamp(),\n    \
                 $2, $3, $4, $5, $6, consecutive_failures from stream\n\
             )\n\
             insert into milepost.events (platform, store, dataset, severity, message, hint)\n\
             select platform, store, dataset, 'error', $4, $6 from stream",
            &[
                (&stream.id, Type::INT8),
                (&stream.model_version, Type::TEXT),
                (&spec_version, Type::INT4),
                (&text, Type::TEXT),
                (&sqlstate, Type::TEXT),
                (&hint, Type::TEXT),
            ],
        )
        .await
        .map(drop)
}
