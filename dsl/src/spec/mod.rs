//! What a person may write: one file per kind, as it was written and before any default.
//!
//! Optional keys are `Option`; every text knows its place ([`Spanned`]) and none of the places takes part in equality.

mod assignment;
mod datastore;
mod ecosystem;
mod platform;
mod team;
mod workspace;
mod zone;

pub use assignment::AssignmentSpec;
pub use datastore::{
    CdcSpec, ColumnSpec, Consistency, CredentialSpec, DatabaseSpec, DatasetSpec, DatastoreSpec,
    IngestionSpec, OnResnapshot, OnTruncate, OracleDatabaseSpec, SourceKind, SourceSpec,
    SqlSnapshotSpec, TopicsSpec,
};
pub use ecosystem::{EcosystemSpec, LocationSpec, VendorSpec};
pub use platform::{
    AirflowSpec, AirflowVersion, ConnectorResources, ExternalSpec, GitSpec, ImplementationSpec,
    KafkaConnectSpec, KafkaSpec, KubernetesPostgresSpec, OverridesSpec, PlatformPostgresSpec,
    PlatformSpec, SlackSpec, StreamOverrideSpec,
};
pub use team::TeamSpec;
pub use workspace::{
    AppendSpec, GroupSpec, LiveOnlySpec, MilestonedSpec, RetentionSpec, Versions, WorkspaceSpec,
};
pub use zone::GovernanceZoneSpec;

use crate::{Span, Spanned};

/// A document of the model: its kind is its first key.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// `kind: Ecosystem`.
    Ecosystem(EcosystemSpec),
    /// `kind: GovernanceZone`.
    GovernanceZone(GovernanceZoneSpec),
    /// `kind: Team`.
    Team(TeamSpec),
    /// `kind: Datastore`.
    Datastore(DatastoreSpec),
    /// `kind: Workspace`.
    Workspace(WorkspaceSpec),
    /// `kind: Assignment`.
    Assignment(AssignmentSpec),
    /// `kind: Platform`.
    Platform(PlatformSpec),
}

/// What a document describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The whole: vendors, zones, platforms.
    Ecosystem,
    /// A zone and the teams that it declares.
    GovernanceZone,
    /// A team.
    Team,
    /// Datasets and how they are ingested.
    Datastore,
    /// Groups of datasets that a consumer reads.
    Workspace,
    /// A group that a platform serves.
    Assignment,
    /// Where and by what groups are served.
    Platform,
}

crate::scalar::words!(Kind, "a kind" {
    Ecosystem => "Ecosystem",
    GovernanceZone => "GovernanceZone",
    Team => "Team",
    Datastore => "Datastore",
    Workspace => "Workspace",
    Assignment => "Assignment",
    Platform => "Platform",
});

impl Document {
    /// The document's kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Ecosystem(_) => Kind::Ecosystem,
            Self::GovernanceZone(_) => Kind::GovernanceZone,
            Self::Team(_) => Kind::Team,
            Self::Datastore(_) => Kind::Datastore,
            Self::Workspace(_) => Kind::Workspace,
            Self::Assignment(_) => Kind::Assignment,
            Self::Platform(_) => Kind::Platform,
        }
    }

    /// Where the name stands; the workspace of an assignment.
    #[must_use]
    pub const fn name_span(&self) -> Span {
        match self {
            Self::Ecosystem(spec) => spec.name.span,
            Self::GovernanceZone(spec) => spec.name.span,
            Self::Team(spec) => spec.name.span,
            Self::Datastore(spec) => spec.name.span,
            Self::Workspace(spec) => spec.name.span,
            Self::Assignment(spec) => spec.workspace.span,
            Self::Platform(spec) => spec.name.span,
        }
    }

    /// The name by which the document is told from others of its kind.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Ecosystem(spec) => spec.name.to_string(),
            Self::GovernanceZone(spec) => spec.name.to_string(),
            Self::Team(spec) => spec.name.to_string(),
            Self::Datastore(spec) => spec.name.to_string(),
            Self::Workspace(spec) => spec.name.to_string(),
            Self::Assignment(spec) => spec.name(),
            Self::Platform(spec) => spec.name.to_string(),
        }
    }
}

/// Every document of a model, sorted by place, and what is known of those that could not be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelSpec {
    /// The documents that could be read.
    pub documents: Vec<Spanned<Document>>,
    /// Documents of which little more than the name could be read: references to them are no second mistake.
    pub broken: Vec<BrokenDocument>,
    /// Is there a document of which not even kind and name could be read?
    pub incomplete: bool,
}

/// What is known of a document that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenDocument {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What it says of its owner: the team of a datastore or workspace, the repository of an ecosystem.
    pub owner: Option<String>,
}
