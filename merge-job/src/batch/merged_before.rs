//! Rows that were merged before, or that cannot be ordered among those that were.

use std::collections::BTreeMap;

use milepost_job_spec::DatasetSpec;
use tokio_postgres::types::Type;

use crate::batch::prepare::Judged;
use crate::batch::{Batch, Cut, by_transaction};
use crate::control::position::Appended;
use crate::error::Error;
use crate::session::Bound;
use crate::staging::cut::Slice;
use crate::staging::events::Shape;
use crate::staging::{delivery, position, quarantine, replay, resumed, snapshot};

/// Some of the rows that may be replays are not merged after all.
pub(super) async fn recount_doubtful(
    batch: &Batch<'_, Cut>,
    dataset: &mut Judged<'_>,
) -> Result<(), Error> {
    if dataset.doubtful == 0 {
        return Ok(());
    }
    let sql = quarantine::doubtful(&dataset.shape);
    let rows = batch
        .session
        .query("count doubtful rows", &sql, &[])
        .await?;
    let count = rows.first().map_or(0, |row| row.get::<_, i64>(0));
    dataset.doubtful = u64::try_from(count).unwrap_or(0);
    Ok(())
}

/// Rows without a key come to any partition, and come again in another one: no fence of a partition would know them.
pub(super) fn refuse_several_partitions(
    batch: &Batch<'_, Cut>,
    shape: &Shape<'_>,
) -> Result<(), Error> {
    let DatasetSpec { name, strategy, .. } = shape.dataset;
    if !strategy.is_append() {
        return Ok(());
    }
    let Cut { open, progress, .. } = &batch.state;
    let known = open.positions.iter().filter(|own| own.dataset == *name);
    let known = known.map(|own| (own.topic.as_str(), own.partition));
    // Those that have news, though the batch may have no room for them.
    let staged = progress
        .iter()
        .filter(|own| own.part.0 == shape.index)
        .map(|own| (own.part.1.as_str(), own.part.2));
    let mut partitions: BTreeMap<&str, i32> = BTreeMap::new();
    for (topic, partition) in known.chain(staged) {
        if *partitions.entry(topic).or_insert(partition) != partition {
            return Err(Error::Staged {
                what: format!(
                    "dataset `{name}` has no key, and its topic `{topic}` has several partitions: nothing tells a row that comes again \
                     from a new one"
                ),
                remedy: "give the topic one partition and take a new snapshot, or give the dataset a key: see docs/operations.md"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

/// Positions that cannot be compared must not be: a replay would pass for news, or news for a replay. Where a new snapshot
/// follows, returns the first offset of such a row.
pub(super) async fn refuse_what_has_no_place(
    batch: &Batch<'_, Cut>,
    shape: &Shape<'_>,
) -> Result<Option<i64>, Error> {
    let Some(sql) = position::check(shape, batch.stream.spec.source) else {
        return Ok(None);
    };
    let positions = || {
        let slices = batch.state.slices[&shape.index].iter();
        slices.map(|slice| &slice.position)
    };
    let topics: Vec<&str> = positions().map(|own| own.topic.as_str()).collect();
    let partitions: Vec<i32> = positions().map(|own| own.partition).collect();
    let transactions: Vec<Option<&str>> = positions()
        .map(|own| own.last_transaction.as_deref())
        .collect();
    let commits: Vec<Option<i64>> = positions()
        .map(|own| own.fence.map(|fence| fence.commit))
        .collect();
    let places: Vec<Option<i64>> = positions()
        .map(|own| own.fence.and_then(|fence| fence.row))
        .collect();
    let orders: Vec<Option<i64>> = positions()
        .map(|own| own.fence.and_then(|fence| fence.order))
        .collect();
    let rows = batch
        .session
        .query(
            "check the positions of staged rows",
            &sql,
            &[
                (&topics, Type::TEXT_ARRAY),
                (&partitions, Type::INT4_ARRAY),
                (&transactions, Type::TEXT_ARRAY),
                (&commits, Type::INT8_ARRAY),
                (&places, Type::INT8_ARRAY),
                (&orders, Type::INT8_ARRAY),
            ],
        )
        .await?;
    let count = |column: usize| rows.first().map_or(0, |row| row.get::<_, i64>(column));
    let name = &shape.dataset.name;
    if batch.state.anew.contains_key(&shape.index) {
        return Ok(rows.first().and_then(|row| row.get("first")));
    }
    if count(2) > 0 {
        return Err(Error::Unordered {
            what: format!(
                "{} staged rows of dataset `{name}` follow others in their transaction and do not stand behind them in the source's log",
                count(2)
            ),
            remedy: "a MariaDB from 11.4 on writes places into its log with `binlog_legacy_event_pos=ON` only, a MySQL with \
                     `binlog_transaction_compression=OFF`; set it, and take a new snapshot: see docs/operations.md"
                .to_owned(),
        });
    }
    if count(0) > 0 {
        return Err(Error::Unordered {
            what: format!(
                "{} staged rows of dataset `{name}` do not say where they stand at their source",
                count(0)
            ),
            remedy: "the source's connector must write transaction metadata, and the sink its fields; see \
                     docs/decisions/0007-mysql-and-other-sources.md for the bounds of positions; then take a new snapshot: \
                     see docs/operations.md"
                .to_owned(),
        });
    }
    if count(1) > 0 {
        return Err(Error::Unordered {
            what: format!(
                "rows of dataset `{name}` come from another server or domain than those before: which is later is not known"
            ),
            remedy: "take a new snapshot of the source, see docs/operations.md; a source whose transactions have \
                     several origins at once cannot be merged"
                .to_owned(),
        });
    }
    Ok(None)
}

/// Leaves out the rows from `first` on that a new snapshot supersedes.
pub(super) async fn supersede(
    batch: &Batch<'_, Cut>,
    dataset: &mut Judged<'_>,
    first: i64,
) -> Result<(), Error> {
    let Some(snapshot) = batch.state.anew.get(&dataset.shape.index) else {
        return Ok(());
    };
    batch
        .session
        .execute(
            "leave out what a snapshot supersedes",
            &snapshot::supersede(&dataset.shape),
            &[(&first, Type::INT8), (snapshot, Type::INT8)],
        )
        .await?;
    let rows = batch
        .session
        .query(
            "count what is left out",
            &snapshot::recount(&dataset.shape),
            &[],
        )
        .await?;
    let count = |column: usize| {
        rows.first().map_or(0, |row| {
            u64::try_from(row.get::<_, i64>(column)).unwrap_or(0)
        })
    };
    (dataset.counts.replayed, dataset.doubtful) = (count(0), count(1));
    Ok(())
}

/// What [`mark`] found.
pub(super) struct Replays {
    pub(super) replays: u64,
    /// Rows that may be replays.
    pub(super) doubtful: u64,
    /// The first offset of rows of a replaced source, which a new snapshot follows.
    pub(super) replaced: Option<i64>,
}

pub(super) async fn mark(batch: &Batch<'_, Cut>, shape: &Shape<'_>) -> Result<Replays, Error> {
    if resumed::may_be(batch.stream.spec.source) {
        mend_resumed(batch, shape).await?;
    }
    let slices = &batch.state.slices[&shape.index];
    let mut topics = Vec::new();
    let mut partitions = Vec::new();
    let (mut commits, mut rows, mut orders, mut newest) = (vec![], vec![], vec![], vec![]);
    let mut last: [Vec<i64>; 5] = Default::default();
    for Slice { position, .. } in slices {
        topics.push(position.topic.as_str());
        partitions.push(position.partition);
        commits.push(position.fence.map_or(-1, |fence| fence.commit));
        rows.push(position.fence.and_then(|fence| fence.row).unwrap_or(-1));
        orders.push(position.fence.and_then(|fence| fence.order).unwrap_or(-1));
        newest.push(position.newest_source_ts_us);
        let own = position.appended.as_ref();
        let fields = own.map_or(Appended::NOTHING, Appended::fields);
        for (column, field) in last.iter_mut().zip(fields) {
            column.push(field);
        }
    }
    let mut values: Vec<Bound<'_>> = vec![
        (&topics, Type::TEXT_ARRAY),
        (&partitions, Type::INT4_ARRAY),
        (&commits, Type::INT8_ARRAY),
        (&rows, Type::INT8_ARRAY),
        (&orders, Type::INT8_ARRAY),
        (&newest, Type::INT8_ARRAY),
    ];
    let sql = if shape.dataset.strategy.is_append() {
        let of_last = last.iter();
        values.extend(of_last.map(|column| -> Bound<'_> { (column, Type::INT8_ARRAY) }));
        delivery::mark(shape)
    } else {
        replay::mark(shape)
    };
    let found = batch.session.query("mark replays", &sql, &values).await?;
    let count = |column: usize| {
        found.first().map_or(0, |row| {
            u64::try_from(row.get::<_, i64>(column)).unwrap_or(0)
        })
    };
    let is_superseded = batch.state.anew.contains_key(&shape.index);
    if count(1) > 0 && !is_superseded {
        return Err(Error::Unordered {
            what: format!(
                "{} rows of dataset `{}` stand before what was merged and were committed after it: the source was replaced, or its \
                 connector resumed with an old offset",
                count(1),
                shape.dataset.name
            ),
            remedy: "take a new snapshot, or restore the source that was replaced; see docs/operations.md"
                .to_owned(),
        });
    }
    Ok(Replays {
        replays: count(0),
        doubtful: count(2),
        replaced: found.first().and_then(|row| row.get(3)),
    })
}

/// Gives transactions that a connector sent with too low a commit position one to go by.
async fn mend_resumed(batch: &Batch<'_, Cut>, shape: &Shape<'_>) -> Result<(), Error> {
    let positions = || {
        let slices = batch.state.slices[&shape.index].iter();
        slices.map(|slice| &slice.position)
    };
    let topics: Vec<&str> = positions().map(|own| own.topic.as_str()).collect();
    let partitions: Vec<i32> = positions().map(|own| own.partition).collect();
    let fences = || positions().map(|own| own.fence);
    let commits: Vec<Option<i64>> = fences().map(|fence| Some(fence?.commit)).collect();
    let places: Vec<Option<i64>> = fences().map(|fence| fence?.row).collect();
    let transactions: Vec<Option<&str>> = positions()
        .map(|own| own.last_transaction.as_deref())
        .collect();
    let Cut { open, .. } = &batch.state;
    let news = by_transaction::settled(open).news(open.ends.as_deref());
    let news: Vec<&str> = news.iter().map(|end| end.transaction.as_str()).collect();
    batch
        .session
        .execute(
            "mend the positions of what a connector resumed",
            &resumed::mend(shape),
            &[
                (&topics, Type::TEXT_ARRAY),
                (&partitions, Type::INT4_ARRAY),
                (&commits, Type::INT8_ARRAY),
                (&places, Type::INT8_ARRAY),
                (&transactions, Type::TEXT_ARRAY),
                (&news, Type::TEXT_ARRAY),
            ],
        )
        .await
        .map(drop)
}
