//! A plan goes in, the text of every file comes out; nothing is read, written or decided here.
//!
//! What a template wants to know, the plan says: this crate never sees the model. The files of platform `P` are
//! `P/platform.json`, `P/streams/`, `P/airflow/`, `P/terraform/` or `P/strimzi/`, and `P/sources/`. The same plan gives the same bytes.
//!
//! Reading order: [`render`], [`Artifacts`], then `airflow`, `terraform` and `strimzi`, and `engine` for how text is escaped.

mod airflow;
mod artifact;
mod engine;
mod sources;
mod strimzi;
mod terraform;

pub use artifact::{ArtifactPath, Artifacts};
pub use engine::TemplateError;

use milepost_platform::plan::{ConnectorResources, Plan};

/// Every file of a plan.
///
/// # Errors
/// [`TemplateError`] if a template of ours is broken; no plan makes a sound one fail.
pub fn render(plan: &Plan) -> Result<Artifacts, TemplateError> {
    let platform = plan.index.platform.as_str();
    let mut artifacts = Artifacts::new();
    let mut add = |parts: &[&str], text: String| {
        artifacts.insert(ArtifactPath::new(&[&[platform], parts].concat()), text);
    };
    add(&["platform.json"], plan.index.to_json());
    for (file, spec) in &plan.streams {
        add(&[file], spec.to_json());
    }
    for file in &plan.airflow.files {
        let name = format!("{}.py", file.module);
        add(
            &["airflow", &name],
            airflow::store_file(file, plan.airflow.version)?,
        );
    }
    match &plan.connect.resources {
        ConnectorResources::Terraform => {
            add(
                &["terraform", "main.tf"],
                terraform::main_file(&plan.connect)?,
            );
            add(
                &["terraform", "wait-for-running.sh"],
                terraform::WAIT_FOR_RUNNING.to_owned(),
            );
            for file in &plan.connect.files {
                let name = format!("{}.tf", file.name);
                add(&["terraform", &name], terraform::store_file(file)?);
            }
        }
        ConnectorResources::Strimzi { namespace, cluster } => {
            for file in &plan.connect.files {
                let name = format!("{}.yaml", file.name);
                let text = strimzi::store_file(file, namespace, cluster)?;
                add(&["strimzi", &name], text);
            }
        }
    }
    for files in &plan.sources {
        add(&[&files.folder, "prepare.sql"], sources::prepare(files)?);
        add(&[&files.folder, "snapshot.sql"], sources::snapshot(files)?);
    }
    Ok(artifacts)
}
