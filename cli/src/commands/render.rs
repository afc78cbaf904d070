use std::path::Path;

use milepost_dsl::Severity;
use milepost_job_spec::{ModelVersion, Outcome, PlatformPlan};

use crate::args::RenderArgs;
use crate::failure::Failure;
use crate::inspect::{Inspection, inspect};
use crate::write::Target;
use crate::{output, report, version};

/// Writes the artifacts of a model, or says how the disk differs from them.
pub(super) fn run(args: &RenderArgs) -> Result<Outcome, Failure> {
    let inspection = inspect(&args.dir)?;
    let Some(sound) = inspection.sound(args.platform.as_deref())? else {
        report::refuse(&inspection, "a model with errors is not rendered");
        return Ok(Outcome::Findings);
    };
    let current = version::of(&args.dir)?;
    let version = |platform: &str| match args.check {
        true => rendered_from(&args.out, platform).unwrap_or_else(|| current.clone()),
        false => current.clone(),
    };
    let platforms = sound.artifacts(version, args.airflow.map(Into::into))?;
    let target = Target::compare(&args.out, &platforms, args.platform.is_none())?;
    if args.check {
        return Ok(check(&target, &args.out));
    }
    target.write()?;
    warn(&inspection);
    output::message(&format!("rendered {}: {target}", args.out.display()));
    Ok(Outcome::Done)
}

/// The version of the model that the artifacts on the disk were rendered from. A check compares as of it, so that a
/// commit that changes nothing that runs is no drift.
fn rendered_from(out: &Path, platform: &str) -> Option<ModelVersion> {
    let text = std::fs::read_to_string(out.join(platform).join("platform.json")).ok()?;
    Some(PlatformPlan::from_json(&text).ok()?.model)
}

/// Lists what differs.
fn check(target: &Target, out: &Path) -> Outcome {
    let drift: String = target
        .differences()
        .map(|(path, difference)| format!("{difference}: {}\n", path.display()))
        .collect();
    output::data(&drift);
    if drift.is_empty() {
        output::message(&format!(
            "{}: {} files, no drift",
            out.display(),
            target.unchanged()
        ));
        return Outcome::Done;
    }
    output::message(&format!(
        "`{}` differs from the model\nhelp: render without --check to make it equal",
        out.display()
    ));
    Outcome::Findings
}

/// A model without errors may have warnings, which nobody sees if only lint shows them.
fn warn(inspection: &Inspection) {
    if inspection.count(Severity::Warning) > 0 {
        output::message(&format!(
            "{}: `milepost lint` shows them",
            report::summary(inspection)
        ));
    }
}
