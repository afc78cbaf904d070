use super::arena::id;
use super::{Ingestion, TeamId};
use crate::Spanned;
use crate::scalar::{
    ClassificationName, ColumnName, CredentialName, CredentialType, DataType, DatasetName,
    DatastoreName, Percent,
};
use crate::spec::{OnResnapshot, OnTruncate};

id!(
    /// Which datastore.
    DatastoreId
);
id!(
    /// Which dataset.
    DatasetId
);

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
    /// The columns that tell its rows apart, in key order, as places in `columns`; none if every event is a row of its own.
    pub key: Vec<Spanned<usize>>,
    /// Its columns, in table order.
    pub columns: Vec<Column>,
    /// What is done where merging leaves a choice.
    pub policy: Policy,
}

/// The share of live rows that a snapshot may close because it does not have them: an extract that was cut off loses more
/// than ordinary days delete.
pub const DEFAULT_MISSING_PERCENT: u8 = 10;

/// What is done with a dataset where merging leaves a choice. The place of a choice is the dataset's name where nobody made
/// it.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What a truncate at the source does.
    pub truncate: Spanned<OnTruncate>,
    /// What a new snapshot does with live rows that it does not have.
    pub resnapshot: Spanned<OnResnapshot>,
    /// The most live rows that a snapshot may close because it does not have them.
    pub missing_limit: Percent,
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
