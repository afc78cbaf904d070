use super::TeamId;
use super::arena::id;
use crate::Spanned;
use crate::scalar::{
    ClassificationName, ColumnName, CredentialName, CredentialType, Cron, DataType, DatasetName,
    DatastoreName, Line, LocationPath,
};
use crate::spec::Consistency;

id!(
    /// Which datastore.
    DatastoreId
);
id!(
    /// Which dataset.
    DatasetId
);

/// Where PostgreSQL listens if nobody says otherwise.
pub const DEFAULT_POSTGRES_PORT: u16 = 5432;

/// Every five minutes: seldom enough for a pod per batch, often enough for most readers.
pub const DEFAULT_SCHEDULE: &str = "*/5 * * * *";

/// Datasets of one source.
#[derive(Debug, Clone)]
pub struct Datastore {
    /// Its name.
    pub name: Spanned<DatastoreName>,
    /// The team that owns it.
    pub team: TeamId,
    /// How its data comes in.
    pub ingestion: Ingestion,
    /// What it holds, as written.
    pub datasets: Vec<DatasetId>,
}

/// How the data of a datastore comes in.
#[derive(Debug, Clone)]
pub enum Ingestion {
    /// Change data capture.
    Cdc(Cdc),
}

/// Change data capture from one database.
#[derive(Debug, Clone)]
pub struct Cdc {
    /// The database.
    pub source: Source,
    /// The credential with which it is read.
    pub credential: Credential,
    /// What is merged as one transaction.
    pub consistency: Consistency,
    /// When batches are merged. The place is the datastore's name where nobody said it.
    pub schedule: Spanned<Cron>,
}

/// The database that is captured.
#[derive(Debug, Clone)]
pub enum Source {
    /// PostgreSQL.
    Postgres(PostgresSource),
}

/// A PostgreSQL database that is captured.
#[derive(Debug, Clone)]
pub struct PostgresSource {
    /// The host.
    pub host: Spanned<Line>,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: Spanned<Line>,
    /// Where the data lies.
    pub locations: Vec<Spanned<LocationPath>>,
}

/// A named key with a type; never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The name in the platform's store.
    pub name: Spanned<CredentialName>,
    /// What it is made of.
    pub credential_type: Spanned<CredentialType>,
}

/// A table of the source.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Its name.
    pub name: Spanned<DatasetName>,
    /// The datastore that holds it.
    pub store: DatastoreId,
    /// What the source calls it: `public.customers`.
    pub source_name: Spanned<String>,
    /// The columns that tell its rows apart, in key order, as places in `columns`.
    pub key: Vec<Spanned<usize>>,
    /// Its columns, in table order.
    pub columns: Vec<Column>,
}

impl Dataset {
    /// The columns that tell its rows apart, in key order.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().map(|place| &self.columns[place.value])
    }
}

/// A column of a dataset.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: Spanned<ColumnName>,
    /// The type of its values.
    pub data_type: Spanned<DataType>,
    /// May a value be missing?
    pub nullable: bool,
    /// What its values are.
    pub classifications: Vec<Spanned<ClassificationName>>,
}
