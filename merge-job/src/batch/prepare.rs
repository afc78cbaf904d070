//! From the cut to events that can be merged: read, then mark replays, quarantine, fill, each only where needed.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use crate::batch::{Batch, Counts, Cut, Prepared, Reading, fault};
use crate::error::Error;
use crate::session::Bound;
use crate::staging::cut::Slice;
use crate::staging::events::{self, Shape};
use crate::staging::refusal::{self, SliceValues};
use crate::staging::transaction::Part;
use crate::staging::{fill, quarantine, replay};

pub(super) async fn prepare(
    batch: Batch<'_, Cut>,
    reading: Reading,
) -> Result<Batch<'_, Prepared>, Error> {
    fault("read");
    for (&index, slices) in &batch.state.slices {
        read(&batch, &batch.shape(index), slices, reading).await?;
    }
    fault("survey");
    let shapes: Vec<Shape<'_>> = batch
        .state
        .slices
        .keys()
        .map(|&index| batch.shape(index))
        .collect();
    let slices: Vec<&Slice> = batch.state.slices.values().flatten().collect();
    let highs: Vec<i64> = slices.iter().map(|slice| slice.high).collect();
    let mut values: Vec<Bound<'_>> = vec![(&highs, Type::INT8_ARRAY)];
    for Slice { position, .. } in &slices {
        const NONE: &i64 = &-1;
        let fence = position.fence.as_ref();
        values.push((&position.topic, Type::TEXT));
        values.push((&position.partition, Type::INT4));
        values.push((fence.map_or(NONE, |fence| &fence.commit), Type::INT8));
        values.push((
            fence.and_then(|fence| fence.row.as_ref()).unwrap_or(NONE),
            Type::INT8,
        ));
        values.push((
            fence.and_then(|fence| fence.order.as_ref()).unwrap_or(NONE),
            Type::INT8,
        ));
    }
    let surveyed: Vec<(Shape<'_>, usize)> = shapes
        .iter()
        .zip(batch.state.slices.values())
        .map(|(shape, slices)| (*shape, slices.len()))
        .collect();
    let rows = batch
        .session
        .query(
            "survey the staged rows",
            &events::survey(&surveyed),
            &values,
        )
        .await?;
    let mut counts = BTreeMap::new();
    let mut last_images = BTreeMap::new();
    let mut doubtful = BTreeMap::new();
    for (row, shape) in rows.iter().zip(&shapes) {
        let count = |column: &str| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        let survey = Survey {
            back: count("back"),
            refused: count("refused"),
            unknown: count("unknown"),
            truncates: count("truncates"),
            strange: count("strange"),
        };
        let mut own = Counts {
            staged: count("staged"),
            ..Counts::default()
        };
        let in_doubt = judge(&batch, shape, &survey, &mut own).await?;
        doubtful.insert(shape.index, in_doubt);
        if count("last_deletes") > 0 && !shape.fillable().is_empty() {
            keep_last_images(&batch, shape, &mut last_images).await?;
        }
        counts.insert(shape.index, own);
    }
    Ok(batch.with(|cut| Prepared {
        cut,
        counts,
        doubtful,
        last_images,
    }))
}

/// What [`events::survey`] found in a dataset's events.
struct Survey {
    back: u64,
    refused: u64,
    unknown: u64,
    truncates: u64,
    strange: u64,
}

async fn read(
    batch: &Batch<'_, Cut>,
    shape: &Shape<'_>,
    slices: &[Slice],
    reading: Reading,
) -> Result<(), Error> {
    let source = batch.stream.spec.source;
    let mut bad = vec![Vec::new(); slices.len()];
    if reading == Reading::Careful {
        let one = events::create(shape, source, 1);
        let limit = batch.stream.spec.limits.max_quarantined;
        for (slice, bad) in slices.iter().zip(&mut bad) {
            *bad = refusal::find(batch.session, shape, &one, slice, limit).await?;
        }
        let found = bad.iter().map(|bad| bad.len() as u64).sum();
        within_limit(batch, shape, found)?;
    }
    let values: Vec<SliceValues<'_>> = slices
        .iter()
        .zip(bad)
        .map(|(slice, bad)| SliceValues::new(slice, bad))
        .collect();
    let bound: Vec<Bound<'_>> = values.iter().flat_map(|values| values.bound()).collect();
    let sql = events::create(shape, source, slices.len());
    batch
        .session
        .execute("read the staged rows", &sql, &bound)
        .await
        .map(drop)
}

fn within_limit(batch: &Batch<'_, Cut>, shape: &Shape<'_>, found: u64) -> Result<(), Error> {
    let limit = batch.stream.spec.limits.max_quarantined;
    if found <= limit {
        return Ok(());
    }
    Err(Error::Staged {
        what: format!(
            "more than {limit} rows of dataset `{}` in one batch cannot be merged",
            shape.dataset.name
        ),
        remedy: "compare the model's types and keys with the source's; so many rows are no accident of single values"
            .to_owned(),
    })
}

