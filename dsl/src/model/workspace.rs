use super::arena::id;
use super::{DatasetId, TeamId};
use crate::scalar::{Duration, GroupName, WorkspaceName};
use crate::spec::Versions;
use crate::{Span, Spanned};

id!(
    /// Which workspace.
    WorkspaceId
);
id!(
    /// Which dataset group.
    GroupId
);

/// What a consumer reads.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// Its name.
    pub name: Spanned<WorkspaceName>,
    /// The team that owns it.
    pub team: TeamId,
    /// Its groups, as written.
    pub groups: Vec<GroupId>,
}

/// Datasets that are read with the same needs.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: Spanned<GroupName>,
    /// The workspace that holds it.
    pub workspace: WorkspaceId,
    /// How much history it needs.
    pub retention: Retention,
    /// How old live rows may be.
    pub latency: Spanned<Duration>,
    /// The datasets that it reads, as written.
    pub sinks: Vec<Sink>,
}

/// How much history a group needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// The latest version of each row.
    LiveOnly,
    /// Every version of each row.
    Milestoned {
        /// How long a closed version is kept at least.
        minimum: Spanned<Duration>,
        /// Which versions are kept.
        versions: Versions,
    },
    /// Every event as a row of its own.
    Append,
}

/// A dataset that a group reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sink {
    /// Which dataset.
    pub dataset: DatasetId,
    /// Where it was asked for.
    pub span: Span,
}
