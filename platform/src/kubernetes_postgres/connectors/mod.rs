//! How changes travel: Debezium's source connectors and JDBC sinks, with the settings under which
//! `docs/decisions/0001-staging-contract.md` saw every type arrive. A setting changed here changes what staging means;
//! `docs/connectors.md` says what each is for.

mod control;
mod jdbc;
mod pattern;
mod plugin;
mod settings;
mod sink;
mod source;

pub(super) use pattern::regex_of;
pub use plugin::release_of;

use std::collections::BTreeMap;

use milepost_dsl::graph::Ingest;
use milepost_dsl::model::{Dataset, Datastore};
use milepost_dsl::spec;
use milepost_job_spec::TableRef;

use super::Served;
use super::topics::StoreTopics;
use crate::naming::{self, kafka, postgres as names, terraform};
use crate::plan::{ConnectLogin, ConnectorFile, ConnectorPlan, ConnectorResources};

/// The variables of the credential of Kafka Connect's REST interface.
pub(super) fn login(served: &Served<'_>) -> Option<ConnectLogin> {
    let credential = served.config.connect_credential.as_deref()?;
    let variable = |suffix| naming::kubernetes::variable(credential, suffix);
    Some(ConnectLogin {
        user_variable: variable("_USER"),
        password_variable: variable("_PASSWORD"),
    })
}

/// As what the connectors are rendered.
pub(super) fn resources(served: &Served<'_>) -> ConnectorResources {
    let connect = &served.spec.kafka_connect;
    match connect.resources.as_ref().map(|resources| resources.value) {
        None | Some(spec::ConnectorResources::Terraform) => ConnectorResources::Terraform,
        Some(spec::ConnectorResources::Strimzi) => ConnectorResources::Strimzi {
            namespace: served.config.namespace.clone(),
            cluster: connect.name.to_string(),
        },
    }
}

/// The connectors of every store that comes in through Kafka.
pub(super) fn files(served: &Served<'_>) -> Vec<ConnectorFile> {
    served
        .stores()
        .into_iter()
        .filter(|(store, _)| store.ingestion.sql_snapshot().is_none())
        .map(|(store, ingests)| file(served, store, &ingests))
        .collect()
}

fn file(served: &Served<'_>, store: &Datastore, ingests: &[&Ingest]) -> ConnectorFile {
    let platform = served.platform.name.as_str();
    let name = store.name.as_str();
    let mut datasets: Vec<&Dataset> = ingests
        .iter()
        .flat_map(|ingest| &ingest.datasets)
        .map(|ingested| &served.model.datasets[ingested.dataset])
        .collect();
    datasets.sort_by_key(|dataset| dataset.name.as_str());
    let topics = StoreTopics::of(platform, store);
    let source = store.ingestion.cdc().map(|cdc| ConnectorPlan {
        resource: terraform::source(name),
        name: kafka::source_connector(platform, name),
        config: source::settings_of(served, store, cdc, &datasets),
        arrivals: BTreeMap::new(),
        protected: true,
        after: None,
    });
    let after = source.as_ref().map(|source| source.resource.clone());
    let sink = ConnectorPlan {
        resource: terraform::sink(name),
        name: kafka::sink_connector(platform, name),
        config: sink::settings_of(served, store, &datasets),
        arrivals: arrivals(platform, store, &datasets),
        protected: false,
        after: after.clone(),
    };
    let control = ingests
        .iter()
        .any(|ingest| ingest.together)
        .then_some(topics.transactions)
        .flatten()
        .map(|topic| ConnectorPlan {
            resource: terraform::control(name),
            name: kafka::control_connector(platform, name),
            config: control::settings_of(served, name, &topic),
            arrivals: BTreeMap::from([(topic.into_owned(), names::control_table(platform, name))]),
            protected: false,
            after,
        });
    ConnectorFile {
        name: match resources(served) {
            ConnectorResources::Terraform => terraform::file(name),
            // A store's name is a label of Kubernetes.
            ConnectorResources::Strimzi { .. } => name.to_owned(),
        },
        store: name.to_owned(),
        connectors: [source, Some(sink), control]
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// The staging table of each topic.
fn arrivals(
    platform: &str,
    store: &Datastore,
    datasets: &[&Dataset],
) -> BTreeMap<String, TableRef> {
    let topics = StoreTopics::of(platform, store);
    let store = store.name.as_str();
    datasets
        .iter()
        .map(|dataset| {
            let table = names::staging_table(platform, store, dataset.name.as_str());
            (topics.of_dataset(dataset), table)
        })
        .collect()
}
