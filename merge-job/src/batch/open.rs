//! The beginning of a batch: lock, read progress, decide what to take.

use std::collections::BTreeMap;
use std::time::Instant;

use milepost_job_spec::SourcePosition;
use tokio_postgres::SimpleQueryRow;
use tokio_postgres::types::Type;

use crate::batch::{Batch, Cut, Ended, Open, Progress, Reach, anew, by_offset};
use crate::control::position::{Fence, Position};
use crate::control::stream::Stream;
use crate::error::Error;
use crate::session::Session;
use crate::staging::cut::{self, Slice};
use crate::staging::end::{self, End};
use crate::staging::position;
use crate::staging::transaction::{self, Choice, Consumed, Delivery, Part, Settled, Stretch};

/// The settings of a batch's transaction: casts must not depend on who runs it; the live tables are probed by index in
/// key order, which the planner would not choose (`reference/peer-merges.md`, section 1); a dead run's lock goes within
/// a minute.
const SETTINGS: &str = "set local standard_conforming_strings = on; set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; \
    set local intervalstyle = 'postgres'; set local bytea_output = 'hex'; set local extra_float_digits = 1; \
    set local search_path = pg_catalog, pg_temp; set local jit = off; set local work_mem = '256MB'; \
    set local enable_hashjoin = off; set local enable_mergejoin = off; \
    set local idle_in_transaction_session_timeout = '60s'; set local client_connection_check_interval = '10s'; \
    set local lock_timeout = '60s'";

/// The most END events read for one batch, to bound the client's memory: what is beyond them waits for the next.
const MAX_ENDS: usize = 5000;

/// Begins the transaction, locks the stream and reads its progress, in one round trip.
///
/// The lock is a statement of its own: whatever is read comes from later statements, whose snapshots are younger. The rows
/// of the datasets are locked too: a store that becomes one stream, or ceases to be one, has two control rows for a while.
pub(super) async fn open<'a>(
    session: &'a Session,
    stream: &'a Stream,
) -> Result<Batch<'a, Open>, Error> {
    let id = stream.id;
    let ends = stream.spec.transactions.as_ref().map_or_else(String::new, |table| {
        format!(
            "; select 'end', e.__connect_topic, e.__connect_partition::text, e.__connect_offset::text, e.payload\n  \
               from {table} e join milepost.streams s on s.id = {id}\n  \
               left join milepost.positions p on p.platform = s.platform and p.store = s.store and p.dataset = ''\n    \
                 and p.topic = e.__connect_topic and p.partition = e.__connect_partition\n \
              where e.__connect_offset > coalesce(p.watermark, -1) and e.payload like '%\"END\"%'\n \
              order by e.__connect_topic, e.__connect_partition, e.__connect_offset limit {MAX_ENDS}",
            table = table.quoted()
        )
    });
    let script = format!(
        "begin; {SETTINGS};\n\
         select 'lock' from milepost.streams where id = {id} for no key update nowait;\n\
         select 'dataset' from milepost.datasets d join milepost.streams s on d.platform = s.platform and d.store = s.store\n  \
          where s.id = {id} and (s.dataset is null or d.dataset = s.dataset)\n  \
          order by d.dataset for no key update of d nowait;\n\
         select 'stream', s.batch_number::text, (extract(epoch from clock_timestamp()) * 1000000)::bigint::text,\n       \
                (select (extract(epoch from max(d.last_batch_time)) * 1000000)::bigint::text from milepost.datasets d\n         \
                  where d.platform = s.platform and d.store = s.store and (s.dataset is null or d.dataset = s.dataset)),\n       \
                exists (select from milepost.quarantine q where q.platform = s.platform and q.store = s.store\n         \
                         and (s.dataset is null or q.dataset = s.dataset) and q.status = 'open')::text,\n       \
                case when s.wanted then s.spec_digest end\n  \
           from milepost.streams s where s.id = {id};\n\
         select 'position', p.dataset, p.topic, p.partition::text, p.watermark::text, p.fence_commit::text,\n       \
                p.fence_row::text, p.fence_order::text, p.newest_source_ts_us::text,\n       \
                case when p.watermark_row ? 'image' then p.watermark_row::text end, p.watermark_row ->> 'fence_tx'\n  \
           from milepost.positions p join milepost.streams s on p.platform = s.platform and p.store = s.store\n \
          where s.id = {id} and (s.dataset is null or p.dataset = s.dataset)\n \
          order by p.dataset, p.topic, p.partition{ends}"
    );
    let rows = session
        .script("lock the stream and read its progress", &script)
        .await
        .map_err(|error| {
            if error.sqlstate() == Some("55P03") {
                Error::Held(stream.spec.stream.to_string())
            } else {
                error
            }
        })?;
    let state = decode(stream, &rows)?;
    Ok(Batch {
        session,
        stream,
        started: Instant::now(),
        state,
    })
}

