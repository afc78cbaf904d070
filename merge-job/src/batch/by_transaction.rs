//! The cut of a stream of several datasets: between transactions of the source.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::batch::cut::{Found, known};
use crate::batch::{Batch, Open, Progress, Reach, anew, generation};
use crate::control::position::Fence;
use crate::error::Error;
use crate::session::Bound;
use crate::staging::cut::{self, Slice};
use crate::staging::end::End;
use crate::staging::resumed;
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
    let (mut fence_rows, mut fence_transactions) = (Vec::new(), Vec::new());
    for position in &batch.state.positions {
        let Some(index) = place(&position.dataset) else {
            continue;
        };
        indexes.push(i32::try_from(index).unwrap_or(i32::MAX));
        topics.push(position.topic.as_str());
        partitions.push(position.partition);
        watermarks.push(position.watermark);
        fences.push(position.fence.map(|fence| fence.commit));
        fence_rows.push(position.fence.and_then(|fence| fence.row));
        fence_transactions.push(position.last_transaction.as_deref());
    }
    let settled = settled(&batch.state);
    let ends: Option<&[End]> = batch.state.ends.as_deref();
    let news = settled.news(ends);
    let mut end_transactions: Vec<&str> = news.iter().map(|end| end.transaction.as_str()).collect();
    let mut end_positions: Vec<Option<i64>> = news.iter().map(|end| end.position).collect();
    end_transactions.push("");
    end_positions.push(settled.end);
    let names: Vec<&str> = spec
        .datasets
        .iter()
        .map(|dataset| dataset.source_name.as_str())
        .collect();
    let sql = cut::by_transaction(&spec.datasets, spec.source, ends.is_some());
    let mut look = i64::try_from(spec.limits.max_rows).unwrap_or(i64::MAX);
    let mut closer = BTreeMap::new();
    loop {
        let mut values: Vec<Bound<'_>> = vec![
            (&indexes, Type::INT4_ARRAY),
            (&topics, Type::TEXT_ARRAY),
            (&partitions, Type::INT4_ARRAY),
            (&watermarks, Type::INT8_ARRAY),
            (&fences, Type::INT8_ARRAY),
            (&look, Type::INT8),
        ];
        let mut rows = generation::cut(batch, &sql, &values).await?;
        if resumed::may_be(spec.source) && may_be_resumed(batch, &settled, &news, &rows) {
            values.push((&fence_rows, Type::INT8_ARRAY));
            values.push((&fence_transactions, Type::TEXT_ARRAY));
            values.push((&end_transactions, Type::TEXT_ARRAY));
            values.push((&end_positions, Type::INT8_ARRAY));
            let sql = cut::by_transaction_resumed(&spec.datasets, spec.source, ends.is_some());
            rows = batch
                .session
                .query("cut what a connector resumed", &sql, &values)
                .await?;
        }
        let mut heads = BTreeMap::new();
        let mut stretches: Vec<Stretch> = rows
            .iter()
            .map(|row| {
                let stretch = stretch(row);
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
        let max_rows = spec.limits.max_rows;
        match transaction::choose(&stretches, ends, &closer, &settled, &names, max_rows) {
            Choice::Nothing { ends } => return Ok(Found::Nothing { ends }),
            Choice::Wait { transaction, ends } => {
                let wait = Found::Wait { transaction, ends };
                return Ok(anew::cut(batch).await?.unwrap_or(wait));
            }
            Choice::LookFurther => look = look.saturating_mul(4),
            Choice::LookCloser {
                place,
                transaction,
                highs,
            } => {
                let found = deliveries(batch, place, &transaction, &highs).await?;
                closer.insert(place, found);
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

/// Do rows stand below what came before them, or below an END that is before their own, is a transaction at two positions, or
/// are two at one? Such a delivery comes again, or is of a connector that resumed below its slot.
fn may_be_resumed(batch: &Batch<'_, Open>, settled: &Settled, news: &[&End], rows: &[Row]) -> bool {
    let over: BTreeMap<&str, i64> = news
        .iter()
        .filter_map(|end| Some((end.transaction.as_str(), end.position?)))
        .collect();
    let ends: BTreeSet<i64> = over.values().copied().chain(settled.end).collect();
    let merged: BTreeMap<(&str, i32), (&str, Fence)> = batch
        .state
        .positions
        .iter()
        .filter_map(|own| {
            let part = (own.topic.as_str(), own.partition);
            Some((part, (own.last_transaction.as_deref()?, own.fence?)))
        })
        .collect();
    let mut places: BTreeMap<&str, i64> = BTreeMap::new();
    let mut transactions: BTreeMap<i64, &str> = BTreeMap::new();
    rows.iter().any(|row| {
        let place: i64 = row.get("place");
        let is_elsewhere = row.get::<_, Option<&str>>("tx").is_some_and(|id| {
            let known = merged.get(&(row.get("topic"), row.get("part")));
            let is_other =
                known.is_some_and(|(known, fence)| (*known == id) != (fence.commit == place));
            let end_before = match over.get(id) {
                Some(end) => ends.range(..end).next_back().copied(),
                None => settled.end.filter(|_| row.get("streamed")),
            };
            is_other
                || *places.entry(id).or_insert(place) != place
                || *transactions.entry(place).or_insert(id) != id
                || end_before.is_some_and(|end| 0 < place && place < end)
        });
        row.get("back") || is_elsewhere
    })
}

/// The deliveries of a transaction of which more is staged than its END counts.
async fn deliveries(
    batch: &Batch<'_, Open>,
    place: i64,
    transaction: &str,
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
                (&transaction, Type::TEXT),
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

fn stretch(row: &Row) -> Stretch {
    let count = |column: &str| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
    Stretch {
        dataset: usize::try_from(row.get::<_, i32>("i")).unwrap_or(0),
        topic: row.get("topic"),
        partition: row.get("part"),
        place: row.get("place"),
        transaction: row.get("tx"),
        rows: count("n"),
        distinct: count("n_distinct"),
        high: row.get("high"),
        streamed: row.get("streamed"),
        more: row.get("more"),
    }
}

/// Which transactions are merged already, as far as the control rows tell.
pub(super) fn settled(open: &Open) -> Settled {
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
