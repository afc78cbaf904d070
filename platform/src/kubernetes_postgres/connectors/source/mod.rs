//! The connector that reads a store's database, one file per family of databases.

mod binlog;
mod oracle;
mod postgres;
mod sql_server;

use milepost_dsl::model::{Cdc, Dataset, Datastore, Source};

use super::pattern::{columns_entry, table_entry};
use super::settings::{MAX_RECORD_BYTES, Settings, json_converters, secret, settings};
use crate::kubernetes_postgres::{Served, sources};
use crate::naming::kafka;
use crate::naming::source_table::SourceTable;

/// Days for which a topic keeps events: the longest outage of the platform's database that loses nothing.
const TOPIC_RETENTION_DAYS: u64 = 7;

/// The settings of a store's source.
pub(super) fn settings_of(
    served: &Served<'_>,
    store: &Datastore,
    cdc: &Cdc,
    datasets: &[&Dataset],
) -> Settings {
    let captured = Captured {
        platform: served.platform.name.as_str(),
        bootstrap_servers: served.spec.kafka.bootstrap_servers.as_str(),
        store,
        datasets,
    };
    let mut settings = every_source(&captured, cdc);
    settings.extend(match &cdc.source {
        Source::Postgres(database) => postgres::settings_of(&captured, database),
        Source::MySql(_) => binlog::mysql(&captured),
        Source::MariaDb(_) => binlog::mariadb(&captured),
        Source::SqlServer(database) => sql_server::settings_of(&captured, database),
        Source::Oracle(database) => oracle::settings_of(&captured, database),
    });
    settings
}

/// What is read, and for whom.
struct Captured<'a> {
    platform: &'a str,
    bootstrap_servers: &'a str,
    store: &'a Datastore,
    datasets: &'a [&'a Dataset],
}

impl Captured<'_> {
    fn prefix(&self) -> String {
        kafka::topic_prefix(self.platform, self.store.name.as_str())
    }

    /// A table as the connector's lists have it.
    fn listed(&self, dataset: &Dataset) -> String {
        SourceTable::of(&self.store.ingestion, dataset).listed
    }

    /// The columns of each table as the connector's lists have them.
    fn columns(&self) -> Vec<String> {
        let datasets = self.datasets.iter();
        datasets
            .map(|dataset| {
                let columns = dataset.columns.iter().map(|column| column.name.as_str());
                columns_entry(&self.listed(dataset), columns)
            })
            .collect()
    }
}

/// What a source has whatever its kind.
fn every_source(captured: &Captured<'_>, cdc: &Cdc) -> Settings {
    let database = cdc.source.database();
    let credential = cdc.credential.name.as_str();
    let tables: Vec<String> = captured
        .datasets
        .iter()
        .map(|dataset| table_entry(&captured.listed(dataset)))
        .collect();
    // What the model leaves out is not read: a column that staging lacks would stop the sink.
    let columns = captured.columns();
    let retention_ms = TOPIC_RETENTION_DAYS * 24 * 60 * 60 * 1000;
    let mut all = settings(&[
        // The order of events holds in one task and in one partition of a topic only.
        ("tasks.max", "1"),
        ("topic.creation.default.partitions", "1"),
        ("topic.creation.default.replication.factor", "-1"),
        // A compacted topic would lose history.
        ("topic.creation.default.cleanup.policy", "delete"),
        ("topic.creation.default.max.message.bytes", MAX_RECORD_BYTES),
        ("producer.override.max.request.size", MAX_RECORD_BYTES),
        ("snapshot.mode", "initial"),
        ("provide.transaction.metadata", "true"),
        ("tombstones.on.delete", "false"),
        ("skipped.operations", "none"),
        ("decimal.handling.mode", "string"),
        // Moves the position on while the tables are quiet, so that the source may drop its log.
        ("heartbeat.interval.ms", "10000"),
        // What passes by itself, a restart of the source above all, is waited for.
        ("errors.max.retries", "-1"),
    ]);
    all.extend(json_converters());
    all.extend([
        ("topic.prefix".to_owned(), captured.prefix()),
        (
            "topic.creation.default.retention.ms".to_owned(),
            retention_ms.to_string(),
        ),
        ("database.hostname".to_owned(), database.host.to_string()),
        ("database.port".to_owned(), database.port.to_string()),
        ("database.user".to_owned(), secret(credential, "_USER")),
        (
            "database.password".to_owned(),
            secret(credential, "_PASSWORD"),
        ),
        ("table.include.list".to_owned(), tables.join(",")),
        ("column.include.list".to_owned(), columns.join(",")),
    ]);
    all
}

/// What a source has that keeps the history of its tables' shapes in a topic of its own.
fn schema_history(captured: &Captured<'_>) -> Settings {
    let mut all = settings(&[
        // Nobody reads the topic of schema changes; the connector itself reads its history.
        ("include.schema.changes", "false"),
    ]);
    all.extend([
        (
            "schema.history.internal.kafka.topic".to_owned(),
            kafka::schema_history_topic(&captured.prefix()),
        ),
        (
            "schema.history.internal.kafka.bootstrap.servers".to_owned(),
            captured.bootstrap_servers.to_owned(),
        ),
    ]);
    all
}

/// Where a source is asked for snapshots, for those that take signals: a table of the source.
fn signals(captured: &Captured<'_>, all: &mut Settings) {
    let table =
        crate::naming::source::signal_table(captured.platform, captured.store.name.as_str());
    // The list of columns is for this table, too, and a signal without all three is none.
    let signal = columns_entry(&table.to_string(), ["id", "type", "data"].into_iter());
    let columns = captured.columns().into_iter().chain([signal]);
    all.extend([
        (
            "column.include.list".to_owned(),
            columns.collect::<Vec<_>>().join(","),
        ),
        ("signal.data.collection".to_owned(), table.to_string()),
        // By rows of that table the source's owner asks for snapshots: docs/changing-streams.md.
        ("signal.enabled.channels".to_owned(), "source".to_owned()),
        // Nobody is asked who does not tell there what it captures.
        (
            "heartbeat.action.query".to_owned(),
            sources::heartbeat_action(captured.platform, captured.store, captured.datasets),
        ),
    ]);
}
