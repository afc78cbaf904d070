//! Values that did not change and rows that do not fit: filled, or set aside.

use tokio_postgres::types::Type;

use crate::batch::merged_before::recount_doubtful;
use crate::batch::prepare::{Judged, within_limit};
use crate::batch::{Batch, Cut};
use crate::error::Error;
use crate::session::Bound;
use crate::staging::cut::Slice;
use crate::staging::events::Shape;
use crate::staging::truncate as staged;
use crate::staging::{fill, quarantine};

/// Fills unchanged values, and marks what stays unknown: two round trips for all datasets, two more for every further
/// link of a chain of key changes.
pub(super) async fn fill(batch: &Batch<'_, Cut>, judged: &mut [Judged<'_>]) -> Result<(), Error> {
    let session = batch.session;
    let (appended, mut open): (Vec<_>, Vec<_>) = judged
        .iter_mut()
        .filter(|dataset| dataset.survey.unknown > 0)
        .partition(|dataset| dataset.shape.dataset.strategy.is_append());
    for dataset in appended {
        let sql = quarantine::mark_unknown(&dataset.shape);
        dataset.set_aside += session
            .execute("mark what cannot be filled", &sql, &[])
            .await?;
    }
    if open.is_empty() {
        return Ok(());
    }
    let prepare: Vec<String> = open
        .iter()
        .map(|dataset| fill::prepare(&dataset.shape))
        .collect();
    let mut before = prepare.join(";\n") + ";\n";
    let last_deletes: Vec<(Shape<'_>, &Slice)> = open
        .iter()
        .flat_map(|dataset| {
            let slices = &batch.state.slices[&dataset.shape.index];
            slices.iter().map(|slice| (dataset.shape, slice))
        })
        .filter(|(_, slice)| slice.position.last_delete.is_some())
        .collect();
    if !last_deletes.is_empty() {
        session
            .script("look for unchanged values", &std::mem::take(&mut before))
            .await?;
    }
    for (shape, Slice { position, .. }) in last_deletes {
        let values: [Bound<'_>; 3] = [
            (&position.topic, Type::TEXT),
            (&position.partition, Type::INT4),
            (&position.last_delete, Type::TEXT),
        ];
        session
            .execute(
                "fill a changed key",
                &fill::from_last_batch(&shape),
                &values,
            )
            .await?;
    }
    let stream = &batch.stream.spec.stream;
    let fill: Vec<Vec<String>> = open
        .iter()
        .map(|Judged { shape, .. }| {
            let mut statements = fill::within_keys(shape, stream);
            statements.push(fill::across_keys(shape));
            statements
        })
        .collect();
    let statements: usize = fill.iter().map(Vec::len).sum();
    let script = fill.concat().join(";\n");
    loop {
        let whole = format!("{}{script}", std::mem::take(&mut before));
        let counts = session
            .script_counts("fill unchanged values", &whole)
            .await?;
        // The last count of each dataset says whether a key change was followed.
        let mut counts = &counts[counts.len().saturating_sub(statements)..];
        let mut moved = 0;
        for own in &fill {
            let (these, later) = counts.split_at(own.len().min(counts.len()));
            moved += these.last().copied().unwrap_or(0);
            counts = later;
        }
        if moved == 0 {
            break;
        }
    }
    let mark: Vec<String> = open
        .iter()
        .map(|dataset| {
            quarantine::mark_unfilled(&dataset.shape, stream, dataset.truncated.is_some())
        })
        .collect();
    let counts = session
        .script_counts("mark what cannot be filled", &mark.join(";\n"))
        .await?;
    for (dataset, count) in open.iter_mut().zip(counts) {
        dataset.set_aside += count;
        if count > 0 && dataset.truncated.is_some() {
            session
                .execute(
                    "take back deletes of what is set aside",
                    &staged::take_back(&dataset.shape),
                    &[],
                )
                .await?;
        }
    }
    Ok(())
}

/// Keeps the rows that do not fit, and closes entries that later rows made superfluous.
pub(super) async fn set_aside(
    batch: &Batch<'_, Cut>,
    dataset: &mut Judged<'_>,
) -> Result<(), Error> {
    let session = batch.session;
    let shape = dataset.shape;
    let stream = &batch.stream.spec.stream;
    let mut values: Vec<Bound<'_>> = vec![
        (&stream.platform, Type::TEXT),
        (&stream.store, Type::TEXT),
        (&shape.dataset.name, Type::TEXT),
    ];
    if dataset.set_aside > 0 || batch.state.open.open_quarantine {
        let complete = if dataset.survey.unknown > 0 {
            "not e.x_need"
        } else {
            "true"
        };
        let supersede = quarantine::supersede(&shape, complete);
        if dataset.set_aside > 0 {
            within_limit(batch, &shape, dataset.set_aside)?;
            recount_doubtful(batch, dataset).await?;
            dataset.counts.quarantined = if batch.state.open.replay {
                let sql = quarantine::reopen(&shape);
                session
                    .execute("keep what still does not fit", &sql, &values)
                    .await?
            } else {
                values.push((&batch.state.open.number, Type::INT8));
                let sql = quarantine::keep(&shape);
                let kept = session
                    .execute("keep what does not fit", &sql, &values)
                    .await?;
                values.pop();
                kept
            };
        }
        // Without a key no later row is about the same one.
        if !shape.dataset.strategy.is_append() {
            session
                .execute("close superseded entries", &supersede, &values)
                .await?;
        }
        if let Some(offset) = &dataset.truncated {
            session
                .execute(
                    "close entries before a truncate",
                    &staged::supersede(&shape, stream),
                    &[(offset, Type::INT8)],
                )
                .await?;
        }
    }
    Ok(())
}