fn decode(stream: &Stream, rows: &[SimpleQueryRow]) -> Result<Open, Error> {
    let mut state = Open {
        number: 0,
        previous_time_us: None,
        positions: Vec::new(),
        ends: None,
        end_topic: None,
        open_quarantine: false,
        replay: false,
        started_us: 0,
    };
    let mut locked = false;
    for row in rows {
        match row.get(0) {
            Some("lock") => locked = true,
            Some("stream") => {
                state.number = number(row, 1).unwrap_or(0) + 1;
                state.started_us = number(row, 2).unwrap_or(0);
                state.previous_time_us = number(row, 3);
                state.open_quarantine = row.get(4) == Some("true");
                if row.get(5) != Some(stream.digest.as_str()) {
                    return Err(Error::Outdated(stream.spec.stream.to_string()));
                }
            }
            Some("position") => {
                let position = position(row);
                if position.dataset.is_empty() {
                    state.ends.get_or_insert_default();
                    state.end_topic = Some(position);
                } else {
                    state.positions.push(position);
                }
            }
            Some("end") => {
                let offset = number(row, 3).unwrap_or(-1);
                let payload = row.get(4).unwrap_or("");
                let end = end::read(stream.spec.source, offset, payload).map_err(|source| Error::Staged {
                    what: format!(
                        "the transaction topic of `{}` holds at offset {offset} what is no transaction event ({:?} at line {}, column {})",
                        stream.spec.stream,
                        source.classify(),
                        source.line(),
                        source.column()
                    ),
                    remedy: "the sink of the transaction topic must write its messages unchanged; see the rendered Terraform"
                        .to_owned(),
                })?;
                let ends = state.ends.get_or_insert_default();
                ends.extend(end);
                state.end_topic.get_or_insert_with(|| {
                    Position::start(
                        "",
                        row.get(1).unwrap_or(""),
                        number(row, 2)
                            .and_then(|n| i32::try_from(n).ok())
                            .unwrap_or(0),
                    )
                });
            }
            _ => {}
        }
    }
    if locked {
        Ok(state)
    } else {
        Err(Error::UnknownStream(stream.spec.stream.to_string()))
    }
}

fn number(row: &SimpleQueryRow, column: usize) -> Option<i64> {
    row.get(column).and_then(|text| text.parse().ok())
}

fn position(row: &SimpleQueryRow) -> Position {
    Position {
        dataset: row.get(1).unwrap_or("").to_owned(),
        topic: row.get(2).unwrap_or("").to_owned(),
        partition: number(row, 3)
            .and_then(|n| i32::try_from(n).ok())
            .unwrap_or(0),
        watermark: number(row, 4).unwrap_or(-1),
        fence: number(row, 5).map(|commit| Fence {
            commit,
            row: number(row, 6),
            order: number(row, 7),
        }),
        newest_source_ts_us: number(row, 8),
        last_delete: row.get(9).map(str::to_owned),
        last_transaction: row.get(10).map(str::to_owned),
    }
}

/// So many END events of other tables are passed over by a write of their own; fewer are read again at the next run.
const MANY_ENDS: usize = 1000;

