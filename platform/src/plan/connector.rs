//! Connectors of Kafka Connect: what moves events from a source to staging tables.

use std::collections::BTreeMap;

use milepost_job_spec::TableRef;

/// All connectors of a platform and the Kafka Connect that runs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectPlan {
    /// The address of its REST interface; a default, the operator may set another.
    pub url: String,
    /// Where the login of that interface is, if it asks for one.
    pub login: Option<ConnectLogin>,
    /// As what the connectors are rendered.
    pub resources: ConnectorResources,
    /// One file per store, in store order.
    pub files: Vec<ConnectorFile>,
}

/// As what connectors are rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectorResources {
    /// Terraform, applied through the REST interface.
    Terraform,
    /// `KafkaConnector` resources, which Strimzi's operator turns into connectors.
    Strimzi {
        /// The namespace of the cluster and so of its connectors.
        namespace: String,
        /// The `KafkaConnect` that runs them.
        cluster: String,
    },
}

/// The environment variables that hold the login of Kafka Connect's REST interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectLogin {
    /// The variable of the user.
    pub user_variable: String,
    /// The variable of the password.
    pub password_variable: String,
}

/// The connectors of a store: one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorFile {
    /// The file's name without its ending.
    pub name: String,
    /// The store.
    pub store: String,
    /// The source first, then what reads its topics.
    pub connectors: Vec<ConnectorPlan>,
}

/// A connector: its name, its configuration and how it may end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorPlan {
    /// The name of the Terraform resource.
    pub resource: String,
    /// The name in Kafka Connect.
    pub name: String,
    /// The configuration without `name`. Secrets stand in it as `${env:VARIABLE}` of a config provider.
    pub config: BTreeMap<String, String>,
    /// The staging table in which the records of each Kafka topic arrive; a source has none.
    pub arrivals: BTreeMap<String, TableRef>,
    /// May a plan never destroy it? A destroyed source leaves a replication slot that fills the source's disk.
    pub protected: bool,
    /// The resource that has to exist before, and to go after.
    pub after: Option<String>,
}
