//! The laws of the house that a tool can hold: who may import whom, shared lints, files of one noun.

#[path = "house/known_failures.rs"]
mod known_failures;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A crate of ours and which crates of ours it may import; whatever is not here may not exist.
const LAYERS: &[(&str, &[&str])] = &[
    ("milepost-dsl", &[]),
    ("milepost-job-spec", &[]),
    ("milepost-platform", &["milepost-dsl", "milepost-job-spec"]),
    (
        "milepost-render",
        &["milepost-platform", "milepost-job-spec"],
    ),
    ("milepost-merge-job", &["milepost-job-spec"]),
    ("milepost-simulator", &["milepost-job-spec"]),
    (
        "milepost-cli",
        &[
            "milepost-dsl",
            "milepost-job-spec",
            "milepost-platform",
            "milepost-render",
            "milepost-simulator",
        ],
    ),
    (
        "acceptance",
        &[
            "milepost-dsl",
            "milepost-job-spec",
            "milepost-platform",
            "milepost-render",
            "milepost-merge-job",
            "milepost-simulator",
            "milepost-cli",
        ],
    ),
];

/// Crates that a pure layer must never see, with the reason.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    (
        "milepost-dsl",
        // `chrono` is there for calendar dates; the crate's own clippy.toml bans its clock.
        &["tokio", "tokio-postgres", "git2", "rand"],
        "the model has no I/O, clock or chance",
    ),
    (
        "milepost-platform",
        &["tokio", "tokio-postgres", "git2", "chrono", "rand"],
        "a plan is made without I/O, clock or chance",
    ),
    (
        "milepost-render",
        &["tokio", "tokio-postgres", "git2", "chrono", "rand"],
        "artifacts are rendered in memory",
    ),
    (
        "milepost-simulator",
        &["tokio", "tokio-postgres", "chrono"],
        "a history comes from its seed alone",
    ),
];

/// More than this and a file holds two nouns.
const MAX_LINES: usize = 600;

/// Each workspace crate with the names of its normal dependencies.
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn the_layers_hold() {
    assert_eq!(violations(&graph()), Vec::<String>::new());
}

#[test]
fn a_forbidden_import_is_found() {
    let mut graph: Graph = LAYERS
        .iter()
        .map(|(name, _)| ((*name).to_owned(), BTreeSet::new()))
        .collect();
    let mut import = |name: &str, other: &str| {
        graph
            .entry(name.to_owned())
            .or_default()
            .insert(other.to_owned());
    };
    import("milepost-render", "milepost-dsl");
    import("milepost-render", "milepost-platform");
    import("milepost-platform", "tokio-postgres");
    graph.insert("milepost-helper".to_owned(), BTreeSet::new());
    graph.remove("milepost-simulator");
    assert_eq!(
        violations(&graph),
        [
            "`milepost-helper` has no layer",
            "`milepost-platform` imports `tokio-postgres`: a plan is made without I/O, clock or chance",
            "`milepost-render` may not import `milepost-dsl`",
            "`milepost-simulator` has a layer and does not exist",
        ]
    );
}

#[test]
fn every_crate_uses_the_shared_lints() {
    for package in packages() {
        let manifest = package["manifest_path"]
            .as_str()
            .expect("a package has a manifest");
        let text = std::fs::read_to_string(manifest).expect("the manifest is readable");
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{manifest}: add `[lints]` with `workspace = true`"
        );
    }
}

#[test]
fn no_file_of_ours_is_too_long() {
    let too_long: Vec<String> = files()
        .into_iter()
        .filter(|path| {
            path.extension()
                .is_some_and(|e| ["rs", "tera", "sql", "py"].iter().any(|x| e == *x))
        })
        .map(|path| {
            (
                std::fs::read_to_string(&path)
                    .unwrap_or_default()
                    .lines()
                    .count(),
                path,
            )
        })
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert_eq!(
        too_long,
        Vec::<String>::new(),
        "split a file at its second noun"
    );
}

#[test]
fn nothing_names_a_place_on_one_machine() {
    let here = workspace();
    // Written in two parts, so that this file is not what it looks for.
    let mut places = vec![
        concat!("/ro", "ot/").to_owned(),
        concat!("/ho", "me/").to_owned(),
    ];
    places.push(format!("{}/", here.display()));
    let mut found = Vec::new();
    for path in files() {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let named = places.iter().filter(|place| text.contains(place.as_str()));
        found.extend(named.map(|place| format!("{} names {place}", path.display())));
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_reference_merge_can_be_checked_by_reading() {
    let path = workspace().join("tests/src/reference_merge.rs");
    let text = std::fs::read_to_string(path).expect("it stands there");
    let is_code = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("//") && !line.starts_with("use ")
    };
    let lines = text.lines().filter(is_code).count();
    assert!(lines <= 100, "{lines} lines of code");
}

fn violations(graph: &Graph) -> Vec<String> {
    let layers: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut found = Vec::new();
    for (name, imports) in graph {
        let Some(allowed) = layers.get(name.as_str()) else {
            found.push(format!("`{name}` has no layer"));
            continue;
        };
        for import in imports {
            let ours = graph.contains_key(import) || layers.contains_key(import.as_str());
            if ours && !allowed.contains(&import.as_str()) {
                found.push(format!("`{name}` may not import `{import}`"));
            }
            let banned = FORBIDDEN
                .iter()
                .filter(|(layer, banned, _)| layer == name && banned.contains(&import.as_str()));
            found.extend(banned.map(|(_, _, why)| format!("`{name}` imports `{import}`: {why}")));
        }
    }
    let missing = layers.keys().filter(|name| !graph.contains_key(**name));
    found.extend(missing.map(|name| format!("`{name}` has a layer and does not exist")));
    found.sort();
    found
}

fn graph() -> Graph {
    let normal = |dependency: &&Value| dependency["kind"].is_null();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    packages()
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().into_iter().flatten();
            (
                name(package),
                dependencies.filter(normal).map(name).collect(),
            )
        })
        .collect()
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(workspace())
        .output()
        .expect("cargo runs tests, so it is there");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    metadata["packages"]
        .as_array()
        .expect("metadata has packages")
        .clone()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests stand in the workspace")
        .to_owned()
}

/// Every text file of the project; in a checkout those that git knows or would add, else all but what is built.
fn files() -> Vec<PathBuf> {
    let root = workspace();
    let listed = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .current_dir(&root)
        .output();
    if let Some(output) = listed.ok().filter(|output| output.status.success()) {
        let names = String::from_utf8_lossy(&output.stdout).into_owned();
        return names
            .split_terminator('\0')
            .map(|name| root.join(name))
            .collect();
    }
    let (mut found, mut directories) = (Vec::new(), vec![root]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            match path.is_dir() {
                true if name != "target" && name != ".git" => directories.push(path),
                true => {}
                false => found.push(path),
            }
        }
    }
    found
}
