//! What a platform will run, decided: streams, tables, views, DAGs and connectors.
//!
//! A plan owns all it says, borrows nothing and names no type of the model; who renders or publishes it has no choice left.

mod connector;
mod dag;
mod source;

pub use connector::{ConnectLogin, ConnectPlan, ConnectorFile, ConnectorPlan, ConnectorResources};
pub use dag::{AirflowPlan, AirflowVersion, Bounds, DagFile, DagPlan, PodPlan, RetryPlan};
pub use source::{CapturedDataset, SourceDialect, SourceFiles};

use std::collections::BTreeMap;

use milepost_job_spec::{PlatformPlan, StreamSpec};

/// All that a platform will run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// `platform.json`.
    pub index: PlatformPlan,
    /// Every stream's spec by its file, relative to `platform.json`; the index holds their digests.
    pub streams: BTreeMap<String, StreamSpec>,
    /// DAGs of Airflow.
    pub airflow: AirflowPlan,
    /// Connectors of Kafka Connect.
    pub connect: ConnectPlan,
    /// What owners of sources run, in store order.
    pub sources: Vec<SourceFiles>,
}
