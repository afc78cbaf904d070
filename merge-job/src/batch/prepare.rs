//! From the cut to events that can be merged: read, then mark replays, quarantine, fill, each only where needed.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::batch::{Attempt, Batch, Counts, Cut, Prepared, Reading, fault, resnapshot, truncate};
use crate::error::Error;
use crate::session::Bound;
use crate::staging::cut::Slice;
use crate::staging::events::{self, Shape};
use crate::staging::refusal::{self, SliceValues, Uncast};
use crate::staging::truncate as staged;
use crate::staging::{fill, position, quarantine, replay, snapshot};

pub(super) async fn prepare<'a>(
    batch: Batch<'a, Cut>,
    attempt: &Attempt,
) -> Result<Batch<'a, Prepared>, Error> {
    fault("read");
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
    let mut judged: Vec<Judged<'_>> = shapes
        .iter()
        .zip(&rows)
        .map(|(shape, row)| Judged::new(*shape, row))
        .collect();
    let replay = batch.state.open.replay;
    let mut unordered = Vec::new();
    for dataset in &judged {
        dataset.refuse_what_nobody_can_merge()?;
        let first = if replay {
            None
        } else {
            refuse_what_has_no_place(&batch, &dataset.shape).await?
        };
        unordered.push(first);
    }
    fault("replays");
    for (dataset, first) in judged.iter_mut().zip(unordered) {
        let mut first = first;
        if dataset.survey.back > 0 && !replay {
            let marked = mark_replays(&batch, &dataset.shape).await?;
            (dataset.counts.replayed, dataset.doubtful) = (marked.replays, marked.doubtful);
            first = first.into_iter().chain(marked.replaced).min();
        }
        if let Some(first) = first {
            supersede(&batch, dataset, first).await?;
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
    fill_unknown(&batch, &mut judged).await?;
    for dataset in &mut judged {
        set_aside(&batch, dataset).await?;
    }
    let resnapshots = {
        let taken: Vec<Shape<'_>> = judged
            .iter()
            // What a replay tries again says nothing of where a snapshot begins or ends.
            .filter(|own| !replay && own.survey.taken > 0 && !own.shape.dataset.key.is_empty())
            .filter(|own| batch.state.slices[&own.shape.index].len() == 1)
            .map(|own| own.shape)
            .collect();
        resnapshot::settle(&batch, &taken, attempt.missing).await?
    };
    let ends_in_delete = |own: &&Judged<'_>| {
        !replay && own.survey.last_deletes > 0 && !own.shape.fillable().is_empty()
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
    }))
}

/// What [`events::survey`] found in a dataset's events.
struct Survey {
    back: u64,
    refused: u64,
    unknown: u64,
    truncates: u64,
    strange: u64,
    last_deletes: u64,
    /// Rows of snapshots that are not incremental.
    taken: u64,
}

/// A dataset's events on their way to the merge.
pub(super) struct Judged<'a> {
    pub(super) shape: Shape<'a>,
    survey: Survey,
    pub(super) counts: Counts,
    /// Rows that are merged and may be replays.
    doubtful: u64,
    /// Rows marked for quarantine.
    set_aside: u64,
    /// The offset of the last truncate that took effect.
    pub(super) truncated: Option<i64>,
}

