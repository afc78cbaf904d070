use super::{About, Rule};
use crate::{Diagnostic, Model, RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("no-platform"),
    severity: Severity::Error,
    summary: "the model has a platform",
    explanation: "Without a platform nothing runs and nothing is rendered. The ecosystem declares it under `platforms`; its own repository writes the document of `kind: Platform`.",
};

pub(crate) struct NoPlatform;

impl Rule<Model> for NoPlatform {
    fn about(&self) -> &'static About {
        &RULE
    }

    fn check(&self, model: &Model, findings: &mut Vec<Diagnostic>) {
        if model.platforms.is_empty() {
            let name = &model.ecosystem.name;
            let message = "the model has no platform, so nothing can be rendered or run";
            let help = "declare one under `platforms` of the ecosystem and write its document of \
                        `kind: Platform`";
            findings.push(
                RULE.finding(name.to_string(), name.span, message)
                    .with_help(help),
            );
        }
    }

    fn judges_absence(&self) -> bool {
        true
    }
}
