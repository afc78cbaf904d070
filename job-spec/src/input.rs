use serde::{Deserialize, Serialize};

/// Where the staged rows of a stream come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// A sink of Kafka Connect, or whatever writes the same shape, stages change events.
    #[default]
    Events,
    /// The merge job itself reads a full image of every table at each run, in one snapshot of the source, and merges it as
    /// one batch: rows that are missing in it are deletes, with the guard of
    /// [`DatasetPolicy::max_missing_percent`](crate::DatasetPolicy::max_missing_percent).
    Image(SourceDatabase),
}

/// The topic under which positions and quarantine know the rows of images. No topic of Kafka can have this name.
pub const IMAGE_TOPIC: &str = "@image";

/// The database that connector or merge job read the tables of a store from. Never a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceDatabase {
    /// Which kind of database.
    pub kind: SourceDatabaseKind,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The environment variable that holds the user.
    pub user_variable: String,
    /// The environment variable that holds the password.
    pub password_variable: String,
}

/// A kind of database that the merge job can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceDatabaseKind {
    /// PostgreSQL.
    Postgres,
}

/// Where the events of a stream come from, so that what was merged can be compared with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The database that the connector reads.
    pub database: SourceDatabase,
    /// The connector's replication slot there.
    pub slot: String,
}

impl Input {
    /// Do others stage change events?
    #[must_use]
    pub const fn is_events(&self) -> bool {
        matches!(self, Self::Events)
    }
}
