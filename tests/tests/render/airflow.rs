//! DAG files as Python sees them.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

/// What `describe.py` prints of a DAG file.
#[derive(Debug, Deserialize)]
pub(crate) struct Described {
    /// The module's docstring.
    pub(crate) doc: String,
    /// Its DAGs with the arguments they were made with, and their tasks under `tasks`.
    pub(crate) dags: Vec<Value>,
}

/// Compiles and imports a DAG file against the stubs of an Airflow.
pub(crate) fn import(text: &str, airflow: &str) -> Described {
    let stubs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/airflow-stubs");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("rendered.py");
    std::fs::write(&file, text).expect("the file is written");
    let output = Command::new("python3")
        .args(["-B", "-W", "error"])
        .arg(stubs.join("describe.py"))
        .arg(&file)
        .env("PYTHONPATH", &stubs)
        .env("AIRFLOW_STUB", airflow)
        .output()
        .expect("python3 is installed");
    assert!(
        output.status.success(),
        "{}\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("describe.py prints JSON")
}
