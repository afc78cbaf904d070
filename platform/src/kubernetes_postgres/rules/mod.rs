//! What this platform cannot do, said in the user's YAML.

mod altered_values;
mod column_name;
mod connector_text;
mod credential_store;
mod key_type;
mod large_values;
mod missing_transactions;
mod name_collision;
mod reserved_name;
mod row_order;
mod shared_database;
mod shortened_name;
mod snapshot_name;
mod source_table;
mod sql_snapshot;
mod strimzi_name;
mod topic_name;
mod topic_prefix;
mod truncate;
mod unmappable_type;
mod unused_override;

use milepost_dsl::model::{Column, Dataset, Datastore};
use milepost_dsl::rules::Rule;

use super::Served;

/// Every rule of the platform, in the order of their names.
pub static RULES: &[&dyn for<'a> Rule<Served<'a>>] = &[
    &altered_values::AlteredValues,
    &column_name::ColumnNameRule,
    &connector_text::ConnectorText,
    &credential_store::CredentialStoreRule,
    &key_type::KeyType,
    &large_values::LargeValues,
    &missing_transactions::MissingTransactions,
    &name_collision::NameCollision,
    &reserved_name::ReservedName,
    &row_order::RowOrder,
    &shared_database::SharedDatabase,
    &shortened_name::ShortenedName,
    &snapshot_name::SnapshotName,
    &source_table::SourceTableRule,
    &sql_snapshot::SqlSnapshotRule,
    &strimzi_name::StrimziName,
    &topic_name::TopicName,
    &topic_prefix::TopicPrefix,
    &truncate::Truncate,
    &unmappable_type::UnmappableType,
    &unused_override::UnusedOverride,
];

/// `shop#customers`.
fn dataset_path(store: &Datastore, dataset: &Dataset) -> String {
    format!("{}#{}", store.name, dataset.name)
}

/// `shop#customers.email`.
fn column_path(store: &Datastore, dataset: &Dataset, column: &Column) -> String {
    format!("{}.{}", dataset_path(store, dataset), column.name)
}

/// Names in backticks with commas between them.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_in_the_order_of_their_names_and_none_is_there_twice() {
        let names: Vec<&str> = RULES.iter().map(|rule| rule.about().id.as_str()).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    }
}
