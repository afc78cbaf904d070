//! Every connector that is rendered, before the real plugins: nothing is wrong but the address of the database, and no
//! setting is one that nobody reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use acceptance::stack::{Rest, Stack};
use milepost_dsl::{IntentionGraph, Sources, check};
use milepost_job_spec::ModelVersion;
use milepost_platform::kubernetes_postgres::release_of;
use milepost_platform::plan::ConnectorPlan;

/// Settings that no plugin defines, and who reads them.
const READ_BY_OTHERS: [(&str, &str); 11] = [
    ("driver.yearIsDateType", "the driver of MySQL and MariaDB"),
    (
        "schema.history.internal.kafka.bootstrap.servers",
        "Debezium's history of schemas",
    ),
    (
        "schema.history.internal.kafka.topic",
        "Debezium's history of schemas",
    ),
    (
        "consumer.override.allow.auto.create.topics",
        "the consumer of a sink",
    ),
    (
        "consumer.override.auto.offset.reset",
        "the consumer of a sink",
    ),
    (
        "consumer.override.metadata.max.age.ms",
        "the consumer of a sink",
    ),
    (
        "producer.override.max.request.size",
        "the producer of a source",
    ),
    (
        "topic.creation.default.cleanup.policy",
        "the topic that Kafka Connect makes",
    ),
    (
        "topic.creation.default.max.message.bytes",
        "the topic that Kafka Connect makes",
    ),
    (
        "topic.creation.default.retention.ms",
        "the topic that Kafka Connect makes",
    ),
    // The transforms' own settings, without their alias.
    (
        "unwrap.replace.null.with.default",
        "Debezium's unwrapping transform, which reads it and does not define it",
    ),
];

/// Settings that Kafka Connect defines for groups of topics, and not with a plugin.
const TOPIC_GROUP: [&str; 2] = ["partitions", "replication.factor"];

/// A store with names and types that the examples lack.
const HOSTILE: &str = r#"
kind: Datastore
name: odd
team: europe/sales
ingestion:
  cdc:
    source: {mysql: {host: odd-db, database: odd}}
    credential: {name: odd-reader, type: username-password}
datasets:
  - name: Odd
    from: 'we"ird ${env:HOME} (x|y)* $1 é😀'
    key: ['the "key"']
    columns:
      - {name: 'the "key"', type: bigint}
      - {name: 'a,b', type: text}
      - {name: "new\nline", type: text}
      - {name: '${env:PATH}', type: integer}
      - {name: vip, type: boolean}
---
kind: Workspace
name: odds
team: europe/sales
groups:
  - {name: all, retention: {live-only: {}}, latency: 5m, sinks: [odd#Odd]}
---
kind: Assignment
platform: main
workspace: odds
group: all
"#;

/// Every connector of the example of all sources and of the store above.
fn connectors() -> Vec<ConnectorPlan> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sources");
    let entries = std::fs::read_dir(example).expect("the example is there");
    let sources: Sources = entries
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a file of the model");
            (path.display().to_string(), text)
        })
        .chain([("odd.yaml".to_owned(), HOSTILE.to_owned())])
        .collect();
    let checked = check(&sources);
    let found: Vec<String> = checked
        .diagnostics
        .iter()
        .map(|found| found.to_plain(&sources))
        .collect();
    let model = checked.model.unwrap_or_else(|| panic!("{found:#?}"));
    let version = ModelVersion {
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        order: 1,
    };
    model
        .platforms
        .iter()
        .flat_map(|(id, _)| {
            let graph = IntentionGraph::build(&model, id);
            let planned = milepost_platform::plan(&model, &graph, &version);
            planned.plan.expect("the model has no errors").connect.files
        })
        .flat_map(|file| file.connectors)
        .collect()
}

