use super::GroupId;
use super::arena::id;
use crate::scalar::PlatformName;
use crate::spec::KubernetesPostgresSpec;
use crate::{Span, Spanned};

id!(
    /// Which platform.
    PlatformId
);

/// Where and by what groups are served.
#[derive(Debug, Clone)]
pub struct Platform {
    /// Its name.
    pub name: Spanned<PlatformName>,
    /// What serves.
    pub implementation: Implementation,
}

/// What serves the groups of a platform.
#[derive(Debug, Clone)]
pub enum Implementation {
    /// Merge jobs on Kubernetes, started by Airflow, into Postgres. The spec stays as it was written: the platform's
    /// own crate is the home of its defaults.
    KubernetesPostgres(Box<KubernetesPostgresSpec>),
    /// Pipelines that exist already.
    External,
}

/// A platform serves a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// The platform that serves.
    pub platform: PlatformId,
    /// The group that is served.
    pub group: GroupId,
    /// Where it was assigned.
    pub span: Span,
}
