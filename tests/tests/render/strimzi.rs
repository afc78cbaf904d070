//! Connectors as resources of Strimzi, read back by a reader that knows the fields of a `KafkaConnector` and no others.

use std::collections::{BTreeMap, BTreeSet};

use milepost_platform::plan::{ConnectorResources, Plan};
use milepost_render::render;
use serde::Deserialize;

use crate::{hostile, project};

/// A `KafkaConnector`, as far as it is rendered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KafkaConnector {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    namespace: String,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    class: Option<String>,
    tasks_max: Option<u32>,
    state: String,
    auto_restart: AutoRestart,
    config: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoRestart {
    enabled: bool,
}

fn read(text: &str) -> Vec<KafkaConnector> {
    let connectors: Vec<KafkaConnector> =
        serde_yaml::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    for connector in &connectors {
        assert_eq!(connector.api_version, "kafka.strimzi.io/v1");
        assert_eq!(connector.kind, "KafkaConnector");
        assert_eq!(connector.spec.state, "running");
        assert!(connector.spec.auto_restart.enabled);
    }
    connectors
}

/// The configuration of every connector in a file as Terraform would have it, with what is a field of the resource.
pub(crate) fn configurations(text: &str) -> Vec<BTreeMap<String, String>> {
    read(text)
        .into_iter()
        .map(|KafkaConnector { metadata, spec, .. }| {
            let fields = [
                ("name", Some(metadata.name)),
                ("connector.class", spec.class),
                ("tasks.max", spec.tasks_max.map(|tasks| tasks.to_string())),
            ];
            let fields = fields.into_iter();
            spec.config
                .into_iter()
                .chain(fields.filter_map(|(key, value)| Some((key.to_owned(), value?))))
                .collect()
        })
        .collect()
}

/// A subdomain of RFC 1123, the law for names of such resources.
fn is_subdomain(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_label = |label: &str| {
        edge(label.chars().next())
            && edge(label.chars().next_back())
            && label.chars().all(|c| edge(Some(c)) || c == '-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn plans() -> Vec<Plan> {
    let sources = project::files("examples/sources").into_iter().collect();
    project::plans(&sources)
}

#[test]
fn every_connector_of_the_plan_is_a_resource() {
    let plan = plans()
        .into_iter()
        .find(|plan| plan.connect.resources != ConnectorResources::Terraform)
        .expect("the example has a platform that asks for Strimzi");
    let artifacts = render(&plan).expect("the templates are sound");
    let terraform = artifacts
        .keys()
        .find(|path| path.as_str().contains("/terraform/"));
    assert_eq!(terraform, None);
    let mut names = BTreeSet::new();
    for file in &plan.connect.files {
        let path = format!("{}/strimzi/{}.yaml", plan.index.platform, file.store);
        let (_, text) = artifacts
            .iter()
            .find(|(own, _)| own.as_str() == path)
            .unwrap_or_else(|| panic!("{path} is rendered"));
        let connectors = read(text);
        assert_eq!(connectors.len(), file.connectors.len());
        for (connector, planned) in connectors.into_iter().zip(&file.connectors) {
            let KafkaConnector { metadata, spec, .. } = connector;
            // The resource's name is the connector's: who changes from Terraform to Strimzi keeps offsets and groups.
            assert_eq!(metadata.name, planned.name);
            assert!(is_subdomain(&metadata.name), "{}", metadata.name);
            assert_eq!(metadata.namespace, "acme-goods");
            let cluster = ("strimzi.io/cluster".to_owned(), "goods".to_owned());
            assert_eq!(metadata.labels, BTreeMap::from([cluster]));
            let mut config = planned.config.clone();
            assert_eq!(spec.class, config.remove("connector.class"));
            let tasks = spec.tasks_max.map(|tasks| tasks.to_string());
            assert_eq!(tasks, config.remove("tasks.max"));
            assert!(!config.contains_key("name"));
            assert_eq!(spec.config, config);
            assert!(names.insert(metadata.name), "a name is taken once");
        }
    }
}

#[test]
fn yaml_reads_hostile_texts_back_unchanged() {
    let mut plan = hostile::plan();
    plan.connect.resources = ConnectorResources::Strimzi {
        namespace: hostile::text(),
        cluster: hostile::text(),
    };
    let text = hostile::file("main/strimzi/store_shop.yaml", &plan);
    let [connector] = <[KafkaConnector; 1]>::try_from(read(&text)).expect("one connector");
    for value in [
        &connector.metadata.name,
        &connector.metadata.namespace,
        &connector.metadata.labels["strimzi.io/cluster"],
        &connector.spec.config["topics"],
    ] {
        assert_eq!(value, hostile::HOSTILE);
    }
}
