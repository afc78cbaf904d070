//! The end of a complete snapshot: live rows that it does not have are reported, or closed like deletes.

use std::collections::BTreeMap;

use milepost_job_spec::{OnResnapshot, StreamKey};
use tokio_postgres::types::Type;

use crate::batch::{Batch, Cut};
use crate::error::Error;
use crate::staging::events::Shape;
use crate::staging::missing;

/// Whether more rows than a dataset's policy lets be missing may be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// No: the batch is refused.
    Guarded,
    /// Yes: a person has looked, and said so for this run.
    Allowed,
}

/// What a batch makes of the snapshots of a dataset.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Resnapshot {
    /// The first offset of the snapshot that is open behind the batch.
    pub(crate) open: Option<i64>,
    /// Deletes that were added for rows which the snapshot does not have.
    pub(crate) healed: u64,
}

/// Looks for the ends of snapshots in the events of `shapes`, which have snapshot rows in one slice, and settles each.
pub(super) async fn settle(
    batch: &Batch<'_, Cut>,
    shapes: &[Shape<'_>],
    allowed: Missing,
) -> Result<BTreeMap<usize, Resnapshot>, Error> {
    let mut settled = BTreeMap::new();
    if shapes.is_empty() {
        return Ok(settled);
    }
    let stream = &batch.stream.spec.stream;
    let sql = missing::marks(shapes, stream);
    let rows = batch
        .session
        .query("look for the ends of snapshots", &sql, &[])
        .await?;
    for row in &rows {
        let index = usize::try_from(row.get::<_, i32>("i")).unwrap_or(0);
        let mut own = Resnapshot {
            open: row.get("open"),
            ..Resnapshot::default()
        };
        if let (Some(low), Some(high)) = (row.get("low"), row.get("high")) {
            end(batch, &batch.shape(index), (low, high), allowed, &mut own).await?;
        }
        settled.insert(index, own);
    }
    Ok(settled)
}

/// The same for images: each is complete, and what it does not have is closed whatever the policy says of snapshots.
pub(super) async fn settle_images(
    batch: &Batch<'_, Cut>,
    shapes: &[Shape<'_>],
    allowed: Missing,
) -> Result<BTreeMap<usize, Resnapshot>, Error> {
    let mut settled = BTreeMap::new();
    for shape in shapes {
        let mut own = Resnapshot::default();
        if let Some(slice) = batch.state.slices[&shape.index].first() {
            let bounds = (slice.position.watermark + 1, slice.high);
            end(batch, shape, bounds, allowed, &mut own).await?;
        }
        settled.insert(shape.index, own);
    }
    Ok(settled)
}

/// The snapshot from `low` to `high` is complete.
async fn end(
    batch: &Batch<'_, Cut>,
    shape: &Shape<'_>,
    (low, high): (i64, i64),
    allowed: Missing,
    own: &mut Resnapshot,
) -> Result<(), Error> {
    let stream = &batch.stream.spec.stream;
    let dataset = shape.dataset;
    let is_image = batch.is_of_images();
    let found = match dataset.policy.resnapshot {
        OnResnapshot::Report if !is_image => missing::Found::Counted,
        OnResnapshot::Report | OnResnapshot::Heal => missing::Found::Deleted,
    };
    let Some(slice) = batch.state.slices[&shape.index].first() else {
        return Ok(());
    };
    let rows = batch
        .session
        .query(
            "look for rows that a snapshot does not have",
            &missing::find(shape, stream, found),
            &[
                (&slice.position.topic, Type::TEXT),
                (&slice.position.partition, Type::INT4),
                (&low, Type::INT8),
                (&high, Type::INT8),
                (&slice.position.watermark, Type::INT8),
            ],
        )
        .await?;
    let count = |column: &str| {
        rows.first().map_or(0, |row| {
            u64::try_from(row.get::<_, i64>(column)).unwrap_or(0)
        })
    };
    let (missing, standing, live) = (count("missing"), count("standing"), count("live"));
    if missing == 0 {
        return Ok(());
    }
    let (message, hint) = match found {
        missing::Found::Counted => (
            format!(
                "a complete snapshot of dataset `{}` does not have {missing} of its live rows; they stay",
                dataset.name
            ),
            "compare with the source; the dataset's policy `heal` has a snapshot close such rows: see docs/operations.md",
        ),
        missing::Found::Deleted => {
            let most = u64::from(dataset.policy.max_missing_percent);
            if allowed == Missing::Guarded && standing * 100 > most * live {
                let whole = if is_image {
                    "the image"
                } else {
                    "a complete snapshot"
                };
                return Err(Error::Missing {
                    what: format!(
                        "{whole} of dataset `{}` does not have {standing} of its {live} live rows, more than {most} percent",
                        dataset.name
                    ),
                    remedy: format!(
                        "compare with the source; if the rows are gone there, run `{}`",
                        command(stream)
                    ),
                });
            }
            own.healed = missing;
            if is_image {
                // That is how an image says that rows were deleted.
                return Ok(());
            }
            (
                format!(
                    "{missing} rows of dataset `{}` were closed: a complete snapshot does not have them",
                    dataset.name
                ),
                "their deletes never arrived; see docs/operations.md",
            )
        }
    };
    batch
        .session
        .execute(
            "tell what a snapshot does not have",
            "insert into milepost.events (platform, store, dataset, severity, message, hint) values ($1, $2, $3, 'warning', $4, $5)",
            &[
                (&stream.platform, Type::TEXT),
                (&stream.store, Type::TEXT),
                (&dataset.name, Type::TEXT),
                (&message, Type::TEXT),
                (&hint, Type::TEXT),
            ],
        )
        .await
        .map(drop)
}

/// The command that lets the batch pass.
fn command(stream: &StreamKey) -> String {
    let dataset = stream
        .dataset
        .as_ref()
        .map_or_else(String::new, |dataset| format!(" --dataset {dataset}"));
    format!(
        "merge-job merge --platform {} --store {}{dataset} --allow-missing",
        stream.platform, stream.store
    )
}
