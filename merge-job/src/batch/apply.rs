//! Events become changes, changes rows.

use std::collections::BTreeMap;

use milepost_job_spec::Strategy;
use tokio_postgres::types::Type;

use crate::batch::{Applied, Batch, Counts, Prepared, fault};
use crate::error::Error;
use crate::merge::{self, append, at_once, live, milestoned};
use crate::session::{Bound, Session};
use crate::staging::cut::Slice;
use crate::staging::events::Shape;
use crate::staging::transaction::Part;

/// Writes the changes to the merge tables.
pub(super) async fn apply(batch: Batch<'_, Prepared>) -> Result<Batch<'_, Applied>, Error> {
    let indexes = batch.state.cut.slices.keys();
    let shapes: Vec<Shape<'_>> = indexes.map(|&index| batch.shape(index)).collect();
    fault("reduce");
    let changes = reduce(&batch, &shapes).await?;
    fault("count");
    let Counted {
        mut counts,
        planned,
        last_images,
        time_us,
    } = count(&batch, &shapes, &changes).await?;
    fault("close");
    let mut closed = Vec::with_capacity(shapes.len());
    for (shape, planned) in shapes.iter().zip(&planned) {
        closed.push(close(batch.session, shape, planned, time_us).await?);
    }
    fault("apply");
    for ((shape, planned), closed) in shapes.iter().zip(&planned).zip(closed) {
        let own = counts.entry(shape.index).or_default();
        match planned.unknown {
            Some(unknown) => {
                let merged = merge_at_once(batch.session, shape, planned, time_us).await?;
                settle(shape, planned, unknown, closed, &merged, own)?;
            }
            None => write(batch.session, shape, planned, time_us).await?,
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

/// Makes the changes of each dataset; returns how many there are of those that are merged at once.
async fn reduce(
    batch: &Batch<'_, Prepared>,
    shapes: &[Shape<'_>],
) -> Result<BTreeMap<usize, u64>, Error> {
    let mut changes = BTreeMap::new();
    for shape in shapes {
        let is_at_once = batch.is_merged_at_once(shape);
        let sql = match shape.dataset.strategy {
            Strategy::Append => continue,
            _ if is_at_once => at_once::reduce(shape),
            Strategy::LiveOnly => live::reduce(shape),
            Strategy::Milestoned { .. } => milestoned::reduce(shape),
        };
        let label = "reduce the events of a dataset to its changes";
        let made = batch.session.execute(label, &sql, &[]).await?;
        if is_at_once {
            changes.insert(shape.index, made);
        }
    }
    Ok(changes)
}

/// What is known of a batch before it is written.
struct Counted {
    /// By place of the dataset.
    counts: BTreeMap<usize, Counts>,
    /// In the order of the shapes.
    planned: Vec<Planned>,
    last_images: BTreeMap<Part, String>,
    time_us: i64,
}

/// How many rows of a dataset's tables are to be written.
struct Planned {
    to_closed: u64,
    to_insert: u64,
    to_update: u64,
    to_delete: u64,
    /// Where the dataset is merged at once: the changes of which it is not known what they do; they are in none of the others.
    unknown: Option<u64>,
}

impl Planned {
    const fn to_live(&self) -> u64 {
        self.to_insert + self.to_update + self.to_delete
    }
}

async fn count(
    batch: &Batch<'_, Prepared>,
    shapes: &[Shape<'_>],
    changes: &BTreeMap<usize, u64>,
) -> Result<Counted, Error> {
    let Prepared {
        cut,
        counts,
        doubtful,
        last_deletes,
        resnapshots,
        ..
    } = &batch.state;
    let ends: Vec<Ends> = last_deletes
        .iter()
        .map(|index| Ends::of(&cut.slices[index]))
        .collect();
    let mut values: Vec<Bound<'_>> = Vec::new();
    for ends in &ends {
        values.push((&ends.topics, Type::TEXT_ARRAY));
        values.push((&ends.partitions, Type::INT4_ARRAY));
        values.push((&ends.highs, Type::INT8_ARRAY));
    }
    let sql = merge::count(shapes, changes, &batch.stream.spec.stream, last_deletes);
    let rows = batch
        .session
        .query("count the changes", &sql, &values)
        .await?;
    let mut counted = Counted {
        counts: counts.clone(),
        planned: Vec::with_capacity(rows.len()),
        last_images: BTreeMap::new(),
        time_us: 0,
    };
    let mut most = 1;
    let mut clock_us = 0;
    for (row, shape) in rows.iter().zip(shapes) {
        let count = |column: &str| -> u64 { u64::try_from(row.get::<_, i64>(column)).unwrap_or(0) };
        let own = counted.counts.entry(shape.index).or_default();
        own.healed = resnapshots.get(&shape.index).map_or(0, |own| own.healed);
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
        counted.planned.push(Planned {
            to_closed: count("to_closed"),
            to_insert: count("to_insert"),
            to_update: count("to_update"),
            to_delete: count("closed"),
            unknown: changes.get(&shape.index).map(|_| count("unknown")),
        });
        if let Some(images) = row.get::<_, Option<serde_json::Value>>("last_images") {
            keep_images(shape.index, &images, &mut counted.last_images);
        }
    }
    counted.time_us = match cut.open.previous_time_us {
        Some(previous) => clock_us.max(previous + most),
        None => clock_us,
    };
    Ok(counted)
}

/// Writes the versions that the batch closes; returns how many there are.
async fn close(
    session: &Session,
    shape: &Shape<'_>,
    planned: &Planned,
    time_us: i64,
) -> Result<u64, Error> {
    if !shape.dataset.strategy.is_milestoned()
        || planned.to_closed + planned.unknown.unwrap_or(0) == 0
    {
        return Ok(0);
    }
    let sql = match planned.unknown {
        Some(_) => at_once::close(shape),
        None => milestoned::close(shape),
    };
    let values: [Bound<'_>; 1] = [(&time_us, Type::INT8)];
    let written = session
        .execute("write closed versions", &sql, &values)
        .await?;
    if planned.unknown.is_none() {
        undisturbed(shape, written, planned.to_closed)?;
    }
    Ok(written)
}

/// Writes the rows that are live after the batch, or are appended.
async fn write(
    session: &Session,
    shape: &Shape<'_>,
    planned: &Planned,
    time_us: i64,
) -> Result<(), Error> {
    if planned.to_live() == 0 {
        return Ok(());
    }
    let time: [Bound<'_>; 1] = [(&time_us, Type::INT8)];
    let (label, sql, values) = match shape.dataset.strategy {
        Strategy::LiveOnly => ("merge the live rows", live::apply(shape), &[][..]),
        Strategy::Milestoned { .. } => ("merge the live rows", milestoned::apply(shape), &time[..]),
        Strategy::Append => ("append the events", append::apply(shape), &time[..]),
    };
    let written = session.execute(label, &sql, values).await?;
    undisturbed(shape, written, planned.to_live())
}

impl Batch<'_, Prepared> {
    /// Can the changes of a dataset be found while they are written? Only where the server's own counts say all that is to be
    /// known of them: of rows that may be replays, or are nobody's, they do not.
    fn is_merged_at_once(&self, shape: &Shape<'_>) -> bool {
        let Prepared {
            cut,
            counts,
            doubtful,
            resnapshots,
            ..
        } = &self.state;
        let index = &shape.index;
        !shape.dataset.strategy.is_append()
            && cut.open.counts_writes
            && !cut.open.replay
            && doubtful.get(index).is_none_or(|rows| *rows == 0)
            && counts.get(index).is_some_and(|own| own.truncate == 0)
            && resnapshots.get(index).is_none_or(|own| own.healed == 0)
    }
}

/// Rows of a live table that a statement inserted, updated and deleted.
#[derive(Default)]
struct Merged {
    inserted: u64,
    updated: u64,
    deleted: u64,
}

/// Merges the live rows by key; returns what the server counted.
async fn merge_at_once(
    session: &Session,
    shape: &Shape<'_>,
    planned: &Planned,
    time_us: i64,
) -> Result<Merged, Error> {
    if planned.to_live() + planned.unknown.unwrap_or(0) == 0 {
        return Ok(Merged::default());
    }
    let rows = session
        .script("merge the live rows", &at_once::merge(shape, time_us))
        .await?;
    if rows.iter().any(|row| row.get(3) != Some("on")) {
        return Err(Error::Uncounted(shape.dataset.name.clone()));
    }
    let counted = |place| -> Option<u64> {
        let [before, after] = rows.as_slice() else {
            return None;
        };
        let count = |row: &tokio_postgres::SimpleQueryRow| row.get(place)?.parse::<u64>().ok();
        count(after)?.checked_sub(count(before)?)
    };
    match (counted(0), counted(1), counted(2)) {
        (Some(inserted), Some(updated), Some(deleted)) => Ok(Merged {
            inserted,
            updated,
            deleted,
        }),
        _ => Err(disturbed(shape, "its writes cannot be counted")),
    }
}

/// Counts what the changes turned out to do that were merged at once.
fn settle(
    shape: &Shape<'_>,
    planned: &Planned,
    unknown: u64,
    closed: u64,
    merged: &Merged,
    counts: &mut Counts,
) -> Result<(), Error> {
    let found = |all: u64, planned: u64| {
        let less = || disturbed(shape, "fewer rows were written than planned");
        all.checked_sub(planned).ok_or_else(less)
    };
    let inserted = found(merged.inserted, planned.to_insert)?;
    let updated = found(merged.updated, planned.to_update)?;
    let deleted = found(merged.deleted, planned.to_delete)?;
    let Some(unchanged) = unknown.checked_sub(inserted + updated + deleted) else {
        return Err(disturbed(
            shape,
            "more rows were written than there are keys",
        ));
    };
    if shape.dataset.strategy.is_milestoned() {
        undisturbed(shape, closed, planned.to_closed + updated + deleted)?;
    }
    counts.inserted += inserted;
    counts.updated += updated;
    counts.deleted += deleted;
    counts.unchanged += unchanged;
    counts.closed += deleted;
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
