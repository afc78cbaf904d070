//! The second step of a batch: decide what to take.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use crate::batch::{Batch, Cut, Ended, Open, Progress, Reach, anew, by_offset, by_transaction};
use crate::control::position::Position;
use crate::error::Error;
use crate::staging::cut::Slice;
use crate::staging::generation::END_IDENTITY;
use crate::staging::transaction::Consumed;

/// So many END events of other tables are passed over by a write of their own; fewer are read again at the next run.
const MANY_ENDS: usize = 1000;

/// Records that END events are done with, where no batch does.
async fn pass_over(batch: &Batch<'_, Open>, topic: &Position, ends: Consumed) -> Result<(), Error> {
    let Some(table) = &batch.stream.spec.transactions else {
        return Ok(());
    };
    let sql = format!(
        "insert into milepost.positions (platform, store, dataset, topic, partition, watermark, fence_commit, watermark_row)\n\
         select platform, store, '', $2, $3, $4, $5,\n       \
                (select jsonb_build_object('staged', {END_IDENTITY}) from {table} s\n         \
                  where s.__connect_topic = $2 and s.__connect_partition = $3 and s.__connect_offset = $4)\n  \
           from milepost.streams where id = $1\n\
         on conflict (platform, store, dataset, topic, partition) do update\n   \
         set watermark = excluded.watermark, fence_commit = excluded.fence_commit, watermark_row = excluded.watermark_row",
        table = table.quoted(),
    );
    batch
        .session
        .execute(
            "pass over transactions of other tables",
            &sql,
            &[
                (&batch.stream.id, Type::INT8),
                (&topic.topic, Type::TEXT),
                (&topic.partition, Type::INT4),
                (&ends.offset, Type::INT8),
                (&ends.position, Type::INT8),
            ],
        )
        .await
        .map(drop)
}

/// What [`cut()`] decided.
#[expect(
    clippy::large_enum_variant,
    reason = "one value exists at a time, and it is moved once"
)]
pub(super) enum Decision<'a> {
    /// There is work.
    Take(Batch<'a, Cut>),
    /// There is none, and the transaction is over.
    Ended(Ended),
}

/// Decides, in one snapshot for all datasets, what the batch takes; ends the transaction where that is nothing.
///
/// With [`Reach::Snapshot`] it takes what ends with a new snapshot, where there is one. What is waited for may be gone for
/// good, and superseded too.
pub(super) async fn cut<'a>(batch: Batch<'a, Open>, reach: &Reach) -> Result<Decision<'a>, Error> {
    let anew = match reach {
        Reach::Usual | Reach::Before(..) | Reach::Staged(_) | Reach::Whole(_) => None,
        Reach::Snapshot => anew::cut(&batch).await?,
    };
    let found = if let Some(found) = anew {
        found
    } else if batch.stream.spec.stream.dataset.is_some() {
        by_offset::cut(&batch, reach).await?
    } else {
        by_transaction::cut(&batch, reach).await?
    };
    if let (Found::Nothing { .. }, Reach::Before(dataset, truncate)) = (&found, reach) {
        return Err(truncate.stops(&batch.stream.spec, dataset));
    }
    // The rest of the transaction is not staged yet.
    let found = match (found, reach) {
        (Found::Nothing { ends }, Reach::Whole(split)) => Found::Wait {
            transaction: split.transaction.clone().unwrap_or_default(),
            ends,
        },
        (found, _) => found,
    };
    match found {
        Found::Nothing { ends } => {
            if let (Some(ends), Some(topic)) = (ends, &batch.state.end_topic)
                && ends.count >= MANY_ENDS
            {
                pass_over(&batch, topic, ends).await?;
            }
            let done = format!(
                "update milepost.streams set checked_at = clock_timestamp(), consecutive_failures = 0,\n       \
                   blocked_on = null, blocked_since = null where id = {}; commit",
                batch.stream.id
            );
            batch
                .session
                .script("record that nothing was staged", &done)
                .await?;
            Ok(Decision::Ended(Ended::Empty))
        }
        Found::Wait { transaction, ends } => {
            // The END that is waited for may lie beyond those of other tables that were read.
            if let (Some(ends), Some(topic)) = (ends, &batch.state.end_topic)
                && ends.count >= MANY_ENDS
            {
                pass_over(&batch, topic, ends).await?;
                batch.session.script("commit", "commit").await?;
                return Ok(Decision::Ended(Ended::PassedOver));
            }
            wait(&batch, transaction).await.map(Decision::Ended)
        }
        Found::Take {
            slices,
            ends,
            exact,
            progress,
            anew,
        } => Ok(Decision::Take(batch.with(|open| Cut {
            open,
            slices,
            ends,
            exact,
            progress,
            anew,
        }))),
    }
}

/// What a cut comes to.
pub(super) enum Found {
    Nothing {
        ends: Option<Consumed>,
    },
    Wait {
        transaction: String,
        ends: Option<Consumed>,
    },
    Take {
        slices: BTreeMap<usize, Vec<Slice>>,
        ends: Option<Consumed>,
        exact: bool,
        progress: Vec<Progress>,
        /// The first offset of a new snapshot that ends the slice, by place of the dataset.
        anew: BTreeMap<usize, i64>,
    },
}

pub(super) fn known(
    batch: &Batch<'_, Open>,
    dataset: &str,
    topic: &str,
    partition: i32,
) -> Position {
    batch
        .state
        .positions
        .iter()
        .find(|position| {
            position.dataset == dataset
                && position.topic == topic
                && position.partition == partition
        })
        .cloned()
        .unwrap_or_else(|| Position::start(dataset, topic, partition))
}

/// Records that the stream waits for the rest of a transaction; stops it when that takes too long.
async fn wait(batch: &Batch<'_, Open>, transaction: String) -> Result<Ended, Error> {
    let rows = batch
        .session
        .query(
            "record what the stream waits for",
            "update milepost.streams set checked_at = clock_timestamp(), blocked_on = $2,\n       \
               blocked_since = case when blocked_on is not distinct from $2 then blocked_since else clock_timestamp() end\n \
              where id = $1\n\
             returning extract(epoch from clock_timestamp() - blocked_since)::bigint as seconds",
            &[(&batch.stream.id, Type::INT8), (&transaction, Type::TEXT)],
        )
        .await?;
    batch.session.script("commit", "commit").await?;
    let seconds: i64 = rows.first().map_or(0, |row| row.get("seconds"));
    let limit = batch.stream.spec.limits.incomplete_transaction_seconds;
    if u64::try_from(seconds).unwrap_or(0) > limit {
        let remedy = if batch.stream.spec.stream.dataset.is_none() {
            "look at the sink connectors' state and lag: a part of the transaction has not arrived; if it never will, take a \
             new snapshot of the source: see docs/operations.md"
        } else {
            "it gave a row the key of another one, of which nothing has arrived: look at the sink connector's state and lag; if \
             all has arrived, the other row is gone at the source, and any later change of the dataset lets the stream go on: \
             see docs/operations.md"
        };
        return Err(Error::Staged {
            what: format!(
                "transaction {transaction} of the source is not whole in staging after {seconds} s"
            ),
            remedy: remedy.to_owned(),
        });
    }
    Ok(Ended::Waiting {
        transaction,
        seconds,
    })
}
