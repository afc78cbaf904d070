//! From the cut to events that can be merged: read, then mark replays, quarantine, fill, each only where needed.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::batch::{
    Attempt, Batch, Counts, Cut, Prepared, Reading, fault, generation, image, merged_before,
    resnapshot, taken, truncate, unknown,
};
use crate::error::Error;
use crate::session::Bound;
use crate::staging::cut::Slice;
use crate::staging::events::{self, Shape};
use crate::staging::quarantine;
use crate::staging::refusal::{self, SliceValues, Uncast};

pub(super) async fn prepare<'a>(
    mut batch: Batch<'a, Cut>,
    attempt: &Attempt,
) -> Result<Batch<'a, Prepared>, Error> {
    fault("read");
    if batch.stream.spec.input.is_events() {
        image::supersede_by_events(&batch).await?;
    }
    for (&index, slices) in &batch.state.slices {
        read(&batch, &batch.shape(index), slices, attempt.reading).await?;
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
        values.push((&position.last_transaction, Type::TEXT));
    }
    let surveyed: Vec<(Shape<'_>, usize)> = shapes
        .iter()
        .zip(batch.state.slices.values())
        .map(|(shape, slices)| (*shape, slices.len()))
        .collect();
    let (rows, recognised) = generation::survey(
        &batch,
        &events::survey(&surveyed, batch.stream.spec.source),
        &values,
    )
    .await?;
    let mut judged: Vec<Judged<'_>> = shapes
        .iter()
        .zip(&rows)
        .map(|(shape, row)| Judged::new(*shape, row))
        .collect();
    let replay = batch.state.open.replay;
    let mut unordered = Vec::new();
    for dataset in &judged {
        dataset.refuse_what_nobody_can_merge()?;
        merged_before::refuse_several_partitions(&batch, &dataset.shape)?;
        let first = if replay {
            None
        } else {
            merged_before::refuse_what_has_no_place(&batch, &dataset.shape).await?
        };
        unordered.push(first);
    }
    fault("replays");
    for (dataset, first) in judged.iter_mut().zip(unordered) {
        let mut first = first;
        if dataset.survey.back > 0 && !replay {
            let marked = merged_before::mark(&batch, &dataset.shape).await?;
            (dataset.counts.replayed, dataset.doubtful) = (marked.replays, marked.doubtful);
            first = first.into_iter().chain(marked.replaced).min();
        }
        if let Some(first) = first {
            merged_before::supersede(&batch, dataset, first).await?;
        }
    }
    for dataset in judged.iter_mut().filter(|own| own.survey.took > 0) {
        // A replay moves nothing, and an image has no order; without a key nothing is taken.
        if !replay && !batch.is_of_images() && !dataset.shape.dataset.key.is_empty() {
            taken::rank(&mut batch, dataset, attempt).await?;
        }
    }
    fault("quarantine");
    for dataset in judged
        .iter_mut()
        .filter(|dataset| dataset.survey.refused > 0)
    {
        let sql = quarantine::mark_refused(&dataset.shape);
        dataset.set_aside += batch
            .session
            .execute("mark what the merge table refuses", &sql, &[])
            .await?;
    }
    for dataset in judged
        .iter_mut()
        .filter(|dataset| dataset.survey.truncates > 0)
    {
        truncate::take_effect(&batch, dataset, attempt.truncate).await?;
    }
    fault("fill");
    unknown::fill(&batch, &mut judged).await?;
    for dataset in &mut judged {
        unknown::set_aside(&batch, dataset).await?;
    }
    let resnapshots = if batch.is_of_images() {
        for shape in &shapes {
            image::refuse_duplicates(&batch, shape).await?;
        }
        resnapshot::settle_images(&batch, &shapes, attempt.missing).await?
    } else {
        let taken: Vec<Shape<'_>> = judged
            .iter()
            // What a replay tries again says nothing of where a snapshot begins or ends.
            .filter(|own| !replay && own.survey.taken > 0 && !own.shape.dataset.key.is_empty())
            .filter(|own| batch.state.slices[&own.shape.index].len() == 1)
            .map(|own| own.shape)
            .collect();
        resnapshot::settle(&batch, &taken, attempt.missing).await?
    };
    // Without a key no other row takes its values.
    let ends_in_delete = |own: &&Judged<'_>| {
        let has_key = !own.shape.dataset.key.is_empty();
        !replay && has_key && own.survey.last_deletes > 0 && !own.shape.fillable().is_empty()
    };
    Ok(batch.with(|cut| Prepared {
        cut,
        counts: judged
            .iter()
            .map(|own| (own.shape.index, own.counts))
            .collect(),
        doubtful: judged
            .iter()
            .map(|own| (own.shape.index, own.doubtful))
            .collect(),
        last_deletes: judged
            .iter()
            .filter(ends_in_delete)
            .map(|own| own.shape.index)
            .collect(),
        resnapshots,
        recognised,
    }))
}

