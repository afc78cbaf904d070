//! How changes travel: Debezium's Postgres source and JDBC sinks, with the settings under which
//! `docs/decisions/0001-staging-contract.md` saw every type arrive. A setting changed here changes what staging means.

use std::collections::BTreeMap;

use milepost_dsl::graph::Ingest;
use milepost_dsl::model::{Cdc, Dataset, Datastore};
use milepost_dsl::spec::SourceKind;
use milepost_job_spec::TableRef;

use super::topics::StoreTopics;
use super::{Served, sources};
use crate::naming::source_table::SourceTable;
use crate::naming::{self, kafka, postgres as names, terraform};
use crate::plan::{ConnectLogin, ConnectorFile, ConnectorPlan};
use crate::type_mapping::{PLACEHOLDER, is_document};

/// A connector's settings.
type Settings = BTreeMap<String, String>;

/// Days for which a topic keeps events: the longest outage of the platform's database that loses nothing.
const TOPIC_RETENTION_DAYS: u64 = 7;

/// The variables of the credential of Kafka Connect's REST interface.
pub(super) fn login(served: &Served<'_>) -> Option<ConnectLogin> {
    let credential = served.config.connect_credential.as_deref()?;
    let variable = |suffix| naming::kubernetes::variable(credential, suffix);
    Some(ConnectLogin {
        user_variable: variable("_USER"),
        password_variable: variable("_PASSWORD"),
    })
}

/// The connectors of every store that comes in.
pub(super) fn files(served: &Served<'_>) -> Vec<ConnectorFile> {
    served
        .stores()
        .into_iter()
        .map(|(store, ingests)| file(served, store, &ingests))
        .collect()
}

