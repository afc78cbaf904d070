//! A batch: one transaction that merges a cut of the staged rows and records it, or does nothing at all.
//!
//! ```text
//! open ─→ cut ─→ read ─→ survey ─(replays, quarantine, fill)→ reduce ─→ count ─→ close, apply ─→ record ─→ commit
//! ```
//!
//! Assumptions: one writer per merge table, held by the lock on the stream's control row; staged rows at or below the cut
//! do not change. A batch may be killed before any step: nothing of it stays, and the next run starts from the control
//! rows. Each step is one round trip, or one per dataset.

mod anew;
pub mod bare;
mod by_offset;
mod by_transaction;
mod counts;
mod cut;
pub(crate) mod erase;
pub(crate) mod generation;
pub(crate) mod image;
mod merged_before;
pub(crate) mod open;
mod prepare;
pub mod rebuild;
mod record;
pub(crate) mod replay;
mod resnapshot;
pub mod resync;
mod taken;
mod truncate;
mod unknown;

pub use counts::Counts;
pub(crate) use open::SETTINGS;
pub(crate) use record::{after_lost_commit, failed};
pub use resnapshot::Missing;
pub(crate) use resnapshot::Resnapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::control::position::Recognised;
use crate::control::stream::Stream;
use crate::error::Error;
use crate::merge;
use crate::merge::{append, live, milestoned};
use crate::session::{Bound, Session};
use crate::staging::cut::Slice;
use crate::staging::events::Shape;
use crate::staging::taken::Split;
use crate::staging::transaction::{Consumed, Part};
use crate::staging::truncate::Truncate;
use milepost_job_spec::{OnTruncate, Strategy};
use tokio_postgres::types::Type;

/// The steps of a batch, in order. `MILEPOST_FAULT=<step>` makes a debug build abort before that step: the tests kill
/// the job at each.
pub const STEPS: [&str; 14] = [
    "open",
    "cut",
    "read",
    "survey",
    "replays",
    "quarantine",
    "fill",
    "reduce",
    "count",
    "close",
    "apply",
    "record",
    "commit",
    "done",
];

/// Aborts the process before `step` where a test asks for it.
pub(crate) fn fault(step: &'static str) {
    debug_assert!(STEPS.contains(&step), "`{step}` is a step");
    abort_at(step);
}

/// Aborts the process where a test asks for it.
pub(crate) fn abort_at(step: &'static str) {
    if cfg!(debug_assertions) && std::env::var("MILEPOST_FAULT").is_ok_and(|at| at == step) {
        std::process::abort();
    }
}

/// How a batch ended, when nothing went wrong.
#[derive(Debug)]
pub enum Ended {
    /// Nothing was staged.
    Empty,
    /// The first transaction is not whole in staging yet.
    Waiting {
        /// Which one.
        transaction: String,
        /// Since when, in seconds.
        seconds: i64,
    },
    /// Transactions of other tables were passed over; there is more to look at.
    PassedOver,
    /// Rows were merged.
    Committed {
        /// The batch's number.
        number: i64,
        /// Counts over all datasets.
        counts: Counts,
        /// How far each partition that had news was merged.
        progress: Vec<Progress>,
    },
}

/// How far a batch came in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which partition.
    pub part: Part,
    /// The highest merged offset.
    pub merged: i64,
    /// The highest visible offset when the batch was cut.
    pub visible: i64,
}

/// What a batch works on: one transaction, from its beginning to its commit.
#[derive(Clone)]
pub(crate) struct Batch<'a, S> {
    session: &'a Session,
    stream: &'a Stream,
    started: Instant,
    /// Datasets some events of which have a rank.
    ranked: BTreeSet<usize>,
    state: S,
}

/// The stream is locked, its progress read.
#[derive(Clone)]
pub(crate) struct Open {
    number: i64,
    previous_time_us: Option<i64>,
    positions: Vec<crate::control::position::Position>,
    /// END events above the transaction topic's watermark; none where no END was ever staged.
    ends: Option<Vec<crate::staging::end::End>>,
    end_topic: Option<crate::control::position::Position>,
    open_quarantine: bool,
    /// The rows are none that a topic brought: entries of the quarantine, which were judged against the fence once, or rows of a
    /// repair, which have no position. They move nothing.
    replay: bool,
    started_us: i64,
}

