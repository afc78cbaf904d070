//! The cut of a stream of several datasets: between transactions of the source.

use std::collections::BTreeMap;

use milepost_job_spec::SourcePosition;
use tokio_postgres::types::Type;

use crate::batch::cut::{Found, known};
use crate::batch::{Batch, Open, Progress, Reach, anew, generation};
use crate::error::Error;
use crate::staging::cut::{self, Slice};
use crate::staging::end::End;
use crate::staging::position;
use crate::staging::transaction::{self, Choice, Delivery, Part, Settled, Stretch};

pub(super) async fn cut(batch: &Batch<'_, Open>, reach: &Reach) -> Result<Found, Error> {
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
        let rows = generation::cut(
            batch,
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
