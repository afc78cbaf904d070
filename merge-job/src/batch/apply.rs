//! Events become changes, changes rows.

use std::collections::BTreeMap;

use milepost_job_spec::Strategy;
use tokio_postgres::types::Type;

use crate::batch::{Applied, Batch, Counts, Prepared, fault};
use crate::error::Error;
use crate::merge::{self, append, live, milestoned};
use crate::session::{Bound, Session};
use crate::staging::cut::Slice;
use crate::staging::events::Shape;
use crate::staging::transaction::Part;

/// Writes the changes to the merge tables.
pub(super) async fn apply(batch: Batch<'_, Prepared>) -> Result<Batch<'_, Applied>, Error> {
    let session = batch.session;
    let shapes: Vec<Shape<'_>> = batch
        .state
        .cut
        .slices
        .keys()
        .map(|&index| batch.shape(index))
        .collect();
    fault("reduce");
    let mut keys = BTreeMap::new();
    for shape in &shapes {
        let is_at_once = batch.is_merged_at_once(shape);
        let sql = match shape.dataset.strategy {
            Strategy::LiveOnly if is_at_once => live::latest(shape),
            Strategy::LiveOnly => live::reduce(shape),
            Strategy::Milestoned { .. } => milestoned::reduce(shape),
            Strategy::Append => continue,
        };
        let changes = session
            .execute("reduce the events of a dataset to its changes", &sql, &[])
            .await?;
        if is_at_once {
            keys.insert(shape.index, changes);
        }
    }
    fault("count");
    let ends: Vec<Ends> = batch
        .state
        .last_deletes
        .iter()
        .map(|index| Ends::of(&batch.state.cut.slices[index]))
        .collect();
    let mut values: Vec<Bound<'_>> = Vec::new();
    for ends in &ends {
        values.push((&ends.topics, Type::TEXT_ARRAY));
        values.push((&ends.partitions, Type::INT4_ARRAY));
        values.push((&ends.highs, Type::INT8_ARRAY));
    }
    let sql = merge::count(
        &shapes,
        &keys,
        &batch.stream.spec.stream,
        &batch.state.last_deletes,
    );
    let rows = session.query("count the changes", &sql, &values).await?;
    let mut last_images = BTreeMap::new();
    let mut counts = batch.state.counts.clone();
    let doubtful = &batch.state.doubtful;
    let mut most = 1;
    let mut clock_us = 0;
    let mut planned = Vec::with_capacity(rows.len());
    for (row, shape) in rows.iter().zip(&shapes) {
        let count = |column: &str| -> u64 { u64::try_from(row.get::<_, i64>(column)).unwrap_or(0) };
        let own = counts.entry(shape.index).or_default();
        let healed = batch.state.resnapshots.get(&shape.index);
        own.healed = healed.map_or(0, |own| own.healed);
        own.inserted = count("inserted");
        own.updated = count("updated");
        own.deleted = count("deleted");
        own.unchanged = count("unchanged");
        own.settle(
            doubtful.get(&shape.index).copied().unwrap_or(0),
            count("certain"),
            count("news"),
        );
        own.closed = count("closed");
        most = most.max(row.get::<_, i64>("most"));
        clock_us = row.get("clock_us");
        planned.push((count("to_closed"), count("to_live")));
        if let Some(images) = row.get::<_, Option<serde_json::Value>>("last_images") {
            keep_images(shape.index, &images, &mut last_images);
        }
    }
    let time_us = match batch.state.cut.open.previous_time_us {
        Some(previous) => clock_us.max(previous + most),
        None => clock_us,
    };
    fault("close");
    for (shape, (to_closed, _)) in shapes.iter().zip(&planned) {
        if *to_closed > 0 {
            let written = session
                .execute(
                    "write closed versions",
                    &milestoned::close(shape),
                    &[(&time_us, Type::INT8)],
                )
                .await?;
            undisturbed(shape, written, *to_closed)?;
        }
    }
    fault("apply");
    for (shape, (_, to_live)) in shapes.iter().zip(&planned) {
        if *to_live > 0 {
            let time: [Bound<'_>; 1] = [(&time_us, Type::INT8)];
            let (what, sql, values) = match shape.dataset.strategy {
                Strategy::LiveOnly => ("merge the live rows", live::apply(shape), &[][..]),
                Strategy::Milestoned { .. } => {
                    ("merge the live rows", milestoned::apply(shape), &time[..])
                }
                Strategy::Append => ("append the events", append::apply(shape), &time[..]),
            };
            let written = session.execute(what, &sql, values).await?;
            undisturbed(shape, written, *to_live)?;
        }
    }
    for shape in &shapes {
        let own = counts.entry(shape.index).or_default();
        match keys.get(&shape.index) {
            Some(&keys) if keys > 0 => merge_at_once(session, shape, keys, own).await?,
            _ => {}
        }
        if !own.is_complete() {
            return Err(Error::Disturbed(format!(
                "the counts of dataset `{}` do not add up to its staged rows: {own}",
                shape.dataset.name
            )));
        }
    }
    Ok(batch.with(|prepared| Applied {
        cut: prepared.cut,
        counts,
        last_images,
        time_us,
        resnapshots: prepared.resnapshots,
        recognised: prepared.recognised,
    }))
}

impl Batch<'_, Prepared> {
    /// Can one statement find and write the changes of a dataset? Only where the server's own counts say all that is to be
    /// known of them: of rows that may be replays, or are nobody's, they do not.
    fn is_merged_at_once(&self, shape: &Shape<'_>) -> bool {
        let Prepared {
            cut,
            doubtful,
            truncated,
            resnapshots,
            ..
        } = &self.state;
        let index = &shape.index;
        shape.dataset.strategy == Strategy::LiveOnly
            && cut.open.counts_writes
            && !cut.open.replay
            && doubtful.get(index).is_none_or(|rows| *rows == 0)
            && !truncated.contains(index)
            && resnapshots.get(index).is_none_or(|own| own.healed == 0)
    }
}

/// Merges the last events of so many keys, and counts what became of them.
async fn merge_at_once(
    session: &Session,
    shape: &Shape<'_>,
    keys: u64,
    counts: &mut Counts,
) -> Result<(), Error> {
    let rows = session
        .script("merge the live rows", &live::merge(shape))
        .await?;
    let [before, after] = rows.as_slice() else {
        return Err(disturbed(shape, "its writes cannot be counted"));
    };
    let wrote = |place| -> Option<u64> {
        let count = |row: &tokio_postgres::SimpleQueryRow| row.get(place)?.parse::<u64>().ok();
        count(after)?.checked_sub(count(before)?)
    };
    let counted = wrote(0).zip(wrote(1)).zip(wrote(2));
    let Some(((inserted, updated), deleted)) = counted else {
        return Err(disturbed(shape, "its writes cannot be counted"));
    };
    let Some(unchanged) = keys.checked_sub(inserted + updated + deleted) else {
        return Err(disturbed(
            shape,
            "more rows were written than there are keys",
        ));
    };
    *counts = Counts {
        inserted,
        updated,
        deleted,
        unchanged,
        closed: deleted,
        ..*counts
    };
    Ok(())
}

/// The last offsets of a dataset's slices, as values of a statement.
struct Ends {
    topics: Vec<String>,
    partitions: Vec<i32>,
    highs: Vec<i64>,
}

impl Ends {
    fn of(slices: &[Slice]) -> Self {
        Self {
            topics: slices
                .iter()
                .map(|slice| slice.position.topic.clone())
                .collect(),
            partitions: slices
                .iter()
                .map(|slice| slice.position.partition)
                .collect(),
            highs: slices.iter().map(|slice| slice.high).collect(),
        }
    }
}

/// Takes the images of deleted last rows: `[[topic, partition, image], …]`.
fn keep_images(index: usize, images: &serde_json::Value, kept: &mut BTreeMap<Part, String>) {
    for image in images.as_array().into_iter().flatten() {
        let partition = image[1].as_i64().and_then(|n| i32::try_from(n).ok());
        if let (Some(topic), Some(partition)) = (image[0].as_str(), partition) {
            kept.insert((index, topic.to_owned(), partition), image[2].to_string());
        }
    }
}

fn undisturbed(shape: &Shape<'_>, written: u64, planned: u64) -> Result<(), Error> {
    if written == planned {
        return Ok(());
    }
    let what = format!("{planned} rows were to be written, {written} were");
    Err(disturbed(shape, &what))
}

fn disturbed(shape: &Shape<'_>, what: &str) -> Error {
    Error::Disturbed(format!(
        "table `{}` changed under the batch: {what}",
        shape.dataset.merge
    ))
}