impl<'a> Judged<'a> {
    fn new(shape: Shape<'a>, row: &Row) -> Self {
        let count = |column: &str| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        Self {
            shape,
            survey: Survey {
                back: count("back"),
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

/// Positions that cannot be compared must not be: a replay would pass for news, or news for a replay. Where a new snapshot
/// follows, returns the first offset of such a row.
async fn refuse_what_has_no_place(
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
async fn supersede(
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

fn within_limit(batch: &Batch<'_, Cut>, shape: &Shape<'_>, found: u64) -> Result<(), Error> {
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

/// Fills unchanged values, and marks what stays unknown: two round trips for all datasets, two more for every further
/// link of a chain of key changes.
async fn fill_unknown(batch: &Batch<'_, Cut>, judged: &mut [Judged<'_>]) -> Result<(), Error> {
    let session = batch.session;
    let mut open: Vec<&mut Judged<'_>> = judged
        .iter_mut()
        .filter(|dataset| dataset.survey.unknown > 0)
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    let prepare: Vec<String> = open
        .iter()
        .map(|dataset| fill::prepare(&dataset.shape))
        .collect();
    let mut before = prepare.join(";\n") + ";\n";
    let last_deletes: Vec<(Shape<'_>, &Slice)> = open
        .iter()
        .flat_map(|dataset| {
            let slices = &batch.state.slices[&dataset.shape.index];
            slices.iter().map(|slice| (dataset.shape, slice))
        })
        .filter(|(_, slice)| slice.position.last_delete.is_some())
        .collect();
    if !last_deletes.is_empty() {
        session
            .script("look for unchanged values", &std::mem::take(&mut before))
            .await?;
    }
    for (shape, Slice { position, .. }) in last_deletes {
        let values: [Bound<'_>; 3] = [
            (&position.topic, Type::TEXT),
            (&position.partition, Type::INT4),
            (&position.last_delete, Type::TEXT),
        ];
        session
            .execute(
                "fill a changed key",
                &fill::from_last_batch(&shape),
                &values,
            )
            .await?;
    }
    let stream = &batch.stream.spec.stream;
    let fill: Vec<Vec<String>> = open
        .iter()
        .map(|Judged { shape, .. }| {
            let mut statements = fill::within_keys(shape, stream);
            statements.push(fill::across_keys(shape));
            statements
        })
        .collect();
    let statements: usize = fill.iter().map(Vec::len).sum();
    let script = fill.concat().join(";\n");
    loop {
        let whole = format!("{}{script}", std::mem::take(&mut before));
        let counts = session
            .script_counts("fill unchanged values", &whole)
            .await?;
        // The last count of each dataset says whether a key change was followed.
        let mut counts = &counts[counts.len().saturating_sub(statements)..];
        let mut moved = 0;
        for own in &fill {
            let (these, later) = counts.split_at(own.len().min(counts.len()));
            moved += these.last().copied().unwrap_or(0);
            counts = later;
        }
        if moved == 0 {
            break;
        }
    }
    let mark: Vec<String> = open
        .iter()
        .map(|dataset| quarantine::mark_unfilled(&dataset.shape, stream))
        .collect();
    let counts = session
        .script_counts("mark what cannot be filled", &mark.join(";\n"))
        .await?;
    for (dataset, count) in open.iter_mut().zip(counts) {
        dataset.set_aside += count;
    }
    Ok(())
}

/// Keeps the rows that do not fit, and closes entries that later rows made superfluous.
async fn set_aside(batch: &Batch<'_, Cut>, dataset: &mut Judged<'_>) -> Result<(), Error> {
    let session = batch.session;
    let shape = dataset.shape;
    let stream = &batch.stream.spec.stream;
    let mut values: Vec<Bound<'_>> = vec![
        (&stream.platform, Type::TEXT),
        (&stream.store, Type::TEXT),
        (&shape.dataset.name, Type::TEXT),
    ];
    if dataset.set_aside > 0 || batch.state.open.open_quarantine {
        let complete = if dataset.survey.unknown > 0 {
            "not e.x_need"
        } else {
            "true"
        };
        let supersede = quarantine::supersede(&shape, complete);
        if dataset.set_aside > 0 {
            within_limit(batch, &shape, dataset.set_aside)?;
            recount_doubtful(batch, dataset).await?;
            dataset.counts.quarantined = if batch.state.open.replay {
                let sql = quarantine::reopen(&shape);
                session
                    .execute("keep what still does not fit", &sql, &values)
                    .await?
            } else {
                values.push((&batch.state.open.number, Type::INT8));
                let sql = quarantine::keep(&shape);
                let kept = session
                    .execute("keep what does not fit", &sql, &values)
                    .await?;
                values.pop();
                kept
            };
        }
        session
            .execute("close superseded entries", &supersede, &values)
            .await?;
        if let Some(offset) = &dataset.truncated {
            session
                .execute(
                    "close entries before a truncate",
                    &staged::supersede(&shape, stream),
                    &[(offset, Type::INT8)],
                )
                .await?;
        }
    }
    Ok(())
}

/// What [`mark_replays`] found.
struct Replays {
    replays: u64,
    /// Rows that may be replays.
    doubtful: u64,
    /// The first offset of rows of a replaced source, which a new snapshot follows.
    replaced: Option<i64>,
}

async fn mark_replays(batch: &Batch<'_, Cut>, shape: &Shape<'_>) -> Result<Replays, Error> {
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
    let is_superseded = batch.state.anew.contains_key(&shape.index);
    if count(1) > 0 && !is_superseded {
        return Err(Error::Unordered {
            what: format!(
                "{} rows of dataset `{}` stand before what was merged and were committed after it: the source was replaced",
                count(1),
                shape.dataset.name
            ),
            remedy: "take a new snapshot of the replaced source, or restore the old one; see docs/operations.md"
                .to_owned(),
        });
    }
    Ok(Replays {
        replays: count(0),
        doubtful: count(2),
        replaced: found.first().and_then(|row| row.get(3)),
    })
}
