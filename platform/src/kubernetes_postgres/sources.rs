//! What the owner of a source has to run, and what the connector does there.

use std::collections::BTreeSet;

use milepost_dsl::graph::Ingest;
use milepost_dsl::model::{Dataset, Datastore, Source};
use milepost_job_spec::Digest;

use super::Served;
use super::connectors::regex_of;
use crate::naming::kafka;
use crate::naming::source::{self as names, can_be_signalled};
use crate::naming::source_table::SourceTable;
use crate::plan::{CapturedDataset, SourceDialect, SourceFiles};
use crate::type_mapping;

/// The files of every store whose source takes signals. SQL Server and Oracle capture by tables that the owner enables: see
/// `docs/changing-streams.md`.
pub(super) fn files(served: &Served<'_>) -> Vec<SourceFiles> {
    let stores = served.stores().into_iter();
    stores
        .filter_map(|(store, ingests)| store_files(served, store, &ingests))
        .collect()
}

fn store_files(served: &Served<'_>, store: &Datastore, ingests: &[&Ingest]) -> Option<SourceFiles> {
    let (platform, name) = (served.platform.name.as_str(), store.name.as_str());
    let dialect = match &store.ingestion.cdc()?.source {
        Source::Postgres(_) => SourceDialect::Postgres {
            publication: kafka::publication(platform, name),
        },
        Source::MySql(_) | Source::MariaDb(_) => SourceDialect::MySql,
        Source::SqlServer(_) | Source::Oracle(_) => return None,
    };
    let ingested = ingests.iter().flat_map(|ingest| &ingest.datasets);
    let mut datasets: Vec<CapturedDataset> = ingested
        .map(|ingested| captured(store, &served.model.datasets[ingested.dataset]))
        .collect();
    datasets.sort_by(|one, other| one.dataset.cmp(&other.dataset));
    let tables: BTreeSet<(String, String)> = datasets
        .iter()
        .map(|dataset| (dataset.schema.clone(), dataset.table.clone()))
        .collect();
    let schemas: BTreeSet<String> = tables.iter().map(|(schema, _)| schema.clone()).collect();
    Some(SourceFiles {
        folder: names::folder(name),
        platform: platform.to_owned(),
        store: name.to_owned(),
        dialect,
        signals: names::signal_table(platform, name),
        captured: names::captured_table(platform, name),
        heartbeat: names::heartbeat_table(platform, name),
        captures: captures(&datasets),
        schemas: schemas.into_iter().collect(),
        tables: tables.into_iter().collect(),
        datasets,
    })
}

fn captured(store: &Datastore, dataset: &Dataset) -> CapturedDataset {
    let listed = SourceTable::of(&store.ingestion, dataset).listed;
    // The rule `source-table` refuses what has no dot, or more than one.
    let (schema, table) = listed.split_once('.').unwrap_or(("", &listed));
    let can_be_signalled = can_be_signalled(schema) && can_be_signalled(table);
    let columns: BTreeSet<&str> = dataset
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let large = |column: &milepost_dsl::model::Column| {
        type_mapping::map(store.ingestion.kind(), &column.data_type)
            .is_ok_and(|mapping| mapping.placeholder.is_some())
    };
    CapturedDataset {
        id: Digest::of(format!("{}\0{listed}", dataset.name).as_bytes()).to_string(),
        dataset: dataset.name.to_string(),
        schema: schema.to_owned(),
        table: table.to_owned(),
        key: dataset
            .key_columns()
            .map(|column| column.name.to_string())
            .collect(),
        columns: json(&columns),
        request: can_be_signalled.then(|| {
            format!(
                r#"{{"type": "incremental", "data-collections": {}}}"#,
                json(&[regex_of(&listed)])
            )
        }),
        has_large_values: dataset.columns.iter().any(large),
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("lists of text are JSON")
}

/// What tells a connector that captures these columns from every one that captures others.
fn captures(datasets: &[CapturedDataset]) -> String {
    let all: BTreeSet<(&str, &str)> = datasets
        .iter()
        .map(|dataset| (dataset.id.as_str(), dataset.columns.as_str()))
        .collect();
    Digest::of(json(&all).as_bytes()).to_string()
}

/// What the connector runs with every heartbeat. The slot of a Postgres moves on only with what its publication holds; and
/// the source learns which connector runs, which `snapshot.sql` waits for.
pub(super) fn heartbeat_action(platform: &str, store: &Datastore, datasets: &[&Dataset]) -> String {
    let datasets: Vec<CapturedDataset> = datasets
        .iter()
        .map(|dataset| captured(store, dataset))
        .collect();
    let captures = captures(&datasets);
    // Of letters, digits and underscores: legal without quotes in every dialect.
    let table = names::heartbeat_table(platform, store.name.as_str());
    format!("update {table} set beat_at = now(), captures = '{captures}'")
}