/// Records that END events are done with, where no batch does.
async fn pass_over(batch: &Batch<'_, Open>, topic: &Position, ends: Consumed) -> Result<(), Error> {
    batch
        .session
        .execute(
            "pass over transactions of other tables",
            "insert into milepost.positions (platform, store, dataset, topic, partition, watermark, fence_commit)\n\
             select platform, store, '', $2, $3, $4, $5 from milepost.streams where id = $1\n\
             on conflict (platform, store, dataset, topic, partition) do update\n   \
             set watermark = excluded.watermark, fence_commit = excluded.fence_commit",
            &[
                (&batch.stream.id, Type::INT8),
                (&topic.topic, Type::TEXT),
                (&topic.partition, Type::INT4),
                (&ends.offset, Type::INT8),
                (&ends.position, Type::INT8),
            ],
        )
        .await
        .map(drop)
}

/// What [`cut()`] decided.
#[expect(
    clippy::large_enum_variant,
    reason = "one value exists at a time, and it is moved once"
)]
pub(super) enum Decision<'a> {
    /// There is work.
    Take(Batch<'a, Cut>),
    /// There is none, and the transaction is over.
    Ended(Ended),
}

/// Decides, in one snapshot for all datasets, what the batch takes; ends the transaction where that is nothing.
///
/// With [`Reach::Snapshot`] it takes what ends with a new snapshot, where there is one. What is waited for may be gone for
/// good, and superseded too.
pub(super) async fn cut<'a>(batch: Batch<'a, Open>, reach: &Reach) -> Result<Decision<'a>, Error> {
    let anew = match reach {
        Reach::Usual | Reach::Before(..) => None,
        Reach::Snapshot => anew::cut(&batch).await?,
    };
    let found = if let Some(found) = anew {
        found
    } else if batch.stream.spec.stream.dataset.is_some() {
        by_offset::cut(&batch, reach).await?
    } else {
        by_transaction(&batch, reach).await?
    };
    if let (Found::Nothing { .. }, Reach::Before(dataset, truncate)) = (&found, reach) {
        return Err(truncate.stops(&batch.stream.spec.stream, dataset));
    }
    match found {
        Found::Nothing { ends } => {
            if let (Some(ends), Some(topic)) = (ends, &batch.state.end_topic)
                && ends.count >= MANY_ENDS
            {
                pass_over(&batch, topic, ends).await?;
            }
            let done = format!(
                "update milepost.streams set checked_at = clock_timestamp(), consecutive_failures = 0,\n       \
                   blocked_on = null, blocked_since = null where id = {}; commit",
                batch.stream.id
            );
            batch
                .session
                .script("record that nothing was staged", &done)
                .await?;
            Ok(Decision::Ended(Ended::Empty))
        }
        Found::Wait { transaction, ends } => {
            // The END that is waited for may lie beyond those of other tables that were read.
            if let (Some(ends), Some(topic)) = (ends, &batch.state.end_topic)
                && ends.count >= MANY_ENDS
            {
                pass_over(&batch, topic, ends).await?;
                batch.session.script("commit", "commit").await?;
                return Ok(Decision::Ended(Ended::PassedOver));
            }
            wait(&batch, transaction).await.map(Decision::Ended)
        }
        Found::Take {
            slices,
            ends,
            exact,
            progress,
            anew,
        } => Ok(Decision::Take(batch.with(|open| Cut {
            open,
            slices,
            ends,
            exact,
            progress,
            anew,
        }))),
    }
}

/// What a cut comes to.
pub(super) enum Found {
    Nothing {
        ends: Option<Consumed>,
    },
    Wait {
        transaction: String,
        ends: Option<Consumed>,
    },
    Take {
        slices: BTreeMap<usize, Vec<Slice>>,
        ends: Option<Consumed>,
        exact: bool,
        progress: Vec<Progress>,
        /// The first offset of a new snapshot that ends the slice, by place of the dataset.
        anew: BTreeMap<usize, i64>,
    },
}

pub(super) fn known(
    batch: &Batch<'_, Open>,
    dataset: &str,
    topic: &str,
    partition: i32,
) -> Position {
    batch
        .state
        .positions
        .iter()
        .find(|position| {
            position.dataset == dataset
                && position.topic == topic
                && position.partition == partition
        })
        .cloned()
        .unwrap_or_else(|| Position::start(dataset, topic, partition))
}

