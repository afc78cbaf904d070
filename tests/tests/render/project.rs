//! Models of this repository: read, planned and rendered.

use std::path::{Path, PathBuf};

use milepost_dsl::{IntentionGraph, Model, Severity, Sources};
use milepost_job_spec::ModelVersion;
use milepost_platform::plan::Plan;

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file of a model with its path below the model's root.
pub(crate) fn files(project: &str) -> Vec<(String, String)> {
    let base = root().join(project);
    let mut files = Vec::new();
    let mut folders = vec![base.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the model") {
            let path = entry.expect("an entry of the folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") {
                let name = path.strip_prefix(&base).expect("below the model's root");
                let text = std::fs::read_to_string(&path).expect("a file of the model");
                files.push((name.to_string_lossy().replace('\\', "/"), text));
            }
        }
    }
    files.sort();
    files
}

/// A model without errors.
pub(crate) fn model(sources: &Sources) -> Model {
    let checked = milepost_dsl::check(sources);
    let errors: Vec<String> = checked
        .diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error)
        .map(|found| found.to_plain(sources))
        .collect();
    checked
        .model
        .unwrap_or_else(|| panic!("{}", errors.concat()))
}

/// The version that every plan here is made from.
pub(crate) fn version() -> ModelVersion {
    ModelVersion {
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        order: 7,
    }
}

/// The plans of all platforms that have one, in the order of their names.
pub(crate) fn plans(sources: &Sources) -> Vec<Plan> {
    let model = model(sources);
    model
        .platforms
        .iter()
        .filter_map(|(id, _)| {
            let graph = IntentionGraph::build(&model, id);
            let planned = milepost_platform::plan(&model, &graph, &version());
            let errors: Vec<String> = planned
                .diagnostics
                .iter()
                .filter(|found| found.severity == Severity::Error)
                .map(|found| found.to_plain(sources))
                .collect();
            assert!(errors.is_empty(), "{}", errors.concat());
            planned.plan
        })
        .collect()
}
