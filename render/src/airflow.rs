//! DAG files: one per store, plain Python that an operator can read in Airflow's code view.

use milepost_job_spec::Outcome;
use milepost_platform::naming;
use milepost_platform::plan::{AirflowVersion, DagFile};
use serde::Serialize;

use crate::engine::{Template, TemplateError};

const STORE: Template = Template {
    path: "airflow/store.py.tera",
    text: include_str!("../../templates/airflow/store.py.tera"),
};

/// What `airflow/store.py.tera` sees.
#[derive(Serialize)]
struct StoreContext<'a> {
    title: String,
    airflow_three: bool,
    platform: &'a str,
    platform_label: String,
    store: &'a str,
    owner: &'a str,
    namespace: &'a str,
    image: &'a str,
    settings: Vec<SettingContext>,
    variables: Vec<VariableContext<'a>>,
    dags: Vec<DagContext<'a>>,
    task: &'static str,
    cpu_request: &'a str,
    cpu_limit: &'a str,
    memory_request: &'a str,
    memory_limit: &'a str,
    held: u8,
    retries: u32,
    retry_seconds: u32,
    max_retry_seconds: u32,
    run_seconds: u32,
    deadline_seconds: u32,
    startup_seconds: u32,
    stop_seconds: u32,
}

#[derive(Serialize)]
struct SettingContext {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
struct VariableContext<'a> {
    name: &'a str,
    secret: &'a str,
    key: &'a str,
}

#[derive(Serialize)]
struct DagContext<'a> {
    id: &'a str,
    description: &'a str,
    schedule: &'a str,
    pod: &'a str,
    label: &'a str,
    arguments: &'a [String],
}

/// The DAG file of a store.
pub(crate) fn store_file(file: &DagFile, version: AirflowVersion) -> Result<String, TemplateError> {
    let pod = &file.pod;
    STORE.render(&StoreContext {
        title: format!(
            "Merges of datastore `{}` on platform `{}`.",
            file.store, file.platform
        ),
        airflow_three: match version {
            AirflowVersion::Two => false,
            AirflowVersion::Three => true,
        },
        platform: &file.platform,
        platform_label: naming::kubernetes::label_value(&file.platform),
        store: &file.store,
        owner: &file.owner,
        namespace: &pod.namespace,
        image: &pod.image,
        settings: pod
            .database
            .environment()
            .into_iter()
            .map(|(name, value)| SettingContext { name, value })
            .collect(),
        variables: pod
            .variables
            .iter()
            .map(|variable| VariableContext {
                name: &variable.name,
                secret: &variable.from.secret,
                key: &variable.from.key,
            })
            .collect(),
        dags: file
            .dags
            .iter()
            .map(|dag| DagContext {
                id: &dag.id,
                description: &dag.description,
                schedule: &dag.schedule,
                pod: &dag.pod,
                label: &dag.label,
                arguments: &dag.arguments,
            })
            .collect(),
        task: naming::airflow::MERGE_TASK,
        cpu_request: &pod.cpu.request,
        cpu_limit: &pod.cpu.limit,
        memory_request: &pod.memory.request,
        memory_limit: &pod.memory.limit,
        held: Outcome::Held.code(),
        retries: pod.retry.count,
        retry_seconds: pod.retry.delay_seconds,
        max_retry_seconds: pod.retry.max_delay_seconds,
        run_seconds: pod.run_seconds,
        deadline_seconds: pod.deadline_seconds,
        startup_seconds: pod.startup_seconds,
        stop_seconds: pod.stop_seconds,
    })
}