/// Which transactions are merged already, as far as the control rows tell.
fn settled(open: &Open) -> Settled {
    Settled {
        end: open
            .end_topic
            .as_ref()
            .and_then(|topic| topic.fence)
            .map(|fence| fence.commit),
        commit: open
            .positions
            .iter()
            .filter_map(|p| p.fence)
            .map(|fence| fence.commit)
            .max(),
        transactions: open
            .positions
            .iter()
            .filter_map(|p| p.last_transaction.clone())
            .collect(),
    }
}

async fn by_transaction(batch: &Batch<'_, Open>, reach: &Reach) -> Result<Found, Error> {
    let spec = &batch.stream.spec;
    let place = |name: &str| {
        spec.datasets
            .iter()
            .position(|dataset| dataset.name == name)
    };
    let mut indexes = Vec::new();
    let mut topics = Vec::new();
    let mut partitions = Vec::new();
    let mut watermarks = Vec::new();
    let mut fences = Vec::new();
    for position in &batch.state.positions {
        let Some(index) = place(&position.dataset) else {
            continue;
        };
        indexes.push(i32::try_from(index).unwrap_or(i32::MAX));
        topics.push(position.topic.as_str());
        partitions.push(position.partition);
        watermarks.push(position.watermark);
        fences.push(position.fence.map(|fence| fence.commit));
    }
    let names: Vec<&str> = spec
        .datasets
        .iter()
        .map(|dataset| dataset.source_name.as_str())
        .collect();
    let sql = cut::by_transaction(&spec.datasets, spec.source, batch.state.ends.is_some());
    let mut look = i64::try_from(spec.limits.max_rows).unwrap_or(i64::MAX);
    let mut closer = BTreeMap::new();
    loop {
        let rows = batch
            .session
            .query(
                "cut the staged rows",
                &sql,
                &[
                    (&indexes, Type::INT4_ARRAY),
                    (&topics, Type::TEXT_ARRAY),
                    (&partitions, Type::INT4_ARRAY),
                    (&watermarks, Type::INT8_ARRAY),
                    (&fences, Type::INT8_ARRAY),
                    (&look, Type::INT8),
                ],
            )
            .await?;
        let mut heads = BTreeMap::new();
        let mut stretches: Vec<Stretch> = rows
            .iter()
            .map(|row| {
                let stretch = stretch(row, spec.source);
                let part = (stretch.dataset, stretch.topic.clone(), stretch.partition);
                heads.insert(part, row.get::<_, i64>("head"));
                stretch
            })
            .collect();
        if let Reach::Before(_, truncate) = reach {
            // A transaction is never split: what is before the truncate ends before its transaction.
            let Some(commit) = truncate.commit else {
                return Ok(Found::Nothing { ends: None });
            };
            stretches.retain(|stretch| stretch.place < commit);
            if stretches.is_empty() {
                return Ok(Found::Nothing { ends: None });
            }
        }
        let settled = settled(&batch.state);
        let ends: Option<&[End]> = batch.state.ends.as_deref();
        let max_rows = spec.limits.max_rows;
        match transaction::choose(&stretches, ends, &closer, &settled, &names, max_rows) {
            Choice::Nothing { ends } => return Ok(Found::Nothing { ends }),
            Choice::Wait { transaction, ends } => {
                let wait = Found::Wait { transaction, ends };
                return Ok(anew::cut(batch).await?.unwrap_or(wait));
            }
            Choice::LookFurther => look = look.saturating_mul(4),
            Choice::LookCloser { place, highs } => {
                closer.insert(place, deliveries(batch, place, &highs).await?);
            }
            Choice::Take { highs, ends, exact } => {
                let progress = heads
                    .into_iter()
                    .map(|(part, visible)| Progress {
                        merged: highs.get(&part).copied().unwrap_or(-1),
                        part,
                        visible,
                    })
                    .collect();
                let mut slices: BTreeMap<usize, Vec<Slice>> = BTreeMap::new();
                for ((index, topic, partition), high) in highs {
                    let position = known(batch, &spec.datasets[index].name, &topic, partition);
                    slices
                        .entry(index)
                        .or_default()
                        .push(Slice { position, high });
                }
                return Ok(Found::Take {
                    slices,
                    ends,
                    exact,
                    progress,
                    anew: BTreeMap::new(),
                });
            }
        }
    }
}