/// What [`events::survey`] found in a dataset's events.
pub(super) struct Survey {
    back: u64,
    /// New halves of key changes.
    took: u64,
    refused: u64,
    pub(super) unknown: u64,
    truncates: u64,
    strange: u64,
    last_deletes: u64,
    /// Rows of snapshots that are not incremental.
    taken: u64,
}

/// A dataset's events on their way to the merge.
pub(super) struct Judged<'a> {
    pub(super) shape: Shape<'a>,
    pub(super) survey: Survey,
    pub(super) counts: Counts,
    /// Rows that are merged and may be replays.
    pub(super) doubtful: u64,
    /// Rows marked for quarantine.
    pub(super) set_aside: u64,
    /// The offset of the last truncate that took effect.
    pub(super) truncated: Option<i64>,
}

impl<'a> Judged<'a> {
    fn new(shape: Shape<'a>, row: &Row) -> Self {
        let count = |column: &str| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        let by_slice: Vec<i64> = row.get("back");
        let counted = |place| {
            let own = by_slice.iter().skip(place).step_by(2);
            u64::try_from(own.sum::<i64>()).unwrap_or(0)
        };
        Self {
            shape,
            survey: Survey {
                back: counted(0),
                took: counted(1),
                refused: count("refused"),
                unknown: count("unknown"),
                truncates: count("truncates"),
                strange: count("strange"),
                last_deletes: count("last_deletes"),
                taken: count("taken"),
            },
            counts: Counts {
                staged: count("staged"),
                ..Counts::default()
            },
            doubtful: 0,
            set_aside: 0,
            truncated: None,
        }
    }

    fn refuse_what_nobody_can_merge(&self) -> Result<(), Error> {
        let name = &self.shape.dataset.name;
        if self.survey.strange > 0 {
            return Err(Error::Staged {
                what: format!(
                    "{} staged rows of dataset `{name}` have an `__op` that is none of c, u, d, r, t",
                    self.survey.strange
                ),
                remedy: "see what wrote to the staging table; the sink's transform must be the rendered one"
                    .to_owned(),
            });
        }
        Ok(())
    }
}

async fn read(
    batch: &Batch<'_, Cut>,
    shape: &Shape<'_>,
    slices: &[Slice],
    reading: Reading,
) -> Result<(), Error> {
    let source = batch.stream.spec.source;
    let mut bad = vec![Uncast::default(); slices.len()];
    if reading == Reading::Careful {
        let one = events::create(shape, source, 1);
        let limit = limit(batch);
        for (slice, bad) in slices.iter().zip(&mut bad) {
            *bad = refusal::find(batch.session, shape, &one, slice, limit).await?;
        }
        let found = bad.iter().map(|bad| bad.rows.len() as u64).sum();
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

/// How many rows of a dataset may be set aside. Those of a replay were before, each within the limit of its batch.
fn limit(batch: &Batch<'_, Cut>) -> u64 {
    if batch.state.open.replay {
        return u64::MAX;
    }
    batch.stream.spec.limits.max_quarantined
}

pub(super) fn within_limit(
    batch: &Batch<'_, Cut>,
    shape: &Shape<'_>,
    found: u64,
) -> Result<(), Error> {
    let limit = limit(batch);
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
