//! Tables as their sources, Debezium's connectors and its events call them.
//!
//! A connector's lists have `schema.table` (MySQL, MariaDB: `database.table`). Topics and END events put the database before
//! the schema for SQL Server; END events do for Oracle too.

use milepost_dsl::model::{Dataset, Ingestion, Origin, Source};
use milepost_dsl::spec::SourceKind;

/// The schema of SQL Server where nobody names one.
const SQL_SERVER_SCHEMA: &str = "dbo";
/// The schema of Postgres where nobody names one.
const POSTGRES_SCHEMA: &str = "public";

/// A table of a source by the names that others know it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTable {
    /// In lists of the connector, before it is made a regular expression: `public.customers`.
    pub listed: String,
    /// In the name of its topic, after the prefix and before characters that Kafka has not are replaced.
    pub topic: String,
    /// In END events of transactions, as `data_collection`.
    pub collection: String,
}

impl SourceTable {
    /// The names of a dataset's table.
    #[must_use]
    pub fn of(ingestion: &Ingestion, dataset: &Dataset) -> Self {
        let from = dataset.source_name.as_str();
        let source = match &ingestion.origin {
            Origin::Cdc(cdc) => &cdc.source,
            Origin::Topics(_) => return Self::in_topics(ingestion.kind(), from),
        };
        let (schema, table) = from.split_once('.').unwrap_or_else(|| {
            let schema = match source {
                Source::Postgres(_) => POSTGRES_SCHEMA,
                Source::MySql(database) | Source::MariaDb(database) => database.name.as_str(),
                Source::SqlServer(_) => SQL_SERVER_SCHEMA,
                // Users own schemas of their own name; none is everybody's.
                Source::Oracle(_) => "",
            };
            (schema, from)
        });
        let listed = format!("{schema}.{table}");
        match source {
            Source::Postgres(_) | Source::MySql(_) | Source::MariaDb(_) => Self::same(listed),
            Source::SqlServer(database) => {
                let whole = format!("{}.{listed}", database.name);
                Self {
                    listed,
                    topic: whole.clone(),
                    collection: whole,
                }
            }
            Source::Oracle(oracle) => {
                let container = oracle.pluggable.as_ref().unwrap_or(&oracle.database.name);
                // The connector makes both names upper case before it uses them.
                let container = container.as_str().to_uppercase();
                Self {
                    topic: listed.clone(),
                    collection: format!("{container}.{listed}"),
                    listed,
                }
            }
        }
    }

    /// Of topics that others fill `from` is what follows the prefix. Oracle's topics leave out the container that END events
    /// name; where `from` has it, it is for those.
    fn in_topics(kind: SourceKind, from: &str) -> Self {
        let within = match kind {
            SourceKind::Oracle => from.split_once('.').filter(|(_, rest)| rest.contains('.')),
            SourceKind::Postgres
            | SourceKind::MySql
            | SourceKind::MariaDb
            | SourceKind::SqlServer => None,
        };
        let topic = within.map_or(from, |(_, rest)| rest);
        Self {
            listed: topic.to_owned(),
            topic: topic.to_owned(),
            collection: from.to_owned(),
        }
    }

    fn same(name: String) -> Self {
        Self {
            listed: name.clone(),
            topic: name.clone(),
            collection: name,
        }
    }
}
