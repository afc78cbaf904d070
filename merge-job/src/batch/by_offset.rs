//! The cut of a stream of one dataset: by offset alone.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use crate::batch::cut::{Found, known};
use crate::batch::{Batch, Open, Progress, Reach, generation, taken};
use crate::control::position::Position;
use crate::error::Error;
use crate::staging::cut::{self, Slice};

pub(super) async fn cut(batch: &Batch<'_, Open>, reach: &Reach) -> Result<Found, Error> {
    let dataset = &batch.stream.spec.datasets[0];
    let positions = &batch.state.positions;
    let topics: Vec<&str> = positions
        .iter()
        .map(|position| position.topic.as_str())
        .collect();
    let partitions: Vec<i32> = positions
        .iter()
        .map(|position| position.partition)
        .collect();
    let watermarks: Vec<i64> = positions
        .iter()
        .map(|position| position.watermark)
        .collect();
    let max_rows = i64::try_from(batch.stream.spec.limits.max_rows).unwrap_or(i64::MAX);
    let rows = generation::cut(
        batch,
        &cut::by_offset(dataset, batch.stream.spec.source),
        &[
            (&topics, Type::TEXT_ARRAY),
            (&partitions, Type::INT4_ARRAY),
            (&watermarks, Type::INT8_ARRAY),
            (&max_rows, Type::INT8),
        ],
    )
    .await?;
    if rows.is_empty() {
        return Ok(Found::Nothing { ends: None });
    }
    let mut progress = Vec::new();
    let mut slices = Vec::new();
    for row in &rows {
        let position = known(batch, &dataset.name, row.get("topic"), row.get("part"));
        let high = match reach {
            Reach::Before(_, truncate) if truncate.is_in(&position) => {
                match last_before(batch, &position, truncate.offset).await? {
                    Some(high) => high,
                    None => continue,
                }
            }
            Reach::Staged(split) | Reach::Whole(split) if split.is_in(&position) => {
                let bound = match reach {
                    Reach::Whole(_) => split.first,
                    _ => i64::MAX,
                };
                match taken::whole(batch, &position, split, bound).await? {
                    Some(high) => high,
                    None => continue,
                }
            }
            _ => row.get("high"),
        };
        // What the batch has no room for is still what this run is to merge.
        let is_taken = high > position.watermark;
        progress.push(Progress {
            part: (0, position.topic.clone(), position.partition),
            merged: high,
            visible: row.get("head"),
        });
        if is_taken {
            slices.push(Slice { position, high });
        }
    }
    if slices.is_empty() {
        return Ok(Found::Nothing { ends: None });
    }
    Ok(Found::Take {
        slices: [(0, slices)].into(),
        ends: None,
        exact: false,
        progress,
        anew: BTreeMap::new(),
    })
}

/// The last staged offset above the watermark and below a truncate's.
async fn last_before(
    batch: &Batch<'_, Open>,
    position: &Position,
    offset: i64,
) -> Result<Option<i64>, Error> {
    let sql = format!(
        "select max(__connect_offset) from {} where __connect_topic = $1 and __connect_partition = $2\n   \
           and __connect_offset > $3 and __connect_offset < $4",
        batch.stream.spec.datasets[0].staging.quoted()
    );
    let rows = batch
        .session
        .query(
            "cut before a truncate",
            &sql,
            &[
                (&position.topic, Type::TEXT),
                (&position.partition, Type::INT4),
                (&position.watermark, Type::INT8),
                (&offset, Type::INT8),
            ],
        )
        .await?;
    Ok(rows.first().and_then(|row| row.get(0)))
}
