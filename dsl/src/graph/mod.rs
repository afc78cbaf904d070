//! The intention graph of a platform: what must flow where, derived from what its consumers asked for.

mod build;
mod text;

pub use text::GraphFormat;

use crate::model::{DatasetId, DatastoreId, GroupId, PlatformId};
use crate::scalar::Duration;
use crate::spec::Versions;

/// What must flow where on one platform. Ingests come before exports, both in the order of the model's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentionGraph {
    /// The platform.
    pub platform: PlatformId,
    /// What comes in: one node per batch stream.
    pub ingests: Vec<Ingest>,
    /// What goes out: one node per assigned group.
    pub exports: Vec<Export>,
}

/// A batch stream that comes in: a dataset, or the datasets of a multi-dataset store that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingest {
    /// The store.
    pub store: DatastoreId,
    /// Are its datasets merged as one transaction? Then there is one ingest for the store, otherwise one per dataset.
    pub together: bool,
    /// The datasets, in the order of the store; never empty.
    pub datasets: Vec<IngestedDataset>,
}

/// A dataset that comes in, and what its consumers need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestedDataset {
    /// Which dataset.
    pub dataset: DatasetId,
    /// The strictest of the histories that consumers need.
    pub history: History,
    /// The tightest of the latencies that consumers need.
    pub latency: Duration,
    /// The groups that read it, in order; never empty.
    pub consumers: Vec<GroupId>,
}

/// How much history a dataset needs on a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// The latest version of each row.
    LiveOnly,
    /// Every version of each row.
    Milestoned {
        /// The longest that any consumer needs.
        minimum: Duration,
        /// The most versions that any consumer needs.
        versions: Versions,
    },
    /// Every event as a row of its own.
    Append,
}

/// A group that reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Which group.
    pub group: GroupId,
    /// The ingests that it needs, as places in [`IntentionGraph::ingests`], in order.
    pub needs: Vec<usize>,
}