/// The deliveries of a transaction of which more is staged than its END counts.
async fn deliveries(
    batch: &Batch<'_, Open>,
    place: i64,
    highs: &BTreeMap<Part, i64>,
) -> Result<Vec<Delivery>, Error> {
    let spec = &batch.stream.spec;
    let mut indexes = Vec::new();
    let mut topics = Vec::new();
    let mut partitions = Vec::new();
    let mut watermarks = Vec::new();
    for (index, topic, partition) in highs.keys() {
        indexes.push(i32::try_from(*index).unwrap_or(i32::MAX));
        topics.push(topic.as_str());
        partitions.push(*partition);
        let position = known(batch, &spec.datasets[*index].name, topic, *partition);
        watermarks.push(position.watermark);
    }
    let highs: Vec<i64> = highs.values().copied().collect();
    let rows = batch
        .session
        .query(
            "tell the deliveries of a transaction apart",
            &cut::deliveries(&spec.datasets, spec.source),
            &[
                (&indexes, Type::INT4_ARRAY),
                (&topics, Type::TEXT_ARRAY),
                (&partitions, Type::INT4_ARRAY),
                (&watermarks, Type::INT8_ARRAY),
                (&highs, Type::INT8_ARRAY),
                (&place, Type::INT8),
            ],
        )
        .await?;
    let mut found: BTreeMap<i64, Delivery> = BTreeMap::new();
    for row in &rows {
        let count = |column: &str| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        let index = usize::try_from(row.get::<_, i32>("i")).unwrap_or(0);
        let delivery = found.entry(row.get("place")).or_default();
        delivery.behind.insert(index, count("behind"));
        delivery.from.insert(index, count("n_from"));
    }
    Ok(found.into_values().collect())
}

fn stretch(row: &tokio_postgres::Row, source: SourcePosition) -> Stretch {
    let count = |column: &str| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
    Stretch {
        dataset: usize::try_from(row.get::<_, i32>("i")).unwrap_or(0),
        topic: row.get("topic"),
        partition: row.get("part"),
        place: row.get("place"),
        transaction: row
            .get::<_, Option<&str>>("tx")
            .map(|id| position::transaction(source, id).to_owned()),
        rows: count("n"),
        distinct: count("n_distinct"),
        high: row.get("high"),
        streamed: row.get("streamed"),
        more: row.get("more"),
    }
}

/// Records that the stream waits for the rest of a transaction; stops it when that takes too long.
async fn wait(batch: &Batch<'_, Open>, transaction: String) -> Result<Ended, Error> {
    let rows = batch
        .session
        .query(
            "record what the stream waits for",
            "update milepost.streams set checked_at = clock_timestamp(), blocked_on = $2,\n       \
               blocked_since = case when blocked_on is not distinct from $2 then blocked_since else clock_timestamp() end\n \
              where id = $1\n\
             returning extract(epoch from clock_timestamp() - blocked_since)::bigint as seconds",
            &[(&batch.stream.id, Type::INT8), (&transaction, Type::TEXT)],
        )
        .await?;
    batch.session.script("commit", "commit").await?;
    let seconds: i64 = rows.first().map_or(0, |row| row.get("seconds"));
    let limit = batch.stream.spec.limits.incomplete_transaction_seconds;
    if u64::try_from(seconds).unwrap_or(0) > limit {
        return Err(Error::Staged {
            what: format!(
                "transaction {transaction} of the source is not whole in staging after {seconds} s"
            ),
            remedy: "look at the sink connectors' state and lag: a part of the transaction has not arrived; if it never will, take a \
                     new snapshot of the source: see docs/operations.md"
                .to_owned(),
        });
    }
    Ok(Ended::Waiting {
        transaction,
        seconds,
    })
}
