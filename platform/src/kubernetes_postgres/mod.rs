//! `implementation: {kubernetes-postgres: {…}}`: Debezium brings changes into staging tables of a Postgres, Airflow starts
//! merge pods on Kubernetes.

mod config;
mod connectors;
mod dags;
mod rules;
mod served;
mod sources;
mod streams;
mod topics;

pub use config::{
    DEADLINE_MARGIN_SECONDS, DEFAULT_CONNECT_PORT, DEFAULT_CPU,
    DEFAULT_INCOMPLETE_TRANSACTION_SECONDS, DEFAULT_MAX_QUARANTINED, DEFAULT_MAX_RETRY_SECONDS,
    DEFAULT_MAX_ROWS, DEFAULT_MEMORY, DEFAULT_POSTGRES_PORT, DEFAULT_RETRIES,
    DEFAULT_RETRY_SECONDS, DEFAULT_RUN_SECONDS, DEFAULT_STAGED_SECONDS, DEFAULT_STARTUP_SECONDS,
    DEFAULT_STOP_SECONDS, KubernetesPostgresConfig,
};
pub use connectors::release_of;
pub use rules::RULES;
pub use served::Served;

use milepost_dsl::Diagnostic;
use milepost_job_spec::ModelVersion;

use crate::credential::CredentialStore;
use crate::naming;
use crate::plan::{AirflowPlan, ConnectPlan, Plan};

/// Everything that the platform cannot do with what it is asked for.
pub(crate) fn lint(served: &Served<'_>) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for rule in RULES {
        rule.check(served, &mut findings);
    }
    findings
}

/// The plan of a graph in which lint finds no error.
pub(crate) fn plan(served: &Served<'_>, version: &ModelVersion) -> Plan {
    let streams = streams::specs(served);
    Plan {
        index: streams::index(served, &streams, version),
        airflow: AirflowPlan {
            version: served.config.airflow,
            files: dags::files(served),
        },
        connect: ConnectPlan {
            url: served.config.connect_url.clone(),
            login: connectors::login(served),
            resources: connectors::resources(served),
            files: connectors::files(served),
        },
        sources: sources::files(served),
        streams,
    }
}

/// Secrets of the platform's namespace.
pub(crate) const fn credential_store() -> Option<CredentialStore> {
    Some(CredentialStore::Kubernetes)
}

/// The scheme by which its tables are named.
pub(crate) const fn naming_scheme() -> Option<u32> {
    Some(naming::SCHEME)
}
