use milepost_dsl::scalar::CredentialType;
use milepost_dsl::spec::{self, KubernetesPostgresSpec};

use crate::plan::{AirflowVersion, Bounds, RetryPlan};

/// The port of Postgres, where a platform or a source names none.
pub const DEFAULT_POSTGRES_PORT: u16 = 5432;
/// The port of Kafka Connect's REST interface, where its host names none.
pub const DEFAULT_CONNECT_PORT: u16 = 8083;
/// Rows of a batch: some seconds of work, so that a stopped batch loses little, and enough to make its fixed cost small.
pub const DEFAULT_MAX_ROWS: u64 = 100_000;
/// Quarantined rows of a dataset and batch: above a percent of a full batch the dataset is wrong, not its rows.
pub const DEFAULT_MAX_QUARANTINED: u64 = 1_000;
/// Seconds that a lagging sink may take to bring the rest of a transaction: longer than a restart of Kafka Connect.
pub const DEFAULT_INCOMPLETE_TRANSACTION_SECONDS: u64 = 900;
/// A week: long enough to rebuild a table from staging after a bad change of the model.
pub const DEFAULT_STAGED_SECONDS: u64 = 7 * 24 * 60 * 60;
/// Processor of a merge pod: the work is the database's, the pod waits.
pub const DEFAULT_CPU: (&str, &str) = ("50m", "500m");
/// Memory of a merge pod: the client stays below 64 MiB whatever the batch.
pub const DEFAULT_MEMORY: (&str, &str) = ("64Mi", "128Mi");
/// Retries of a merge task: what passes by itself has passed by then; the next scheduled run tries again anyway.
pub const DEFAULT_RETRIES: u32 = 2;
/// Seconds before the first retry.
pub const DEFAULT_RETRY_SECONDS: u32 = 30;
/// The longest wait between retries: about one run of the default schedule.
pub const DEFAULT_MAX_RETRY_SECONDS: u32 = 300;
/// Seconds that a pod may take to start: a cluster may have to add a node for it.
pub const DEFAULT_STARTUP_SECONDS: u32 = 300;
/// Seconds that a merge may run: a first snapshot takes long, and a run that is stopped loses only its open batch.
pub const DEFAULT_RUN_SECONDS: u32 = 14_400;
/// Seconds that the pod may outlive Airflow's patience, so that it is Airflow that stops a merge where it can.
pub const DEADLINE_MARGIN_SECONDS: u32 = 300;
/// Seconds between the signal to stop and the end: enough to roll back one batch.
pub const DEFAULT_STOP_SECONDS: u32 = 60;

/// What a `kubernetes-postgres` platform runs with: its spec with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesPostgresConfig {
    /// The namespace of all that runs.
    pub namespace: String,
    /// The image of merge pods.
    pub image: String,
    /// The address of Kafka Connect's REST interface.
    pub connect_url: String,
    /// The credential of that interface, where it asks for user and password.
    pub connect_credential: Option<String>,
    /// The host of the database.
    pub postgres_host: String,
    /// The port of the database.
    pub postgres_port: u16,
    /// The database.
    pub postgres_database: String,
    /// The credential of the merge job and of sinks.
    pub postgres_credential: String,
    /// Seconds for which staged rows are kept after the batch that merged them.
    pub staged_seconds: u64,
    /// Which Airflow the DAGs are written for.
    pub airflow: AirflowVersion,
    /// Processor of a merge pod.
    pub cpu: Bounds,
    /// Memory of a merge pod.
    pub memory: Bounds,
    /// Retries of a merge task.
    pub retry: RetryPlan,
}

impl From<&KubernetesPostgresSpec> for KubernetesPostgresConfig {
    fn from(spec: &KubernetesPostgresSpec) -> Self {
        let bounds = |(request, limit): (&str, &str)| Bounds {
            request: request.to_owned(),
            limit: limit.to_owned(),
        };
        Self {
            namespace: spec.namespace.to_string(),
            image: spec.image.to_string(),
            connect_url: url(spec.kafka_connect.host.as_str()),
            connect_credential: spec
                .kafka_connect
                .credential
                .as_ref()
                .filter(|credential| credential.r#type.value == CredentialType::UsernamePassword)
                .map(|credential| credential.name.to_string()),
            postgres_host: spec.postgres.host.to_string(),
            postgres_port: spec
                .postgres
                .port
                .as_ref()
                .map_or(DEFAULT_POSTGRES_PORT, |port| port.value.get()),
            postgres_database: spec.postgres.database.to_string(),
            postgres_credential: spec.postgres.credential.name.to_string(),
            staged_seconds: spec
                .postgres
                .staged
                .as_ref()
                .map_or(DEFAULT_STAGED_SECONDS, |staged| staged.value.seconds()),
            airflow: spec
                .airflow
                .as_ref()
                .and_then(|airflow| airflow.version.as_ref())
                .map_or_else(AirflowVersion::default, |version| match version.value {
                    spec::AirflowVersion::Two => AirflowVersion::Two,
                    spec::AirflowVersion::Three => AirflowVersion::Three,
                }),
            cpu: bounds(DEFAULT_CPU),
            memory: bounds(DEFAULT_MEMORY),
            retry: RetryPlan {
                count: DEFAULT_RETRIES,
                delay_seconds: DEFAULT_RETRY_SECONDS,
                max_delay_seconds: DEFAULT_MAX_RETRY_SECONDS,
            },
        }
    }
}

/// A host with or without scheme and port as a URL.
fn url(host: &str) -> String {
    if host.contains("://") {
        host.to_owned()
    } else if host.contains(':') {
        format!("http://{host}")
    } else {
        format!("http://{host}:{DEFAULT_CONNECT_PORT}")
    }
}