/// It is decided what the batch takes.
#[derive(Clone)]
pub(crate) struct Cut {
    open: Open,
    /// Slices by place of the dataset.
    slices: BTreeMap<usize, Vec<Slice>>,
    /// END events that are done with.
    ends: Option<Consumed>,
    exact: bool,
    progress: Vec<Progress>,
    /// The first offset of a new snapshot that ends the slice, by place of the dataset: it supersedes what cannot be ordered.
    anew: BTreeMap<usize, i64>,
}

impl Cut {
    /// Of rows that stand in temporary tables, and consume no offset of a topic.
    fn of_no_offsets(mut open: Open, slices: BTreeMap<usize, Vec<Slice>>) -> Self {
        open.replay = true;
        Self {
            open,
            slices,
            ends: None,
            exact: false,
            progress: Vec::new(),
            anew: BTreeMap::new(),
        }
    }
}

/// The events are read, judged and filled.
pub(crate) struct Prepared {
    cut: Cut,
    /// Counts so far by place of the dataset: staged, replayed, quarantined.
    counts: BTreeMap<usize, Counts>,
    /// Rows that may be replays, by place of the dataset.
    doubtful: BTreeMap<usize, u64>,
    /// Datasets with a slice whose last row is a delete: perhaps the old half of a key change.
    last_deletes: BTreeSet<usize>,
    /// What becomes of snapshots, of datasets that have rows of them in the batch.
    resnapshots: BTreeMap<usize, Resnapshot>,
    /// What the partitions that the batch merges from are recognised by afterwards.
    recognised: BTreeMap<Part, Recognised>,
}

/// The merge tables hold the batch.
pub(crate) struct Applied {
    cut: Cut,
    counts: BTreeMap<usize, Counts>,
    last_images: BTreeMap<Part, String>,
    time_us: i64,
    resnapshots: BTreeMap<usize, Resnapshot>,
    /// What the partitions that the batch merges from are recognised by afterwards.
    recognised: BTreeMap<Part, Recognised>,
}

impl<'a, S> Batch<'a, S> {
    fn with<T>(self, state: impl FnOnce(S) -> T) -> Batch<'a, T> {
        Batch {
            session: self.session,
            stream: self.stream,
            started: self.started,
            ranked: self.ranked,
            state: state(self.state),
        }
    }

    fn shape(&self, index: usize) -> Shape<'a> {
        Shape {
            dataset: &self.stream.spec.datasets[index],
            index,
            is_ranked: self.ranked.contains(&index),
        }
    }
}

impl Batch<'_, Cut> {
    /// Are the rows whole images of their tables? Those of a replay are not, whatever they were of.
    fn is_of_images(&self) -> bool {
        !self.state.open.replay && !self.stream.spec.input.is_events()
    }
}

/// How the staged rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Expecting that every value casts.
    Trusting,
    /// After a value did not: the bad rows are searched for and quarantined.
    Careful,
}

/// How far a batch goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// As far as the limits of the stream say.
    Usual,
    /// Up to a truncate of this dataset, which nothing lets pass.
    Before(String, Truncate),
    /// Into this transaction as far as it is staged.
    Staged(Split),
    /// Not into this transaction, or to its end.
    Whole(Split),
    /// After rows that cannot be ordered: to the end of a new snapshot, where one is whole in every partition.
    Snapshot,
}

impl Reach {
    /// Can a batch be tried again that ends before this truncate, and is it a shorter one?
    #[must_use]
    pub fn goes_beyond(&self, truncate: &Truncate) -> bool {
        match self {
            Self::Usual | Self::Staged(_) | Self::Whole(_) => true,
            Self::Before(_, bound) => truncate.is_before(bound),
            Self::Snapshot => false,
        }
    }

    /// May it end inside a transaction that must not be merged in part?
    const fn may_split(&self) -> bool {
        match self {
            Self::Usual | Self::Staged(_) => true,
            Self::Before(..) | Self::Whole(_) | Self::Snapshot => false,
        }
    }
}

/// How a batch is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// How the staged rows are read.
    pub reading: Reading,
    /// How far it goes.
    pub reach: Reach,
    /// What lets the first truncate of each dataset pass that would stop the stream.
    pub truncate: Option<OnTruncate>,
    /// Whether a snapshot may close more rows than a dataset's policy lets be missing.
    pub missing: Missing,
}

