use std::num::NonZeroU16;

use crate::Spanned;
use crate::scalar::{
    ClassificationName, ColumnName, CredentialName, CredentialType, Cron, DataType, DatasetName,
    DatastoreName, Line, LocationPath, TeamRef,
};
use crate::yaml::{choice, record};

record! {
    /// `kind: Datastore`: datasets of one source and how they are ingested.
    pub struct DatastoreSpec {
        /// The datastore's name, unique in the ecosystem.
        pub name: Spanned<DatastoreName>,
        /// The team that owns it.
        pub team: Spanned<TeamRef>,
        /// How its data comes in.
        pub ingestion: IngestionSpec,
        /// What it holds.
        pub datasets: Vec<DatasetSpec>,
    }
}

choice! {
    /// How the data of a datastore comes in.
    pub enum IngestionSpec {
        /// Change data capture: every committed change, in order.
        Cdc(CdcSpec) as "cdc",
    }
}

record! {
    /// Change data capture from one database.
    pub struct CdcSpec {
        /// The database.
        pub source: SourceSpec,
        /// The credential with which the database is read.
        pub credential: CredentialSpec,
        /// What is merged as one transaction; default `single-dataset`.
        pub consistency: Option<Spanned<Consistency>>,
        /// When batches are merged; default `*/5 * * * *`.
        pub schedule: Option<Spanned<Cron>>,
    }
}

choice! {
    /// The database that is captured.
    pub enum SourceSpec {
        /// PostgreSQL, by logical decoding.
        Postgres(PostgresSourceSpec) as "postgres",
    }
}

record! {
    /// A PostgreSQL database that is captured.
    pub struct PostgresSourceSpec {
        /// The host.
        pub host: Spanned<Line>,
        /// The port; default 5432.
        pub port: Option<Spanned<NonZeroU16>>,
        /// The database.
        pub database: Spanned<Line>,
        /// Where the data lies.
        pub locations: Option<Vec<Spanned<LocationPath>>>,
    }
}

record! {
    /// A named key with a type; the secret lives in the platform's credential store.
    pub struct CredentialSpec {
        /// The name in the store.
        pub name: Spanned<CredentialName>,
        /// What it is made of.
        pub r#type: Spanned<CredentialType>,
    }
}

/// What is merged as one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consistency {
    /// Each dataset by itself.
    SingleDataset,
    /// All datasets of the store together, aligned to the source's transactions.
    MultiDataset,
}

crate::scalar::words!(Consistency, "a consistency" {
    SingleDataset => "single-dataset",
    MultiDataset => "multi-dataset",
});

record! {
    /// A dataset: a table of the source.
    pub struct DatasetSpec in "#" {
        /// The dataset's name, unique in its datastore.
        pub name: Spanned<DatasetName>,
        /// What the source calls it, such as `public.customers`; default its name.
        pub from: Option<Spanned<Line>>,
        /// The columns that tell its rows apart, in key order.
        pub key: Vec<Spanned<ColumnName>>,
        /// Its columns, in table order.
        pub columns: Vec<ColumnSpec>,
    }
}

record! {
    /// A column of a dataset.
    pub struct ColumnSpec in "." {
        /// The column's name, unique in its dataset.
        pub name: Spanned<ColumnName>,
        /// The type of its values.
        pub r#type: Spanned<DataType>,
        /// May a value be missing? Default false.
        pub nullable: Option<Spanned<bool>>,
        /// What its values are: `personal`.
        pub classifications: Option<Vec<Spanned<ClassificationName>>>,
    }
}
