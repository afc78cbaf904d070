//! A directory is read and judged by every rule: those of the language, and those of each platform.

use std::collections::BTreeMap;
use std::path::Path;

use milepost_dsl::model::PlatformId;
use milepost_dsl::{Diagnostic, IntentionGraph, Model, Severity, Sources, check, sort};
use milepost_job_spec::{ModelVersion, Outcome};
use milepost_platform::plan;
use milepost_platform::plan::{AirflowVersion, Plan};
use milepost_render::{Artifacts, render};

use crate::failure::{Failure, chain};
use crate::{load, output, report, version};

/// A model as far as it could be understood, with everything that is wrong.
pub(crate) struct Inspection {
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Vec<Diagnostic>,
    model: Option<Model>,
}

/// A model without errors, and the graph of each of its platforms in name order.
pub(crate) struct Sound<'a> {
    pub(crate) model: &'a Model,
    pub(crate) graphs: Vec<IntentionGraph>,
}

/// Reads a directory and asks every rule.
pub(crate) fn inspect(dir: &Path) -> Result<Inspection, Failure> {
    let sources = load::directory(dir)?;
    let checked = check(&sources);
    let mut diagnostics = checked.diagnostics;
    if let Some(model) = &checked.model {
        for (platform, _) in model.platforms.iter() {
            let graph = IntentionGraph::build(model, platform);
            diagnostics.extend(milepost_platform::lint(model, &graph));
        }
        sort(&mut diagnostics, &sources);
    }
    Ok(Inspection {
        sources,
        diagnostics,
        model: checked.model,
    })
}

/// The plan of one platform of a model, for commands that look at what runs. None, and told, while any error stands.
pub(crate) fn planned(dir: &Path, platform: &str) -> Result<Option<Plan>, Failure> {
    let inspection = inspect(dir)?;
    let Some(sound) = inspection.sound(Some(platform))? else {
        report::refuse(
            &inspection,
            "a model with errors has no plan to compare with",
        );
        return Ok(None);
    };
    // What runs is compared by its contents: a clone that cannot count its commits is good enough to look.
    let version = version::of(dir).unwrap_or_else(|_| version::unversioned());
    let plan = sound
        .graphs
        .first()
        .and_then(|graph| plan(sound.model, graph, &version).plan);
    match plan {
        Some(plan) => Ok(Some(plan)),
        None => Err(Failure::usage(format!(
            "platform `{platform}` is run by others: Milepost runs nothing there that it could look at"
        ))
        .with_help("name a platform of kind `kubernetes-postgres`")),
    }
}

impl Sound<'_> {
    /// The files of every platform that we run, as of the version of the model that each is to have.
    pub(crate) fn artifacts(
        &self,
        version: impl Fn(&str) -> ModelVersion,
        airflow: Option<AirflowVersion>,
    ) -> Result<BTreeMap<String, Artifacts>, Failure> {
        let mut platforms = BTreeMap::new();
        for graph in &self.graphs {
            let name = self.model.platforms[graph.platform].name.to_string();
            let planned = plan(self.model, graph, &version(&name));
            let Some(mut plan) = planned.plan else {
                output::message(&format!(
                    "platform `{name}` is run by others: nothing to render"
                ));
                continue;
            };
            plan.airflow.version = airflow.unwrap_or(plan.airflow.version);
            let artifacts =
                render(&plan).map_err(|error| Failure::new(Outcome::Findings, chain(&error)))?;
            platforms.insert(name, artifacts);
        }
        Ok(platforms)
    }
}

impl Inspection {
    /// How many findings have this severity?
    pub(crate) fn count(&self, severity: Severity) -> usize {
        let findings = self.diagnostics.iter();
        findings.filter(|found| found.severity == severity).count()
    }

    /// What to build on: none while any error stands. With a name, the graph of that platform only.
    pub(crate) fn sound(&self, platform: Option<&str>) -> Result<Option<Sound<'_>>, Failure> {
        let Some(model) = &self.model else {
            return Ok(None);
        };
        if self.count(Severity::Error) > 0 {
            return Ok(None);
        }
        let chosen: Vec<PlatformId> = match platform {
            Some(name) => vec![
                model
                    .platform_named(name)
                    .ok_or_else(|| no_such(model, name))?,
            ],
            None => model.platforms.iter().map(|(id, _)| id).collect(),
        };
        let graph = |id| IntentionGraph::build(model, id);
        Ok(Some(Sound {
            model,
            graphs: chosen.into_iter().map(graph).collect(),
        }))
    }
}

fn no_such(model: &Model, name: &str) -> Failure {
    let names: Vec<String> = model
        .platforms
        .iter()
        .map(|(_, platform)| format!("`{}`", platform.name))
        .collect();
    Failure::usage(format!("the model has no platform `{name}`"))
        .with_help(format!("it has {}", names.join(", ")))
}
