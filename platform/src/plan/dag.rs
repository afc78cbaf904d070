//! DAGs of Airflow: when which merge runs, and in which pod.

use milepost_job_spec::DatabaseAddress;

use crate::credential::SecretVariable;

/// Which Airflow the DAGs are written for: their imports differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AirflowVersion {
    /// Airflow 2, from 2.11.
    Two,
    /// Airflow 3.
    #[default]
    Three,
}

/// All DAGs of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AirflowPlan {
    /// What they are written for; a render for another one sets it.
    pub version: AirflowVersion,
    /// One file per store, in store order.
    pub files: Vec<DagFile>,
}

/// The DAGs of a store's streams: one Python file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DagFile {
    /// The file's name without its ending.
    pub module: String,
    /// The platform.
    pub platform: String,
    /// The store.
    pub store: String,
    /// The team that owns the store.
    pub owner: String,
    /// What every merge pod of the store is made of.
    pub pod: PodPlan,
    /// One DAG per stream, in stream order.
    pub dags: Vec<DagPlan>,
}

/// The DAG of a stream: a schedule and one merge task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DagPlan {
    /// The DAG's id.
    pub id: String,
    /// What it does, in a line for the list of DAGs.
    pub description: String,
    /// Five fields of cron, in UTC.
    pub schedule: String,
    /// The name of its pods, to which Airflow appends a random part.
    pub pod: String,
    /// The value of the pods' label that names the stream.
    pub label: String,
    /// What `merge-job` is told.
    pub arguments: Vec<String>,
}

/// A merge pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPlan {
    /// The namespace.
    pub namespace: String,
    /// The image.
    pub image: String,
    /// Where the platform's Postgres is.
    pub database: DatabaseAddress,
    /// User and password of the platform's Postgres, and of a source that the merge reads itself.
    pub variables: Vec<SecretVariable>,
    /// What the pod asks for and may use at most of the processor.
    pub cpu: Bounds,
    /// What the pod asks for and may use at most of memory.
    pub memory: Bounds,
    /// How often a failed merge is tried again, and after how long.
    pub retry: RetryPlan,
    /// Seconds after which a pod that has not started has failed.
    pub startup_seconds: u32,
    /// Seconds after which a merge is stopped.
    pub run_seconds: u32,
    /// Seconds after which the pod ends by itself, later than the merge is stopped.
    pub deadline_seconds: u32,
    /// Seconds between the signal to stop and the end: a merge rolls back in them.
    pub stop_seconds: u32,
}

/// A request and a limit in the notation of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// What is set aside.
    pub request: String,
    /// What may be used at most.
    pub limit: String,
}

/// Retries of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPlan {
    /// How many after the first try.
    pub count: u32,
    /// Seconds before the first of them; doubled for each further one.
    pub delay_seconds: u32,
    /// The longest wait.
    pub max_delay_seconds: u32,
}
