//! The intention graph holds what was asked for, as strict as the strictest wants it, and nothing else.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use milepost_dsl::graph::History;
use milepost_dsl::spec::Versions;
use milepost_dsl::{GraphFormat, IntentionGraph, Model, Sources, check};

const MODEL: &str = "kind: Ecosystem
name: acme
language: 1
repository: github:acme/model@ecosystem
live: github:acme/model@main
zones: {europe: \"github:acme/model@europe\"}
platforms: {main: \"github:acme/platform@main\", other: \"github:acme/platform@other\"}
---
kind: GovernanceZone
name: europe
teams: {sales: \"github:acme/sales@main\"}
---
kind: Team
name: europe/sales
---
kind: Datastore
name: shop
team: europe/sales
ingestion:
  cdc:
    source: {postgres: {host: db, database: shop}}
    credential: {name: reader, type: username-password}
    consistency: CONSISTENCY
datasets:
  - {name: orders, key: [id], columns: [{name: id, type: bigint}]}
  - {name: customers, key: [id], columns: [{name: id, type: bigint}]}
  - {name: nobody-asks, key: [id], columns: [{name: id, type: bigint}]}
---
kind: Workspace
name: risk
team: europe/sales
groups:
  - {name: year, retention: {milestoned: {minimum: 365d, versions: last-per-batch}}, latency: 1h, sinks: [shop#orders]}
  - {name: week, retention: {milestoned: {minimum: 7d, versions: all}}, latency: 10m, sinks: [shop#orders]}
  - {name: desk, retention: {live-only: {}}, latency: 5m, sinks: [shop#customers, shop#orders]}
  - {name: elsewhere, retention: {milestoned: {minimum: 900d}}, latency: 5m, sinks: [shop#customers]}
---
{kind: Assignment, platform: main, workspace: risk, group: year}
---
{kind: Assignment, platform: main, workspace: risk, group: week}
---
{kind: Assignment, platform: main, workspace: risk, group: desk}
---
{kind: Assignment, platform: other, workspace: risk, group: elsewhere}
---
{kind: Platform, name: main, implementation: {external: {}}}
---
{kind: Platform, name: other, implementation: {external: {}}}
";

fn model(consistency: &str) -> Model {
    let text = MODEL.replace("CONSISTENCY", consistency);
    let sources: Sources = [("model.yaml", text)].into_iter().collect();
    let checked = check(&sources);
    let findings: String = checked
        .diagnostics
        .iter()
        .map(|found| found.to_plain(&sources))
        .collect();
    assert_eq!(findings, "");
    checked.model.unwrap()
}

fn graph(model: &Model, platform: &str) -> IntentionGraph {
    IntentionGraph::build(model, model.platform_named(platform).unwrap())
}

#[test]
fn a_dataset_is_kept_as_its_strictest_reader_wants_it() {
    let model = model("single-dataset");
    let graph = graph(&model, "main");
    let orders = &graph.ingests[0].datasets[0];
    assert_eq!(
        orders.history,
        History::Milestoned {
            minimum: "365d".parse().unwrap(),
            versions: Versions::All
        }
    );
    assert_eq!(orders.latency, "5m".parse().unwrap());
    assert_eq!(orders.consumers.len(), 3);
}

#[test]
fn what_another_platform_serves_changes_nothing_here() {
    let model = model("single-dataset");
    let main = graph(&model, "main");
    assert_eq!(main.ingests[1].datasets[0].history, History::LiveOnly);
    let other = graph(&model, "other");
    assert_eq!(other.ingests.len(), 1);
    assert_eq!(other.exports.len(), 1);
}

#[test]
fn each_dataset_of_a_single_dataset_store_comes_in_by_itself() {
    let model = model("single-dataset");
    insta::assert_snapshot!(graph(&model, "main").to_text(&model, GraphFormat::Text));
}

#[test]
fn a_multi_dataset_store_brings_in_only_what_was_asked_for() {
    let model = model("multi-dataset");
    insta::assert_snapshot!(graph(&model, "main").to_text(&model, GraphFormat::Text));
}

#[test]
fn a_name_cannot_break_out_of_a_drawing() {
    let text = MODEL
        .replace("CONSISTENCY", "single-dataset")
        .replace("name: orders", r#"name: 'a"]; --> <b>\'"#)
        .replace("shop#orders", r#"'shop#a"]; --> <b>\'"#);
    let sources: Sources = [("model.yaml", text)].into_iter().collect();
    let model = check(&sources).model.unwrap();
    let graph = graph(&model, "main");
    insta::assert_snapshot!(graph.to_text(&model, GraphFormat::Mermaid));
    insta::assert_snapshot!(graph.to_text(&model, GraphFormat::Dot));
}
