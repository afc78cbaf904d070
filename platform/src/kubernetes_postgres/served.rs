use std::collections::BTreeMap;

use milepost_dsl::graph::{Ingest, IngestedDataset};
use milepost_dsl::model::{Credential, Dataset, Datastore, Platform};
use milepost_dsl::scalar::StreamRef;
use milepost_dsl::spec::{CredentialSpec, KubernetesPostgresSpec, StreamOverrideSpec};
use milepost_dsl::{IntentionGraph, Model, Spanned};

use super::KubernetesPostgresConfig;

/// A platform and what is asked of it: the subject of the platform's rules and the input of its plan.
#[derive(Debug)]
pub struct Served<'a> {
    pub(super) model: &'a Model,
    pub(super) graph: &'a IntentionGraph,
    pub(super) platform: &'a Platform,
    pub(super) spec: &'a KubernetesPostgresSpec,
    pub(super) config: KubernetesPostgresConfig,
}

impl<'a> Served<'a> {
    pub(crate) fn new(
        model: &'a Model,
        graph: &'a IntentionGraph,
        spec: &'a KubernetesPostgresSpec,
    ) -> Self {
        Self {
            model,
            graph,
            platform: &model.platforms[graph.platform],
            spec,
            config: spec.into(),
        }
    }

    /// Every store that comes in with its streams, in the order of the graph, which is that of names.
    pub(super) fn stores(&self) -> Vec<(&'a Datastore, Vec<&'a Ingest>)> {
        let mut stores: BTreeMap<_, Vec<&Ingest>> = BTreeMap::new();
        for ingest in &self.graph.ingests {
            stores.entry(ingest.store).or_default().push(ingest);
        }
        stores
            .into_iter()
            .map(|(id, ingests)| (&self.model.datastores[id], ingests))
            .collect()
    }

    /// Every dataset that comes in with its store.
    pub(super) fn datasets(
        &self,
    ) -> impl Iterator<Item = (&'a Datastore, &'a Dataset, &'a IngestedDataset)> + use<'a> {
        let model = self.model;
        let ingests = self.graph.ingests.iter();
        ingests.flat_map(move |ingest| {
            let store = &model.datastores[ingest.store];
            let datasets = ingest.datasets.iter();
            datasets.map(move |ingested| (store, &model.datasets[ingested.dataset], ingested))
        })
    }

    /// The dataset of a stream of one dataset.
    pub(super) fn stream_dataset(&self, ingest: &Ingest) -> Option<&'a str> {
        let dataset = match ingest.datasets.as_slice() {
            _ if ingest.together => None,
            [only] => Some(only),
            _ => None,
        };
        dataset.map(|only| self.model.datasets[only.dataset].name.as_str())
    }

    /// Does this reference name this stream?
    pub(super) fn is_stream(&self, reference: &StreamRef, ingest: &Ingest) -> bool {
        reference.store == self.model.datastores[ingest.store].name.value
            && reference.dataset.as_ref().map(|dataset| dataset.as_str())
                == self.stream_dataset(ingest)
    }

    /// What differs for some streams.
    pub(super) fn overrides(
        &self,
    ) -> impl Iterator<Item = (&'a Spanned<StreamRef>, &'a StreamOverrideSpec)> + use<'a> {
        let overrides = self.spec.overrides.iter();
        overrides
            .filter_map(|overrides| overrides.streams.as_ref())
            .flatten()
    }

    /// What differs for this stream.
    pub(super) fn settings(&self, ingest: &Ingest) -> Option<&'a StreamOverrideSpec> {
        self.overrides()
            .find(|(reference, _)| self.is_stream(reference, ingest))
            .map(|(_, settings)| settings)
    }

    /// Every use of a credential, in the order of the model.
    pub(super) fn credentials(&self) -> Vec<CredentialUse> {
        let platform = self.platform.name.as_str();
        let spec = self.spec;
        let of_platform = |part: &str, credential: &CredentialSpec, by_connectors| CredentialUse {
            object: format!("{platform}.{part}"),
            credential: Credential {
                name: credential.name.clone(),
                credential_type: credential.r#type,
            },
            by_connectors,
        };
        let mut uses = vec![of_platform("postgres", &spec.postgres.credential, true)];
        let airflow = spec.airflow.as_ref();
        for (part, credential) in [
            ("kafka-connect", spec.kafka_connect.credential.as_ref()),
            (
                "airflow",
                airflow.and_then(|airflow| airflow.credential.as_ref()),
            ),
            ("git", spec.git.as_ref().map(|git| &git.credential)),
            ("slack", spec.slack.as_ref().map(|slack| &slack.credential)),
        ] {
            uses.extend(credential.map(|credential| of_platform(part, credential, false)));
        }
        uses.extend(self.stores().into_iter().filter_map(|(store, _)| {
            Some(CredentialUse {
                object: store.name.to_string(),
                credential: store.ingestion.credential()?.clone(),
                by_connectors: store.ingestion.cdc().is_some(),
            })
        }));
        uses
    }
}

/// A credential where the model uses it.
#[derive(Debug)]
pub(super) struct CredentialUse {
    /// The path of what uses it.
    pub(super) object: String,
    /// Its name and type.
    pub(super) credential: Credential,
    /// Do connectors read it, from the environment of Kafka Connect's workers?
    pub(super) by_connectors: bool,
}