/// Runs one batch to its end. The transaction is rolled back by the caller, or with the connection, on an error.
///
/// # Errors
/// Whatever stands between the staged rows and the commit; nothing is changed then.
pub async fn run(session: &Session, stream: &Stream, attempt: &Attempt) -> Result<Ended, Error> {
    fault("open");
    let batch = open::open(session, stream).await?;
    fault("cut");
    let batch = match cut::cut(batch, &attempt.reach).await? {
        cut::Decision::Take(batch) => batch,
        cut::Decision::Ended(ended) => return Ok(ended),
    };
    let batch = prepare::prepare(batch, attempt).await?;
    let batch = apply(batch).await?;
    record::record(batch).await
}

/// Writes the changes to the merge tables.
async fn apply(batch: Batch<'_, Prepared>) -> Result<Batch<'_, Applied>, Error> {
    let session = batch.session;
    let shapes: Vec<Shape<'_>> = batch
        .state
        .cut
        .slices
        .keys()
        .map(|&index| batch.shape(index))
        .collect();
    fault("reduce");
    for shape in &shapes {
        let sql = match shape.dataset.strategy {
            Strategy::LiveOnly => live::reduce(shape),
            Strategy::Milestoned { .. } => milestoned::reduce(shape),
            Strategy::Append => continue,
        };
        session
            .execute("reduce the events of a dataset to its changes", &sql, &[])
            .await?;
    }
    fault("count");
    let ends: Vec<Ends> = batch
        .state
        .last_deletes
        .iter()
        .map(|index| Ends::of(&batch.state.cut.slices[index]))
        .collect();
    let mut values: Vec<Bound<'_>> = Vec::new();
    for ends in &ends {
        values.push((&ends.topics, Type::TEXT_ARRAY));
        values.push((&ends.partitions, Type::INT4_ARRAY));
        values.push((&ends.highs, Type::INT8_ARRAY));
    }
    let sql = merge::count(
        &shapes,
        &batch.stream.spec.stream,
        &batch.state.last_deletes,
    );
    let rows = session.query("count the changes", &sql, &values).await?;
    let mut last_images = BTreeMap::new();
    let mut counts = batch.state.counts.clone();
    let doubtful = &batch.state.doubtful;
    let mut most = 1;
    let mut clock_us = 0;
    let mut planned = Vec::with_capacity(rows.len());
    for (row, shape) in rows.iter().zip(&shapes) {
        let count = |column: &str| -> u64 { u64::try_from(row.get::<_, i64>(column)).unwrap_or(0) };
        let own = counts.entry(shape.index).or_default();
        let healed = batch.state.resnapshots.get(&shape.index);
        own.healed = healed.map_or(0, |own| own.healed);
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
        planned.push((count("to_closed"), count("to_live")));
        if let Some(images) = row.get::<_, Option<serde_json::Value>>("last_images") {
            keep_images(shape.index, &images, &mut last_images);
        }
        if !own.is_complete() {
            return Err(Error::Disturbed(format!(
                "the counts of dataset `{}` do not add up to its staged rows: {own}",
                shape.dataset.name
            )));
        }
    }
    let time_us = match batch.state.cut.open.previous_time_us {
        Some(previous) => clock_us.max(previous + most),
        None => clock_us,
    };
    fault("close");
    for (shape, (to_closed, _)) in shapes.iter().zip(&planned) {
        if *to_closed > 0 {
            let written = session
                .execute(
                    "write closed versions",
                    &milestoned::close(shape),
                    &[(&time_us, Type::INT8)],
                )
                .await?;
            undisturbed(shape, written, *to_closed)?;
        }
    }
    fault("apply");
    for (shape, (_, to_live)) in shapes.iter().zip(&planned) {
        if *to_live > 0 {
            let time: [Bound<'_>; 1] = [(&time_us, Type::INT8)];
            let (what, sql, values) = match shape.dataset.strategy {
                Strategy::LiveOnly => ("merge the live rows", live::apply(shape), &[][..]),
                Strategy::Milestoned { .. } => {
                    ("merge the live rows", milestoned::apply(shape), &time[..])
                }
                Strategy::Append => ("append the events", append::apply(shape), &time[..]),
            };
            let written = session.execute(what, &sql, values).await?;
            undisturbed(shape, written, *to_live)?;
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
    Err(Error::Disturbed(format!(
        "table `{}` changed under the batch: {planned} rows were to be written, {written} were",
        shape.dataset.merge
    )))
}
