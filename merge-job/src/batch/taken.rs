//! What a batch does where keys changed at once: deletes go where they belong, and no transaction is merged in part.

use tokio_postgres::types::Type;

use crate::batch::merged_before::recount_doubtful;
use crate::batch::prepare::Judged;
use crate::batch::{Attempt, Batch, Cut, Open};
use crate::control::position::Position;
use crate::error::Error;
use crate::staging::cut::Slice;
use crate::staging::taken::{self, Split};

/// Ranks the events of a dataset that has new halves of key changes.
///
/// A stream of several datasets takes transactions whole, as far as END tells. That of one dataset is cut by offset, so a
/// transaction may go on behind the cut, with the delete of a row whose key was taken: the batch is tried again with all of it
/// that is staged, and where a key is left with two rows then too, without it. Where a later one tells that all of it is there,
/// deletes were lost: its order stays.
pub(super) async fn rank(
    batch: &mut Batch<'_, Cut>,
    dataset: &mut Judged<'_>,
    attempt: &Attempt,
) -> Result<(), Error> {
    let session = batch.session;
    let (mut topics, mut partitions) = (vec![], vec![]);
    let (mut commits, mut places, mut transactions) = (vec![], vec![], vec![]);
    let (mut fence_topics, mut fence_partitions) = (vec![], vec![]);
    let (mut fence_commits, mut fence_places) = (vec![], vec![]);
    for Slice { position, .. } in &batch.state.slices[&dataset.shape.index] {
        if let Some(fence) = &position.fence {
            fence_topics.push(position.topic.as_str());
            fence_partitions.push(position.partition);
            fence_commits.push(fence.commit);
            fence_places.push(fence.row);
        }
        if let Some(deleted) = &position.deleted {
            topics.push(position.topic.as_str());
            partitions.push(position.partition);
            commits.push(deleted.commit);
            places.push(deleted.row);
            transactions.push(deleted.transaction.as_deref());
        }
    }
    let truncates = attempt
        .truncate
        .unwrap_or(dataset.shape.dataset.policy.truncate);
    let rows = session
        .query(
            "find keys that changed at once",
            &taken::rank(&dataset.shape, truncates),
            &[
                (&topics, Type::TEXT_ARRAY),
                (&partitions, Type::INT4_ARRAY),
                (&commits, Type::INT8_ARRAY),
                (&places, Type::INT8_ARRAY),
                (&transactions, Type::TEXT_ARRAY),
                (&fence_topics, Type::TEXT_ARRAY),
                (&fence_partitions, Type::INT4_ARRAY),
                (&fence_commits, Type::INT8_ARRAY),
                (&fence_places, Type::INT8_ARRAY),
            ],
        )
        .await?;
    dataset.shape.is_ranked = true;
    batch.ranked.insert(dataset.shape.index);
    let is_single = batch.stream.spec.stream.dataset.is_some();
    let settled = rows.first().map_or(0, |row| row.get::<_, i64>("settled"));
    if settled > 0 {
        dataset.counts.replayed += u64::try_from(settled).unwrap_or(0);
        recount_doubtful(batch, dataset).await?;
    }
    match rows.first() {
        Some(row) if is_single && attempt.reach.may_split() && row.get("open") => {
            Err(Error::Split(Split {
                topic: row.get("topic"),
                partition: row.get("part"),
                first: row.get("first"),
                commit: row.get("commit"),
                transaction: row.get("tx"),
            }))
        }
        _ => Ok(()),
    }
}

/// Up to which offset a partition is taken that has a part of a transaction: to its end, or where nobody knows that, to the row
/// before `bound`. None where nothing is.
pub(super) async fn whole(
    batch: &Batch<'_, Open>,
    position: &Position,
    split: &Split,
    bound: i64,
) -> Result<Option<i64>, Error> {
    let shape = batch.shape(0);
    let rows = batch
        .session
        .query(
            "cut around a transaction",
            &taken::whole(&shape, batch.stream.spec.source),
            &[
                (&split.topic, Type::TEXT),
                (&split.partition, Type::INT4),
                (&split.first, Type::INT8),
                (&split.commit, Type::INT8),
                (&bound, Type::INT8),
                (&split.transaction, Type::TEXT),
            ],
        )
        .await?;
    let high: Option<i64> = rows.first().and_then(|row| row.get("high"));
    Ok(high.filter(|high| *high > position.watermark))
}
