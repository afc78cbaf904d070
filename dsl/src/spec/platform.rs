use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU64};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::CredentialSpec;
use crate::Spanned;
use crate::scalar::{Cron, Duration, Line, Namespace, PlatformName, Repository, StreamRef};
use crate::yaml::{Decode, Decoder, Node, choice, record};

record! {
    /// `kind: Platform`: where and by what groups are served.
    pub struct PlatformSpec {
        /// The platform's name, as the ecosystem declares it.
        pub name: Spanned<PlatformName>,
        /// What serves.
        pub implementation: ImplementationSpec,
    }
}

choice! {
    /// What serves the groups of a platform.
    pub enum ImplementationSpec {
        /// Merge jobs on Kubernetes, started by Airflow, into Postgres.
        KubernetesPostgres(Box<KubernetesPostgresSpec>) as "kubernetes-postgres",
        /// Pipelines that exist already: accepts anything and renders nothing.
        External(ExternalSpec) as "external",
    }
}

record! {
    /// A platform of another maker has no settings: `{external: {}}`.
    pub struct ExternalSpec {
    }
}

record! {
    /// Merge jobs on Kubernetes, started by Airflow, into Postgres.
    pub struct KubernetesPostgresSpec {
        /// The namespace of all that runs.
        pub namespace: Spanned<Namespace>,
        /// Where changes travel.
        pub kafka: KafkaSpec,
        /// What captures changes and writes them to staging.
        pub kafka_connect: KafkaConnectSpec,
        /// Where rows are merged.
        pub postgres: PlatformPostgresSpec,
        /// What starts merges.
        pub airflow: Option<AirflowSpec>,
        /// The container image of Milepost.
        pub image: Spanned<Line>,
        /// Where artifacts are committed.
        pub git: Option<GitSpec>,
        /// Where events are told.
        pub slack: Option<SlackSpec>,
        /// What differs for some streams.
        pub overrides: Option<OverridesSpec>,
    }
}

record! {
    /// A Kafka cluster.
    pub struct KafkaSpec {
        /// Hosts and ports to begin with: `kafka-0:9092,kafka-1:9092`.
        pub bootstrap_servers: Spanned<Line>,
    }
}

record! {
    /// A Kafka Connect cluster.
    pub struct KafkaConnectSpec {
        /// The cluster's name.
        pub name: Spanned<Line>,
        /// The host and port of its REST interface.
        pub host: Spanned<Line>,
        /// The credential for the REST interface, if it asks for one.
        pub credential: Option<CredentialSpec>,
        /// As what connectors are rendered; default `terraform`.
        pub resources: Option<Spanned<ConnectorResources>>,
    }
}

/// As what connectors are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectorResources {
    /// Terraform, applied through Kafka Connect's REST interface.
    Terraform,
    /// `KafkaConnector` resources of Strimzi, in the namespace of the platform.
    Strimzi,
}

crate::scalar::words!(ConnectorResources, "a kind of resources" {
    Terraform => "terraform",
    Strimzi => "strimzi",
});

record! {
    /// The Postgres database that holds staging and merge tables.
    pub struct PlatformPostgresSpec {
        /// The host.
        pub host: Spanned<Line>,
        /// The port; default 5432.
        pub port: Option<Spanned<NonZeroU16>>,
        /// The database.
        pub database: Spanned<Line>,
        /// The credential of the merge job.
        pub credential: CredentialSpec,
        /// How long staged rows are kept after the batch that merged them; default `7d`.
        pub staged: Option<Spanned<Duration>>,
    }
}

record! {
    /// An Airflow.
    pub struct AirflowSpec {
        /// Its name.
        pub name: Spanned<Line>,
        /// Its major version, 2 or 3; default 3.
        pub version: Option<Spanned<AirflowVersion>>,
        /// The credential for its interface, if jobs need it.
        pub credential: Option<CredentialSpec>,
    }
}

/// The major version of an Airflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AirflowVersion {
    /// Airflow 2.
    Two,
    /// Airflow 3.
    Three,
}

impl AirflowVersion {
    /// The version as a number.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

impl fmt::Display for AirflowVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl Serialize for AirflowVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.number())
    }
}

impl JsonSchema for AirflowVersion {
    fn schema_name() -> Cow<'static, str> {
        "AirflowVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "title": "a version of Airflow", "enum": [2, 3]})
    }
}

impl Decode for AirflowVersion {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        match decoder.one_of(node, "a version of Airflow", &["2", "3"])? {
            "2" => Some(Self::Two),
            _ => Some(Self::Three),
        }
    }
}

record! {
    /// Where artifacts are committed.
    pub struct GitSpec {
        /// The credential that may push.
        pub credential: CredentialSpec,
        /// The repository and branch of rendered artifacts.
        pub rendered_repository: Spanned<Repository>,
    }
}

record! {
    /// Where events are told.
    pub struct SlackSpec {
        /// The channel.
        pub channel: Spanned<Line>,
        /// The credential that may post.
        pub credential: CredentialSpec,
    }
}

record! {
    /// What differs for some objects of the platform.
    pub struct OverridesSpec {
        /// By batch stream: `shop` or `shop#customers`.
        pub streams: Option<BTreeMap<Spanned<StreamRef>, StreamOverrideSpec>>,
    }
}

record! {
    /// What differs for a batch stream.
    pub struct StreamOverrideSpec {
        /// When its batches are merged, whatever the datastore says.
        pub schedule: Option<Spanned<Cron>>,
        /// The most staged rows that a batch takes.
        pub max_rows: Option<Spanned<NonZeroU64>>,
    }
}
