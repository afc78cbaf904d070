//! When merges run: a DAG per stream, in a file per store.

use milepost_dsl::graph::Ingest;
use milepost_dsl::model::Datastore;

use super::{
    DEADLINE_MARGIN_SECONDS, DEFAULT_RUN_SECONDS, DEFAULT_STARTUP_SECONDS, DEFAULT_STOP_SECONDS,
    Served, streams,
};
use crate::naming;
use crate::plan::{DagFile, DagPlan, PodPlan};

/// The DAG file of every store that comes in.
pub(super) fn files(served: &Served<'_>) -> Vec<DagFile> {
    let platform = served.platform.name.as_str();
    served
        .stores()
        .into_iter()
        .map(|(store, ingests)| DagFile {
            module: naming::airflow::module(platform, store.name.as_str()),
            platform: platform.to_owned(),
            store: store.name.to_string(),
            owner: served.model.teams[store.team].name.to_string(),
            pod: pod(served, store),
            dags: ingests
                .iter()
                .map(|ingest| dag(served, store, ingest))
                .collect(),
        })
        .collect()
}

fn pod(served: &Served<'_>, store: &Datastore) -> PodPlan {
    let config = &served.config;
    PodPlan {
        namespace: config.namespace.clone(),
        image: config.image.clone(),
        database: streams::database_address(served),
        variables: streams::database_variables(served, store),
        cpu: config.cpu.clone(),
        memory: config.memory.clone(),
        retry: config.retry,
        startup_seconds: DEFAULT_STARTUP_SECONDS,
        run_seconds: DEFAULT_RUN_SECONDS,
        deadline_seconds: DEFAULT_RUN_SECONDS + DEADLINE_MARGIN_SECONDS,
        stop_seconds: DEFAULT_STOP_SECONDS,
    }
}

fn dag(served: &Served<'_>, store: &Datastore, ingest: &Ingest) -> DagPlan {
    let key = streams::key(served, ingest);
    let dataset = key.dataset.as_deref();
    let schedule = served
        .settings(ingest)
        .and_then(|settings| settings.schedule.as_ref())
        .unwrap_or(&store.ingestion.schedule);
    let mut arguments = vec!["merge".to_owned()];
    for (option, value) in [
        ("--platform", Some(key.platform.as_str())),
        ("--store", Some(key.store.as_str())),
        ("--dataset", dataset),
    ] {
        if let Some(value) = value {
            // One word, so that a name of the source that begins with a dash is no option.
            arguments.push(format!("{option}={value}"));
        }
    }
    DagPlan {
        id: naming::airflow::dag_id(&key.platform, &key.store, dataset),
        description: dataset.map_or_else(
            || format!("Merges datastore {} as one transaction", key.store),
            |dataset| format!("Merges dataset {dataset} of datastore {}", key.store),
        ),
        schedule: schedule.as_str().to_owned(),
        pod: naming::kubernetes::pod(&key.platform, &key.store, dataset),
        label: naming::kubernetes::stream_label(&key.store, dataset),
        arguments,
    }
}