fn file(served: &Served<'_>, store: &Datastore, ingests: &[&Ingest]) -> ConnectorFile {
    let platform = served.platform.name.as_str();
    let name = store.name.as_str();
    let mut datasets: Vec<&Dataset> = ingests
        .iter()
        .flat_map(|ingest| &ingest.datasets)
        .map(|ingested| &served.model.datasets[ingested.dataset])
        .collect();
    datasets.sort_by_key(|dataset| dataset.name.as_str());
    let topics = StoreTopics::of(platform, store);
    let source = store
        .ingestion
        .cdc()
        .filter(|cdc| cdc.source.kind() == SourceKind::Postgres)
        .map(|cdc| ConnectorPlan {
            resource: terraform::source(name),
            name: kafka::source_connector(platform, name),
            config: source_settings(platform, store, cdc, &datasets),
            arrivals: BTreeMap::new(),
            protected: true,
            after: None,
        });
    let after = source.as_ref().map(|source| source.resource.clone());
    let sink = ConnectorPlan {
        resource: terraform::sink(name),
        name: kafka::sink_connector(platform, name),
        config: sink_settings(served, store, &datasets),
        arrivals: arrivals(platform, store, &datasets),
        protected: false,
        after: after.clone(),
    };
    let control = ingests
        .iter()
        .any(|ingest| ingest.together)
        .then_some(topics.transactions)
        .flatten()
        .map(|topic| ConnectorPlan {
            resource: terraform::control(name),
            name: kafka::control_connector(platform, name),
            config: control_settings(served, name, &topic),
            arrivals: BTreeMap::from([(topic.into_owned(), names::control_table(platform, name))]),
            protected: false,
            after,
        });
    ConnectorFile {
        name: terraform::file(name),
        store: name.to_owned(),
        connectors: [source, Some(sink), control]
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// The staging table of each topic.
fn arrivals(
    platform: &str,
    store: &Datastore,
    datasets: &[&Dataset],
) -> BTreeMap<String, TableRef> {
    let topics = StoreTopics::of(platform, store);
    let store = store.name.as_str();
    datasets
        .iter()
        .map(|dataset| {
            let table = names::staging_table(platform, store, dataset.name.as_str());
            (topics.of_dataset(dataset), table)
        })
        .collect()
}

fn source_settings(
    platform: &str,
    store: &Datastore,
    cdc: &Cdc,
    datasets: &[&Dataset],
) -> Settings {
    let name = store.name.as_str();
    let database = cdc.source.database();
    let credential = cdc.credential.name.as_str();
    let listed = |dataset: &Dataset| SourceTable::of(&store.ingestion, dataset).listed;
    let tables: Vec<String> = datasets
        .iter()
        .map(|dataset| regex_of(&listed(dataset)))
        .collect();
    // What the model leaves out is not read: a column that staging lacks would stop the sink.
    let columns: Vec<String> = datasets
        .iter()
        .flat_map(|dataset| {
            let table = listed(dataset);
            let columns = dataset.columns.iter();
            columns.map(move |column| regex_of(&format!("{table}.{}", column.name)))
        })
        .collect();
    let retention_ms = TOPIC_RETENTION_DAYS * 24 * 60 * 60 * 1000;
    let mut settings = settings(&[
        (
            "connector.class",
            "io.debezium.connector.postgresql.PostgresConnector",
        ),
        // The order of events holds in one task and in one partition of a topic only.
        ("tasks.max", "1"),
        ("topic.creation.default.partitions", "1"),
        ("topic.creation.default.replication.factor", "-1"),
        // A compacted topic would lose history.
        ("topic.creation.default.cleanup.policy", "delete"),
        ("plugin.name", "pgoutput"),
        // The publication is made by whoever owns the tables; the connector's user may read and no more.
        ("publication.autocreate.mode", "disabled"),
        ("snapshot.mode", "initial"),
        ("provide.transaction.metadata", "true"),
        ("tombstones.on.delete", "false"),
        ("skipped.operations", "none"),
        ("decimal.handling.mode", "string"),
        ("time.precision.mode", "adaptive_time_microseconds"),
        ("interval.handling.mode", "string"),
        ("hstore.handling.mode", "json"),
        ("binary.handling.mode", "bytes"),
        ("unavailable.value.placeholder", PLACEHOLDER),
        // Moves the slot on while the tables are quiet, so that the source may drop its log.
        ("heartbeat.interval.ms", "10000"),
        ("errors.max.retries", "-1"),
        // By rows of a table the source's owner asks for snapshots: docs/changing-streams.md.
        ("signal.enabled.channels", "source"),
    ]);
    settings.extend(json_converters());
    settings.extend([
        (
            "topic.prefix".to_owned(),
            kafka::topic_prefix(platform, name),
        ),
        ("slot.name".to_owned(), kafka::slot(platform, name)),
        (
            "publication.name".to_owned(),
            kafka::publication(platform, name),
        ),
        (
            "signal.data.collection".to_owned(),
            naming::source::signal_table(platform, name).to_string(),
        ),
        (
            "heartbeat.action.query".to_owned(),
            sources::heartbeat_action(platform, name),
        ),
        (
            "topic.creation.default.retention.ms".to_owned(),
            retention_ms.to_string(),
        ),
        ("database.hostname".to_owned(), database.host.to_string()),
        ("database.port".to_owned(), database.port.to_string()),
        ("database.dbname".to_owned(), database.name.to_string()),
        ("database.user".to_owned(), secret(credential, "_USER")),
        (
            "database.password".to_owned(),
            secret(credential, "_PASSWORD"),
        ),
        ("table.include.list".to_owned(), tables.join(",")),
        ("column.include.list".to_owned(), columns.join(",")),
    ]);
    settings
}

fn sink_settings(served: &Served<'_>, store: &Datastore, datasets: &[&Dataset]) -> Settings {
    let platform = served.platform.name.as_str();
    let of_store = StoreTopics::of(platform, store);
    let store = store.name.as_str();
    let topics: Vec<String> = datasets
        .iter()
        .map(|dataset| of_store.of_dataset(dataset))
        .collect();
    let mut all = jdbc_settings(served);
    all.extend(json_converters());
    all.extend(settings(&[
        (
            "transforms.unwrap.type",
            "io.debezium.transforms.ExtractNewRecordState",
        ),
        (
            "transforms.unwrap.delete.tombstone.handling.mode",
            "rewrite",
        ),
        (
            "transforms.unwrap.add.fields",
            "op,source.ts_us,sequence,lsn,transaction.id,transaction.total_order,snapshot",
        ),
        // A null that arrives as the column's default is a wrong value.
        ("transforms.unwrap.replace.null.with.default", "false"),
    ]));
    let mut transforms = vec!["unwrap".to_owned()];
    let mut predicates = Vec::new();
    for (dataset, topic) in datasets.iter().zip(&topics) {
        let alias = kafka::transform(dataset.name.as_str());
        let documents = documents(dataset);
        if !documents.is_empty() {
            // The sink binds a document as json whatever the column's type, and the placeholder is no json.
            let (cast, predicate) = (format!("text_{alias}"), format!("is_{alias}"));
            all.extend([
                (
                    format!("transforms.{cast}.type"),
                    format!("{TRANSFORMS}.Cast$Value"),
                ),
                (format!("transforms.{cast}.spec"), documents.join(",")),
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
    for (dataset, topic) in datasets.iter().zip(&topics) {
        let route = format!("route_{}", kafka::transform(dataset.name.as_str()));
        let table = names::staging_table(platform, store, dataset.name.as_str());
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
        ("topics".to_owned(), topics.join(",")),
        ("collection.name.format".to_owned(), table),
        ("transforms".to_owned(), transforms.join(",")),
    ]);
    if !predicates.is_empty() {
        all.insert("predicates".to_owned(), predicates.join(","));
    }
    all
}

fn control_settings(served: &Served<'_>, store: &str, topic: &str) -> Settings {
    let platform = served.platform.name.as_str();
    let TableRef { schema, name } = names::control_table(platform, store);
    let mut all = jdbc_settings(served);
    all.extend(settings(&[
        (
            "key.converter",
            "org.apache.kafka.connect.storage.StringConverter",
        ),
        (
            "value.converter",
            "org.apache.kafka.connect.storage.StringConverter",
        ),
        ("transforms", "wrap"),
        (
            "transforms.wrap.type",
            "org.apache.kafka.connect.transforms.HoistField$Value",
        ),
        ("transforms.wrap.field", "payload"),
    ]));
    all.extend([
        ("topics".to_owned(), topic.to_owned()),
        (
            "collection.name.format".to_owned(),
            format!("{schema}.{name}"),
        ),
    ]);
    all
}

/// Where Kafka Connect's own transforms live.
const TRANSFORMS: &str = "org.apache.kafka.connect.transforms";

/// What every sink into staging shares.
fn jdbc_settings(served: &Served<'_>) -> Settings {
    let config = &served.config;
    let credential = config.postgres_credential.as_str();
    let url = format!(
        "jdbc:postgresql://{}:{}/{}",
        config.postgres_host, config.postgres_port, config.postgres_database
    );
    let mut all = settings(&[
        (
            "connector.class",
            "io.debezium.connector.jdbc.JdbcSinkConnector",
        ),
        ("tasks.max", "1"),
        ("consumer.override.auto.offset.reset", "earliest"),
        // By position: a redelivered record overwrites itself, and nothing else ever does.
        ("insert.mode", "upsert"),
        ("primary.key.mode", "kafka"),
        ("delete.enabled", "false"),
        ("truncate.enabled", "false"),
        ("schema.evolution", "none"),
        ("quote.identifiers", "true"),
        ("use.time.zone", "UTC"),
        ("use.reduction.buffer", "false"),
        ("batch.size", "500"),
        ("connection.pool.min_size", "1"),
        ("connection.pool.max_size", "4"),
        // Stop rather than lose an event.
        ("errors.tolerance", "none"),
    ]);
    all.extend([
        ("connection.url".to_owned(), url),
        (
            "connection.username".to_owned(),
            secret(credential, "_USER"),
        ),
        (
            "connection.password".to_owned(),
            secret(credential, "_PASSWORD"),
        ),
    ]);
    all
}

/// JSON with schemas: types survive the topic.
fn json_converters() -> Settings {
    settings(&[
        (
            "key.converter",
            "org.apache.kafka.connect.json.JsonConverter",
        ),
        ("key.converter.schemas.enable", "true"),
        ("key.converter.replace.null.with.default", "false"),
        (
            "value.converter",
            "org.apache.kafka.connect.json.JsonConverter",
        ),
        ("value.converter.schemas.enable", "true"),
        ("value.converter.replace.null.with.default", "false"),
    ])
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// A value of a credential as Kafka Connect's config provider finds it in the environment of its workers.
fn secret(credential: &str, suffix: &str) -> String {
    format!(
        "${{env:{}}}",
        naming::kubernetes::variable(credential, suffix)
    )
}

/// Columns that have to be made text before the sink sees them, as the transform wants them: `payload:string`.
fn documents(dataset: &Dataset) -> Vec<String> {
    dataset
        .columns
        .iter()
        .filter(|column| is_document(&column.data_type))
        .map(|column| format!("{}:string", column.name))
        .collect()
}

/// A regular expression of Java that matches the text and nothing else.
pub(super) fn regex_of(text: &str) -> String {
    let mut regex = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_alphanumeric() && c != '_' && !c.is_whitespace() {
            regex.push('\\');
        }
        regex.push(c);
    }
    regex
}
