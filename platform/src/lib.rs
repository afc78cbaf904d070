//! What a platform implementation decides: a model and its intention graph go in, a [`Plan`] or diagnostics
//! come out. No client, no clock, no file.
//!
//! An implementation is a module with four functions (lint, plan, credential store, naming), chosen by what the model says
//! under `implementation`: [`kubernetes_postgres`] runs merges, `external` accepts anything and renders nothing.
//!
//! Reading order: [`lint`], [`plan()`], the types of [`mod@plan`], [`naming`], [`type_mapping`], [`credential`].

pub mod credential;
mod external;
pub mod kubernetes_postgres;
pub mod naming;
pub mod plan;
pub mod type_mapping;

use milepost_dsl::model::{Implementation, PlatformId};
use milepost_dsl::{Diagnostic, IntentionGraph, Model, Severity};
use milepost_job_spec::ModelVersion;

use credential::CredentialStore;
use kubernetes_postgres::Served;
use plan::Plan;

/// What planning made: a plan, and what is to be said about the graph.
#[derive(Debug)]
pub struct Planned {
    /// The plan; none while there are errors, and none for a platform that others run.
    pub plan: Option<Plan>,
    /// What [`lint`] finds.
    pub diagnostics: Vec<Diagnostic>,
}

/// Everything that a graph's platform cannot do with what it is asked for, in the words and places of the model.
#[must_use]
pub fn lint(model: &Model, graph: &IntentionGraph) -> Vec<Diagnostic> {
    match &model.platforms[graph.platform].implementation {
        Implementation::KubernetesPostgres(spec) => {
            kubernetes_postgres::lint(&Served::new(model, graph, spec))
        }
        Implementation::External => external::lint(),
    }
}

/// What a graph's platform will run. The version is that of the model, which the plan carries to every batch.
#[must_use]
pub fn plan(model: &Model, graph: &IntentionGraph, version: &ModelVersion) -> Planned {
    let diagnostics = lint(model, graph);
    let failed = diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error);
    let plan = match &model.platforms[graph.platform].implementation {
        _ if failed => None,
        Implementation::KubernetesPostgres(spec) => Some(kubernetes_postgres::plan(
            &Served::new(model, graph, spec),
            version,
        )),
        Implementation::External => external::plan(),
    };
    Planned { plan, diagnostics }
}

/// Where a platform's credentials are; none if it is run by others.
#[must_use]
pub fn credential_store(model: &Model, platform: PlatformId) -> Option<CredentialStore> {
    match model.platforms[platform].implementation {
        Implementation::KubernetesPostgres(_) => kubernetes_postgres::credential_store(),
        Implementation::External => external::credential_store(),
    }
}

/// The number of the scheme by which a platform's tables are named; none if others name them.
#[must_use]
pub fn naming_scheme(model: &Model, platform: PlatformId) -> Option<u32> {
    match model.platforms[platform].implementation {
        Implementation::KubernetesPostgres(_) => kubernetes_postgres::naming_scheme(),
        Implementation::External => external::naming_scheme(),
    }
}
