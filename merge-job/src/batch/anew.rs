//! The way on from rows that can never be merged: a batch that goes to the end of a new snapshot.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use crate::batch::cut::{Found, known};
use crate::batch::{Batch, Open, Progress};
use crate::error::Error;
use crate::staging::cut::Slice;
use crate::staging::end;
use crate::staging::snapshot;
use crate::staging::transaction::Consumed;

/// A cut at the end of a new snapshot, where every partition has one that is whole.
///
/// None is asked of a partition of which nothing was merged since its last snapshot: that may be the new one, merged
/// already because nothing stood before it. A topic of several partitions has none: its marks are in one of them only.
pub(super) async fn cut(batch: &Batch<'_, Open>) -> Result<Option<Found>, Error> {
    let spec = &batch.stream.spec;
    let mut indexes = Vec::new();
    let (mut topics, mut partitions, mut watermarks) = (vec![], vec![], vec![]);
    for position in &batch.state.positions {
        let place = spec
            .datasets
            .iter()
            .position(|own| own.name == position.dataset);
        if let Some(index) = place {
            indexes.push(i32::try_from(index).unwrap_or(i32::MAX));
            topics.push(position.topic.as_str());
            partitions.push(position.partition);
            watermarks.push(position.watermark);
        }
    }
    let rows = batch
        .session
        .query(
            "look for a new snapshot",
            &snapshot::find(&spec.datasets, spec.source),
            &[
                (&indexes, Type::INT4_ARRAY),
                (&topics, Type::TEXT_ARRAY),
                (&partitions, Type::INT4_ARRAY),
                (&watermarks, Type::INT8_ARRAY),
            ],
        )
        .await?;
    let mut slices: BTreeMap<usize, Vec<Slice>> = BTreeMap::new();
    let mut anew = BTreeMap::new();
    let mut progress = Vec::new();
    let mut seen = BTreeMap::new();
    let mut log = None;
    let mut newest: Option<(Option<i64>, i64)> = None;
    for row in &rows {
        let index = usize::try_from(row.get::<_, i32>("i")).unwrap_or(0);
        let name = &spec.datasets[index].name;
        let position = known(batch, name, row.get("topic"), row.get("part"));
        let part = (index, position.topic.clone(), position.partition);
        if seen.insert(index, ()).is_some() {
            return Ok(None);
        }
        let (low, high): (Option<i64>, Option<i64>) = (row.get("low"), row.get("high"));
        progress.push(Progress {
            part,
            merged: high.unwrap_or(-1),
            visible: row.get("head"),
        });
        if let (Some(low), Some(high)) = (low, high) {
            log = log.max(row.get("log"));
            let commit: Option<i64> = row.get("commit");
            newest = newest.max(commit.map(|commit| (row.get("ts"), commit)));
            anew.insert(index, low);
            slices.insert(index, vec![Slice { position, high }]);
        } else if position.fence.is_some_and(|fence| fence.commit > 0) {
            // The first transaction after a snapshot of a Postgres has the commit position 0.
            return Ok(None);
        }
    }
    if slices.is_empty() {
        return Ok(None);
    }
    Ok(Some(Found::Take {
        slices,
        // The END of the last transaction before the snapshot may still come. It stands above the commit of its rows.
        ends: pass_over_all(batch, log.max(newest.map(|(_, commit)| commit + 1))).await?,
        exact: false,
        progress,
        anew,
    }))
}

/// All END events that are staged: the transactions that they are of are merged, superseded, or taken as they come.
///
/// The numbers of transactions may have begun anew, so the last END counts and not the highest; so does the last row, and
/// the place in the log at which a Postgres was read (`least`), since ENDs may be staged later than the snapshot.
async fn pass_over_all(
    batch: &Batch<'_, Open>,
    least: Option<i64>,
) -> Result<Option<Consumed>, Error> {
    let spec = &batch.stream.spec;
    let (Some(table), Some(topic)) = (&spec.transactions, &batch.state.end_topic) else {
        return Ok(None);
    };
    let sql = format!(
        "select __connect_offset, payload from {} where __connect_topic = $1 and __connect_partition = $2\n    \
           and __connect_offset > $3 and payload like '%\"END\"%' order by __connect_offset desc limit 1",
        table.quoted()
    );
    let rows = batch
        .session
        .query(
            "read the last transaction event",
            &sql,
            &[
                (&topic.topic, Type::TEXT),
                (&topic.partition, Type::INT4),
                (&topic.watermark, Type::INT8),
            ],
        )
        .await?;
    let last = rows.first().and_then(|row| {
        let offset = row.get(0);
        end::read(spec.source, offset, row.get(1))
            .ok()
            .flatten()
            .map(|end| (offset, end.position))
    });
    let (offset, position) = last.unwrap_or((topic.watermark, None));
    Ok(Some(Consumed {
        offset,
        position: position.max(least),
        count: 0,
    }))
}
