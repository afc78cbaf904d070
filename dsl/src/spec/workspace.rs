use crate::Spanned;
use crate::scalar::{DatasetRef, Duration, GroupName, TeamRef, WorkspaceName};
use crate::yaml::{choice, record};

record! {
    /// `kind: Workspace`: what a consumer reads.
    pub struct WorkspaceSpec {
        /// The workspace's name, unique in the ecosystem.
        pub name: Spanned<WorkspaceName>,
        /// The team that owns it.
        pub team: Spanned<TeamRef>,
        /// Groups of datasets with the same needs.
        pub groups: Vec<GroupSpec>,
    }
}

record! {
    /// A dataset group: datasets that are read with the same needs.
    pub struct GroupSpec in "/" {
        /// The group's name, unique in its workspace.
        pub name: Spanned<GroupName>,
        /// How much history is kept.
        pub retention: RetentionSpec,
        /// How old live rows may be.
        pub latency: Spanned<Duration>,
        /// The datasets that are read: `shop#customers`.
        pub sinks: Vec<Spanned<DatasetRef>>,
    }
}

choice! {
    /// How much history is kept.
    pub enum RetentionSpec {
        /// The latest version of each row.
        LiveOnly(LiveOnlySpec) as "live-only",
        /// Every version of each row.
        Milestoned(MilestonedSpec) as "milestoned",
        /// Every event as a row of its own: for datasets without a key.
        Append(AppendSpec) as "append",
    }
}

record! {
    /// Live rows have no settings: `{live-only: {}}`.
    pub struct LiveOnlySpec {
    }
}

record! {
    /// Appended rows have no settings: `{append: {}}`.
    pub struct AppendSpec {
    }
}

record! {
    /// History and how long it is kept.
    pub struct MilestonedSpec {
        /// How long a closed version is kept at least.
        pub minimum: Spanned<Duration>,
        /// Which versions are kept; default `all`.
        pub versions: Option<Spanned<Versions>>,
    }
}

/// Which versions of a row are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Versions {
    /// One version for each row and batch at most.
    LastPerBatch,
    /// Every version, also those that lived only inside a batch. Greater than the other: it serves both.
    All,
}

crate::scalar::words!(Versions, "a choice of versions" {
    LastPerBatch => "last-per-batch",
    All => "all",
});