/// Marks what does not take effect, and fills what does. Returns how many of the rows that are merged may be replays.
async fn judge(
    batch: &Batch<'_, Cut>,
    shape: &Shape<'_>,
    survey: &Survey,
    counts: &mut Counts,
) -> Result<u64, Error> {
    let name = &shape.dataset.name;
    if survey.strange > 0 {
        return Err(Error::Staged {
            what: format!(
                "{} staged rows of dataset `{name}` have an `__op` that is none of c, u, d, r, t",
                survey.strange
            ),
            remedy:
                "see what wrote to the staging table; the sink's transform must be the rendered one"
                    .to_owned(),
        });
    }
    if survey.truncates > 0 {
        return Err(Error::Staged {
            what: format!("the source truncated dataset `{name}`"),
            remedy: "nothing is merged beyond a TRUNCATE; revoke it at the source, and see docs/operations.md"
                .to_owned(),
        });
    }
    fault("replays");
    let mut doubtful = 0;
    if survey.back > 0 {
        (counts.replayed, doubtful) = mark_replays(batch, shape).await?;
    }
    fault("quarantine");
    let session = batch.session;
    let mut set_aside = 0;
    if survey.refused > 0 {
        set_aside += session
            .execute(
                "mark what the merge table refuses",
                &quarantine::mark_refused(shape),
                &[],
            )
            .await?;
    }
    fault("fill");
    let stream = &batch.stream.spec.stream;
    let key: [Bound<'_>; 3] = [
        (&stream.platform, Type::TEXT),
        (&stream.store, Type::TEXT),
        (name, Type::TEXT),
    ];
    let fills = survey.unknown > 0;
    if fills {
        session
            .script("look for unchanged values", &fill::prepare(shape))
            .await?;
        for Slice { position, .. } in &batch.state.slices[&shape.index] {
            if let Some(last) = &position.last_delete {
                let values: [Bound<'_>; 3] = [
                    (&position.topic, Type::TEXT),
                    (&position.partition, Type::INT4),
                    (last, Type::TEXT),
                ];
                session
                    .execute("fill a changed key", &fill::from_last_batch(shape), &values)
                    .await?;
            }
        }
        loop {
            session
                .execute("fill unchanged values", &fill::within_keys(shape), &[])
                .await?;
            let moved = session
                .execute("fill changed keys", &fill::across_keys(shape), &[])
                .await?;
            if moved == 0 {
                break;
            }
        }
        set_aside += session
            .execute(
                "mark what cannot be filled",
                &quarantine::mark_unfilled(shape),
                &key,
            )
            .await?;
    }
    if set_aside > 0 {
        within_limit(batch, shape, set_aside)?;
        let number = batch.state.open.number;
        let mut values = key.to_vec();
        values.push((&number, Type::INT8));
        if doubtful > 0 {
            let rows = session
                .query("count doubtful rows", &quarantine::doubtful(shape), &[])
                .await?;
            doubtful = rows
                .first()
                .map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0));
        }
        counts.quarantined = session
            .execute("keep what does not fit", &quarantine::keep(shape), &values)
            .await?;
    }
    if set_aside > 0 || batch.state.open.open_quarantine {
        let complete = if fills { "not e.x_need" } else { "true" };
        session
            .execute(
                "close superseded entries",
                &quarantine::supersede(shape, complete),
                &key,
            )
            .await?;
    }
    Ok(doubtful)
}

/// Keeps what a key change may need whose old half ends this batch.
async fn keep_last_images(
    batch: &Batch<'_, Cut>,
    shape: &Shape<'_>,
    images: &mut BTreeMap<Part, String>,
) -> Result<(), Error> {
    let slices = &batch.state.slices[&shape.index];
    let topics: Vec<&str> = slices
        .iter()
        .map(|slice| slice.position.topic.as_str())
        .collect();
    let partitions: Vec<i32> = slices
        .iter()
        .map(|slice| slice.position.partition)
        .collect();
    let highs: Vec<i64> = slices.iter().map(|slice| slice.high).collect();
    let rows = batch
        .session
        .query(
            "keep the image of a deleted last row",
            &fill::last_image(shape),
            &[
                (&topics, Type::TEXT_ARRAY),
                (&partitions, Type::INT4_ARRAY),
                (&highs, Type::INT8_ARRAY),
            ],
        )
        .await?;
    images.extend(
        rows.iter()
            .map(|row| ((shape.index, row.get(0), row.get(1)), row.get(2))),
    );
    Ok(())
}

/// How many rows are replays, and how many may be.
async fn mark_replays(batch: &Batch<'_, Cut>, shape: &Shape<'_>) -> Result<(u64, u64), Error> {
    let slices = &batch.state.slices[&shape.index];
    let mut topics = Vec::new();
    let mut partitions = Vec::new();
    let (mut commits, mut rows, mut orders, mut newest) = (vec![], vec![], vec![], vec![]);
    for Slice { position, .. } in slices {
        topics.push(position.topic.as_str());
        partitions.push(position.partition);
        commits.push(position.fence.map_or(-1, |fence| fence.commit));
        rows.push(position.fence.and_then(|fence| fence.row).unwrap_or(-1));
        orders.push(position.fence.and_then(|fence| fence.order).unwrap_or(-1));
        newest.push(position.newest_source_ts_us);
    }
    let found = batch
        .session
        .query(
            "mark replays",
            &replay::mark(shape),
            &[
                (&topics, Type::TEXT_ARRAY),
                (&partitions, Type::INT4_ARRAY),
                (&commits, Type::INT8_ARRAY),
                (&rows, Type::INT8_ARRAY),
                (&orders, Type::INT8_ARRAY),
                (&newest, Type::INT8_ARRAY),
            ],
        )
        .await?;
    let count = |column: usize| {
        found.first().map_or(0, |row| {
            u64::try_from(row.get::<_, i64>(column)).unwrap_or(0)
        })
    };
    if count(1) > 0 {
        return Err(Error::Staged {
            what: format!(
                "{} rows of dataset `{}` stand before what was merged and were committed after it: the source was replaced",
                count(1),
                shape.dataset.name
            ),
            remedy: "take a new snapshot of the replaced source, or restore the old one; see docs/operations.md"
                .to_owned(),
        });
    }
    Ok((count(0), count(2)))
}
