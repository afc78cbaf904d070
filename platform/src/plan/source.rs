//! What the owner of a source runs: SQL that prepares it, and SQL that asks for snapshots of what was added.

use milepost_job_spec::TableRef;

/// The files for the owner of a store's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFiles {
    /// Their folder, relative to the platform's.
    pub folder: String,
    /// The platform.
    pub platform: String,
    /// The store.
    pub store: String,
    /// What the source speaks.
    pub dialect: SourceDialect,
    /// Where snapshots are asked for.
    pub signals: TableRef,
    /// What is captured, and what of it a snapshot has covered.
    pub captured: TableRef,
    /// What the connector touches with every heartbeat, and tells there what it captures.
    pub heartbeat: TableRef,
    /// What a connector tells there that captures exactly this.
    pub captures: String,
    /// Schemas in which captured tables stand, each once.
    pub schemas: Vec<String>,
    /// Captured tables, each once: schema and name.
    pub tables: Vec<(String, String)>,
    /// What is captured, in the order of datasets.
    pub datasets: Vec<CapturedDataset>,
}

/// The SQL of a source, with what only its kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceDialect {
    /// PostgreSQL.
    Postgres {
        /// What the slot delivers.
        publication: String,
    },
    /// MySQL and MariaDB.
    MySql,
}

/// A dataset as the source knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedDataset {
    /// What tells it from every other: a digest of its name and its table's.
    pub id: String,
    /// Its name.
    pub dataset: String,
    /// The schema of its table.
    pub schema: String,
    /// Its table.
    pub table: String,
    /// The columns of its key.
    pub key: Vec<String>,
    /// The captured columns as a JSON array.
    pub columns: String,
    /// The signal's data that asks for a snapshot: JSON. None if a signal cannot name the table.
    pub request: Option<String>,
    /// May an update leave out a large value?
    pub has_large_values: bool,
}
