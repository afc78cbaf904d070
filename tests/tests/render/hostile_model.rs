//! A model with names that mean something to whoever passes them on: they reach connectors unchanged and mean nothing there.

use std::collections::{BTreeMap, BTreeSet};

use milepost_dsl::Sources;
use milepost_platform::plan::{ConnectorPlan, ConnectorResources, Plan};

use crate::{hostile, project, strimzi, terraform};

/// A store with names that mean something to a shell, SQL, HCL, YAML, a regular expression, a list, Kafka Connect or Kafka, on a
/// platform that renders Terraform and on one that renders for Strimzi.
fn model() -> String {
    let long = "x".repeat(64);
    format!(
        r#"
kind: Datastore
name: odd
team: europe/sales
ingestion:
  cdc:
    source: {{mysql: {{host: odd-db, database: odd}}}}
    credential: {{name: odd-reader, type: username-password}}
    consistency: multi-dataset
datasets:
  - name: 'We"ird %{{x}} ${{env:HOME}} (x|y)* $1 é😀'
    key: ['the "key"']
    columns:
      - {{name: 'the "key"', type: bigint}}
      - {{name: 'a,b', type: text}}
      - {{name: "new\nline", type: text}}
      - {{name: '${{env:PATH}}', type: integer}}
      - {{name: 'select', type: boolean}}
      - {{name: 'a|b.c', type: boolean}}
      - {{name: {long}, type: jsonb}}
  - name: {one}
    key: [id]
    columns: [{{name: id, type: bigint}}, {{name: doc, type: jsonb}}]
  - name: {other}
    key: [id]
    columns: [{{name: id, type: bigint}}, {{name: doc, type: jsonb}}]
---
kind: Workspace
name: odds
team: europe/sales
groups:
  - name: all
    retention: {{live-only: {{}}}}
    latency: 5m
    sinks: ['odd#We"ird %{{x}} ${{env:HOME}} (x|y)* $1 é😀', 'odd#{one}', 'odd#{other}']
---
kind: Assignment
platform: main
workspace: odds
group: all
---
kind: Assignment
platform: cluster
workspace: odds
group: all
"#,
        one = format!("{}1", &long[..63]),
        other = format!("{}2", &long[..63]),
    )
}

/// The connectors of the store above as planned, on each platform, with the text of their file.
fn connectors() -> Vec<(Plan, Vec<ConnectorPlan>, String)> {
    let mut files = project::files("examples/sources");
    files.push(("odd.yaml".to_owned(), model()));
    let sources: Sources = files.into_iter().collect();
    let plans = project::plans(&sources).into_iter();
    plans
        .map(|plan| {
            let found = plan.connect.files.iter().find(|file| file.store == "odd");
            let connectors = found.expect("the store has connectors").connectors.clone();
            let platform = &plan.index.platform;
            let path = match plan.connect.resources {
                ConnectorResources::Terraform => format!("{platform}/terraform/store_odd.tf"),
                ConnectorResources::Strimzi { .. } => format!("{platform}/strimzi/odd.yaml"),
            };
            let text = hostile::file(&path, &plan);
            (plan, connectors, text)
        })
        .collect()
}

#[test]
fn names_reach_connectors_unchanged() {
    let all = connectors();
    assert_eq!(all.len(), 2);
    for (plan, planned, text) in all {
        let rendered: Vec<BTreeMap<String, String>> = match plan.connect.resources {
            ConnectorResources::Terraform => {
                let body = terraform::parse("store_odd.tf", &text);
                let mut rendered = terraform::connectors(&body);
                planned
                    .iter()
                    .filter_map(|connector| rendered.remove(&connector.resource))
                    .collect()
            }
            ConnectorResources::Strimzi { .. } => strimzi::configurations(&text),
        };
        let expected: Vec<BTreeMap<String, String>> = planned
            .into_iter()
            .map(|connector| {
                let name = ("name".to_owned(), connector.name);
                connector.config.into_iter().chain([name]).collect()
            })
            .collect();
        assert_eq!(rendered, expected);
    }
}

#[test]
fn names_mean_nothing_to_kafka_connect() {
    for (_, planned, _) in connectors() {
        for ConnectorPlan { name, config, .. } in planned {
            for (key, value) in &config {
                // References that are ours: secrets, and the topic in the name of a table.
                let ours = key.ends_with(".user")
                    || key.ends_with("username")
                    || key.ends_with("password")
                    || value.ends_with(".${topic}");
                assert!(ours || !value.contains("${"), "{name}: {key} = {value}");
            }
            for kind in ["transforms", "predicates"] {
                let aliases: Vec<&str> = config
                    .get(kind)
                    .map(|aliases| aliases.split(',').collect())
                    .unwrap_or_default();
                let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                for alias in &aliases {
                    assert!(!alias.is_empty() && alias.chars().all(legal), "{alias}");
                    assert!(config.contains_key(&format!("{kind}.{alias}.type")));
                }
                let distinct: BTreeSet<&&str> = aliases.iter().collect();
                assert_eq!(distinct.len(), aliases.len(), "{aliases:?}");
            }
        }
    }
}

#[test]
fn names_are_told_apart_in_staging() {
    for (_, planned, _) in connectors() {
        let sink = planned
            .iter()
            .find(|connector| connector.name.ends_with(".sink"))
            .expect("a sink");
        let tables: BTreeSet<&str> = sink
            .config
            .iter()
            .filter(|(key, _)| key.ends_with(".replacement"))
            .map(|(_, table)| table.as_str())
            .collect();
        assert_eq!(tables.len(), 3, "{tables:?}");
        assert!(tables.iter().all(|table| table.len() <= 63), "{tables:?}");
        // The name with quotation marks and the one that is too long.
        let renames = &sink.config["transforms.rename.renames"];
        assert_eq!(renames.split(',').count(), 2, "{renames}");
        assert!(
            renames.contains("the \"key\":the__key__d826608d"),
            "{renames}"
        );
    }
}
