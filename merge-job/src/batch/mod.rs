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
mod apply;
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
use crate::session::Session;
use crate::staging::cut::Slice;
use crate::staging::events::Shape;
use crate::staging::taken::Split;
use crate::staging::transaction::{Consumed, Part};
use crate::staging::truncate::Truncate;
use milepost_job_spec::OnTruncate;

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
    /// The server counts what a transaction writes (`track_counts`).
    counts_writes: bool,
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
    let batch = apply::apply(batch).await?;
    record::record(batch).await
}
