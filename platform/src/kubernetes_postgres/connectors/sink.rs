//! The connector that writes a store's events to its staging tables.

use std::collections::BTreeSet;

use milepost_dsl::model::{Dataset, Datastore};

use super::jdbc;
use super::pattern::regex_of;
use super::settings::{Settings, json_converters, settings};
use crate::kubernetes_postgres::Served;
use crate::kubernetes_postgres::streams::position;
use crate::kubernetes_postgres::topics::StoreTopics;
use crate::naming::{kafka, postgres as names};
use crate::type_mapping;

/// Where Kafka Connect's own transforms live.
const TRANSFORMS: &str = "org.apache.kafka.connect.transforms";

/// The settings of a store's sink.
pub(super) fn settings_of(
    served: &Served<'_>,
    store: &Datastore,
    datasets: &[&Dataset],
) -> Settings {
    let platform = served.platform.name.as_str();
    let of_store = StoreTopics::of(platform, store);
    let topics: Vec<String> = datasets
        .iter()
        .map(|dataset| of_store.of_dataset(dataset))
        .collect();
    let mut all = jdbc::settings_of(served);
    all.extend(json_converters());
    all.extend(settings(&[
        (
            "transforms.unwrap.type",
            "io.debezium.transforms.ExtractNewRecordState",
        ),
        // A delete is a row that says so.
        (
            "transforms.unwrap.delete.tombstone.handling.mode",
            "rewrite",
        ),
        // A null that arrives as the column's default is a wrong value.
        ("transforms.unwrap.replace.null.with.default", "false"),
    ]));
    let mut transforms = vec!["unwrap".to_owned()];
    let mut predicates = Vec::new();
    for (dataset, topic) in datasets.iter().zip(&topics) {
        let alias = kafka::transform(dataset.name.as_str());
        let casts = casts(store, dataset);
        if !casts.is_empty() {
            // The sink binds a document as json whatever the column's type, and the placeholder is no json.
            let (cast, predicate) = (format!("text_{alias}"), format!("is_{alias}"));
            all.extend([
                (
                    format!("transforms.{cast}.type"),
                    format!("{TRANSFORMS}.Cast$Value"),
                ),
                (format!("transforms.{cast}.spec"), casts.join(",")),
                (
                    format!("transforms.{cast}.replace.null.with.default"),
                    "false".to_owned(),
                ),
                (format!("transforms.{cast}.predicate"), predicate.clone()),
                (
                    format!("predicates.{predicate}.type"),
                    format!("{TRANSFORMS}.predicates.TopicNameMatches"),
                ),
                (format!("predicates.{predicate}.pattern"), regex_of(topic)),
            ]);
            transforms.push(cast);
            predicates.push(predicate);
        }
    }
    let renames = renames(datasets);
    if !renames.is_empty() {
        all.extend(settings(&[(
            "transforms.rename.replace.null.with.default",
            "false",
        )]));
        all.extend([
            (
                "transforms.rename.type".to_owned(),
                format!("{TRANSFORMS}.ReplaceField$Value"),
            ),
            (
                "transforms.rename.renames".to_owned(),
                renames.into_iter().collect::<Vec<_>>().join(","),
            ),
        ]);
        transforms.push("rename".to_owned());
    }
    for (dataset, topic) in datasets.iter().zip(&topics) {
        let route = format!("route_{}", kafka::transform(dataset.name.as_str()));
        let table = names::staging_table(platform, store.name.as_str(), dataset.name.as_str());
        all.extend([
            (
                format!("transforms.{route}.type"),
                format!("{TRANSFORMS}.RegexRouter"),
            ),
            (format!("transforms.{route}.regex"), regex_of(topic)),
            (
                format!("transforms.{route}.replacement"),
                table.name.to_string(),
            ),
        ]);
        transforms.push(route);
    }
    let table = format!("{}.${{topic}}", names::staging_schema(platform));
    all.extend([
        (
            "transforms.unwrap.add.fields".to_owned(),
            position(store.ingestion.kind()).add_fields(),
        ),
        ("topics".to_owned(), topics.join(",")),
        ("collection.name.format".to_owned(), table),
        ("transforms".to_owned(), transforms.join(",")),
    ]);
    if !predicates.is_empty() {
        all.insert("predicates".to_owned(), predicates.join(","));
    }
    all
}

/// Columns that have to be cast before the sink sees them, as the transform wants them: `payload:string`.
fn casts(store: &Datastore, dataset: &Dataset) -> Vec<String> {
    dataset
        .columns
        .iter()
        .filter_map(|column| {
            let mapping = type_mapping::map(store.ingestion.kind(), &column.data_type).ok()?;
            Some(format!("{}:{}", column.name, mapping.cast?.word()))
        })
        .collect()
}

/// Columns that staging calls otherwise than the source: their names are too long, or the sink cannot quote them. A new name
/// comes from the old one alone, so one list serves all tables.
fn renames(datasets: &[&Dataset]) -> BTreeSet<String> {
    let columns = datasets.iter().flat_map(|dataset| &dataset.columns);
    columns
        .filter_map(|column| {
            let staged = names::staged_column(&column.name);
            let differs = staged.as_str() != column.name.as_str();
            differs.then(|| format!("{}:{staged}", column.name))
        })
        .collect()
}