/// Settings that a plugin of any sort defines.
fn defined(rest: &Rest, class: &str) -> BTreeSet<String> {
    let answer = rest
        .get(&format!("connector-plugins/{class}/config"))
        .unwrap_or_else(|error| panic!("{class}: {error:#}"));
    let definitions = answer.as_array().expect("definitions are a list");
    definitions
        .iter()
        .filter_map(|definition| definition["name"].as_str().map(str::to_owned))
        .collect()
}

/// The settings of a connector that neither Kafka Connect nor a plugin of it defines.
fn undefined<'a>(
    config: &'a BTreeMap<String, String>,
    defined: &mut impl FnMut(&str) -> BTreeSet<String>,
) -> Vec<&'a str> {
    let own = defined(&config["connector.class"]);
    config
        .keys()
        .filter_map(|key| {
            if own.contains(key) {
                return None;
            }
            if let Some(setting) = key.strip_prefix("topic.creation.default.") {
                return (!TOPIC_GROUP.contains(&setting)).then_some(key.as_str());
            }
            for converter in ["key.converter", "value.converter"] {
                if let Some(setting) = key.strip_prefix(&format!("{converter}.")) {
                    return (!defined(&config[converter]).contains(setting))
                        .then_some(key.as_str());
                }
            }
            for kind in ["transforms", "predicates"] {
                if let Some(named) = key.strip_prefix(&format!("{kind}.")) {
                    let (alias, setting) = named.split_once('.').expect("a setting of an alias");
                    let listed = config[kind].split(',').any(|listed| listed == alias);
                    assert!(listed, "{key} belongs to none of {}", config[kind]);
                    let of_connect = ["type", "predicate"].contains(&setting);
                    let class = &config[&format!("{kind}.{alias}.type")];
                    let known = of_connect || defined(class).contains(setting);
                    return (!known).then_some(named);
                }
            }
            Some(key.as_str())
        })
        .collect()
}

#[test]
fn the_plugins_take_every_setting() {
    let rest = Stack::shared().connect.rest();
    let connectors = connectors();
    let mut of_class = BTreeMap::new();
    let mut defined = |class: &str| -> BTreeSet<String> {
        of_class
            .entry(class.to_owned())
            .or_insert_with(|| defined(rest, class))
            .clone()
    };
    let releases = rest.plugins().expect("the worker has plugins");
    let mut read_by_others = BTreeSet::new();
    let mut classes = BTreeSet::new();
    for connector in &connectors {
        let mut config = connector.config.clone();
        config.insert("name".to_owned(), connector.name.clone());
        let is_source = config.contains_key("database.hostname");
        if is_source {
            // An address that refuses at once.
            config.insert("database.hostname".to_owned(), "127.0.0.1".to_owned());
            config.insert("database.port".to_owned(), "1".to_owned());
        }
        let wrong = rest
            .validate(&config)
            .unwrap_or_else(|error| panic!("{}: {error:#}", connector.name));
        let settings: Vec<&str> = wrong.keys().map(String::as_str).collect();
        // Each plugin says of the address that nobody answers there, and of nothing else.
        let expected: &[&str] = if is_source {
            &["database.hostname"]
        } else {
            &[]
        };
        assert_eq!(settings, expected, "{}: {wrong:#?}", connector.name);
        for key in undefined(&config, &mut defined) {
            let known = READ_BY_OTHERS.iter().any(|(known, _)| *known == key);
            assert!(known, "{}: nobody reads `{key}`", connector.name);
            read_by_others.insert(key.to_owned());
        }
        let class = &config["connector.class"];
        let release = releases.get(class).map(String::as_str);
        assert!(release.is_some(), "{class} is a plugin");
        assert_eq!(
            release_of(class),
            release,
            "what `doctor` asks for of {class}"
        );
        classes.insert(class.clone());
    }
    let excused: BTreeSet<String> = READ_BY_OTHERS.map(|(key, _)| key.to_owned()).into();
    assert_eq!(read_by_others, excused, "what is excused is also rendered");
    assert_eq!(classes.len(), 6, "five sources and the sink: {classes:?}");
}
