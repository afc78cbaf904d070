//! What a batch does with truncates among its events: they take effect, are passed over, or end it.

use milepost_job_spec::OnTruncate;

use crate::batch::merged_before::recount_doubtful;
use crate::batch::prepare::Judged;
use crate::batch::{Batch, Cut};
use crate::control::position::Position;
use crate::error::Error;
use crate::staging::truncate::{self, Truncate};

/// Lets truncates take effect, as the dataset's policy or the caller says.
pub(super) async fn take_effect(
    batch: &Batch<'_, Cut>,
    dataset: &mut Judged<'_>,
    allowed: Option<OnTruncate>,
) -> Result<(), Error> {
    let Judged { shape, .. } = dataset;
    let session = batch.session;
    let rows = session
        .query("find truncates", &truncate::find(shape), &[])
        .await?;
    let truncates: Vec<Truncate> = rows
        .iter()
        .map(|row| Truncate {
            topic: row.get("x_topic"),
            partition: row.get("x_part"),
            offset: row.get("x_off"),
            commit: row.get("x_commit"),
        })
        .collect();
    let Some(last) = truncates.last() else {
        return Ok(());
    };
    let policy = shape.dataset.policy.truncate;
    let policy = match (policy, allowed) {
        // One passes; another one behind it stops the stream again.
        (OnTruncate::Fail, Some(allowed)) if truncates.len() == 1 => allowed,
        (OnTruncate::Fail, allowed) => {
            let first = &truncates[usize::from(allowed.is_some())];
            return Err(first.stops(&batch.stream.spec, &shape.dataset.name));
        }
        (policy, _) => policy,
    };
    // What was appended is never deleted; the truncate is appended too.
    let policy = match policy {
        OnTruncate::CloseAll if shape.dataset.strategy.is_append() => OnTruncate::Ignore,
        policy => policy,
    };
    if policy == OnTruncate::CloseAll {
        let of_dataset = |position: &&Position| position.dataset == shape.dataset.name;
        let partitions = batch.state.open.positions.iter().filter(of_dataset).count();
        if partitions.max(batch.state.slices[&shape.index].len()) > 1 {
            return Err(Error::Staged {
                what: format!(
                    "the source truncated dataset `{}`, whose topic has several partitions: nothing tells which of their rows came before",
                    shape.dataset.name
                ),
                remedy: "let it pass with `merge-job merge --truncate ignore` or `truncate: ignore` in the model, then take a new \
                         snapshot of the dataset: see docs/operations.md"
                    .to_owned(),
            });
        }
        dataset.truncated = Some(last.offset);
    }
    let script = truncate::execute(&dataset.shape, policy, &truncates);
    session.script("let truncates take effect", &script).await?;
    dataset.counts.truncate = truncates.len() as u64;
    recount_doubtful(batch, dataset).await
}
