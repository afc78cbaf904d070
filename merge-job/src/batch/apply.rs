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
    let indexes = batch.state.cut.slices.keys();
    let shapes: Vec<Shape<'_>> = indexes.map(|&index| batch.shape(index)).collect();
    fault("reduce");
    let keys = reduce(&batch, &shapes).await?;
    fault("count");
    let Counted {
        mut counts,
        planned,
        last_images,
        time_us,
    } = count(&batch, &shapes, &keys).await?;
    fault("close");
    for (shape, planned) in shapes.iter().zip(&planned) {
        close(batch.session, shape, planned, time_us).await?;
    }
    fault("apply");
    for (shape, planned) in shapes.iter().zip(&planned) {
        let own = counts.entry(shape.index).or_default();
        match keys.get(&shape.index) {
            Some(keys) => merge_at_once(batch.session, shape, *keys, own).await?,
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
    let mut keys = BTreeMap::new();
    for shape in shapes {
        let is_at_once = batch.is_merged_at_once(shape);
        let sql = match shape.dataset.strategy {
            Strategy::LiveOnly if is_at_once => live::latest(shape),
            Strategy::LiveOnly => live::reduce(shape),
            Strategy::Milestoned { .. } => milestoned::reduce(shape),
            Strategy::Append => continue,
        };
        let label = "reduce the events of a dataset to its changes";
        let changes = batch.session.execute(label, &sql, &[]).await?;
        if is_at_once {
            keys.insert(shape.index, changes);
        }
    }
    Ok(keys)
}

/// What is known of a batch before it is written.
struct Counted {
    /// By place of the dataset; what is merged at once is not in them yet.
    counts: BTreeMap<usize, Counts>,
    /// In the order of the shapes.
    planned: Vec<Planned>,
    last_images: BTreeMap<Part, String>,
    time_us: i64,
}

/// How many rows of a dataset's tables are to be written; none of one that is merged at once.
struct Planned {
    to_closed: u64,
    to_live: u64,
}

async fn count(
    batch: &Batch<'_, Prepared>,
    shapes: &[Shape<'_>],
    keys: &BTreeMap<usize, u64>,
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
    let sql = merge::count(shapes, keys, &batch.stream.spec.stream, last_deletes);
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
            to_live: count("to_live"),
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

/// Writes the versions that the batch closes.
async fn close(
    session: &Session,
    shape: &Shape<'_>,
    planned: &Planned,
    time_us: i64,
) -> Result<(), Error> {
    if planned.to_closed == 0 {
        return Ok(());
    }
    let values: [Bound<'_>; 1] = [(&time_us, Type::INT8)];
    let written = session
        .execute("write closed versions", &milestoned::close(shape), &values)
        .await?;
    undisturbed(shape, written, planned.to_closed)
}

/// Writes the rows that are live after the batch, or are appended.
async fn write(
    session: &Session,
    shape: &Shape<'_>,
    planned: &Planned,
    time_us: i64,
) -> Result<(), Error> {
    if planned.to_live == 0 {
        return Ok(());
    }
    let time: [Bound<'_>; 1] = [(&time_us, Type::INT8)];
    let (label, sql, values) = match shape.dataset.strategy {
        Strategy::LiveOnly => ("merge the live rows", live::apply(shape), &[][..]),
        Strategy::Milestoned { .. } => ("merge the live rows", milestoned::apply(shape), &time[..]),
        Strategy::Append => ("append the events", append::apply(shape), &time[..]),
    };
    let written = session.execute(label, &sql, values).await?;
    undisturbed(shape, written, planned.to_live)
}

impl Batch<'_, Prepared> {
    /// Can one statement find and write the changes of a dataset? Only where the server's own counts say all that is to be
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
        shape.dataset.strategy == Strategy::LiveOnly
            && cut.open.counts_writes
            && !cut.open.replay
            && doubtful.get(index).is_none_or(|rows| *rows == 0)
            && counts.get(index).is_some_and(|own| own.truncate == 0)
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
    if keys == 0 {
        return Ok(());
    }
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
