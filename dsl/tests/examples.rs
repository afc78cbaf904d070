//! The example models are green, and their graphs are what their readers asked for.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests read their fixtures from files"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use milepost_dsl::spec::SourceKind;
use milepost_dsl::{GraphFormat, IntentionGraph, Sources, check};
use test_case::test_case;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn example(name: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name);
    files(&root)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test_case("shop")]
#[test_case("sources")]
fn an_example_has_no_finding(name: &str) {
    let sources: Sources = example(name).into_iter().collect();
    let checked = check(&sources);
    let findings: String = checked
        .diagnostics
        .iter()
        .map(|found| found.to_plain(&sources))
        .collect();
    assert_eq!(findings, "");
    assert!(checked.model.is_some());
}

#[test]
fn the_graph_of_the_shop_is_what_was_asked_for() {
    let sources: Sources = example("shop").into_iter().collect();
    let model = check(&sources).model.unwrap();
    let graph = IntentionGraph::build(&model, model.platform_named("main").unwrap());
    for (name, format) in [
        ("text", GraphFormat::Text),
        ("mermaid", GraphFormat::Mermaid),
        ("dot", GraphFormat::Dot),
        ("json", GraphFormat::Json),
    ] {
        insta::assert_snapshot!(
            format!("example_graph_{name}"),
            graph.to_text(&model, format)
        );
    }
}

#[test]
fn every_kind_of_source_has_an_example_and_so_have_topics() {
    let sources: Sources = example("sources").into_iter().collect();
    let model = check(&sources).model.unwrap();
    let stores = model.datastores.values();
    let captured: BTreeSet<SourceKind> = stores
        .filter_map(|store| Some(store.ingestion.cdc()?.source.kind()))
        .collect();
    assert!(captured.iter().eq(SourceKind::ALL), "{captured:?}");
    assert!(
        model
            .datastores
            .values()
            .any(|store| store.ingestion.topics().is_some())
    );
}

#[test]
fn the_order_of_files_changes_nothing() {
    let ordered: Sources = example("shop").into_iter().collect();
    let reversed: Sources = example("shop").into_iter().rev().collect();
    let text = |sources: &Sources| {
        let model = check(sources).model.unwrap();
        let graph = IntentionGraph::build(&model, model.platform_named("main").unwrap());
        graph.to_text(&model, GraphFormat::Json)
    };
    assert_eq!(text(&ordered), text(&reversed));
}
