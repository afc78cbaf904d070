use super::{About, Rule};
use std::collections::BTreeSet;
use std::fmt::Display;

use crate::{Diagnostic, Model, RuleId, Severity};
use crate::{Span, Spanned};

pub(crate) static RULE: About = About {
    id: RuleId::new("undefined"),
    severity: Severity::Warning,
    summary: "everything that is declared is defined",
    explanation: "A declaration keeps a name for a repository. Until that repository defines the zone, team or platform, nothing can belong to it.",
};

pub(crate) struct Undefined;

impl Rule<Model> for Undefined {
    fn about(&self) -> &'static About {
        &RULE
    }

    fn check(&self, model: &Model, findings: &mut Vec<Diagnostic>) {
        let zones: BTreeSet<_> = model.zones.values().map(|zone| &zone.name.value).collect();
        for (name, repository) in &model.ecosystem.zones {
            if !zones.contains(&name.value) {
                findings.push(undefined(
                    "zone",
                    name,
                    name.span,
                    repository,
                    "GovernanceZone",
                ));
            }
        }
        let platforms: BTreeSet<_> = model
            .platforms
            .values()
            .map(|platform| &platform.name.value)
            .collect();
        for (name, repository) in &model.ecosystem.platforms {
            if !platforms.contains(&name.value) {
                findings.push(undefined(
                    "platform", name, name.span, repository, "Platform",
                ));
            }
        }
        let teams: BTreeSet<String> = model
            .teams
            .values()
            .map(|team| team.name.to_string())
            .collect();
        for zone in model.zones.values() {
            for (name, repository) in &zone.teams {
                let path = format!("{}/{name}", zone.name);
                if !teams.contains(&path) {
                    findings.push(undefined("team", &path, name.span, repository, "Team"));
                }
            }
        }
    }

    fn judges_absence(&self) -> bool {
        true
    }
}

fn undefined(
    what: &str,
    name: &dyn Display,
    span: Span,
    repository: &Spanned<crate::scalar::Repository>,
    kind: &str,
) -> Diagnostic {
    let message = format!("{what} `{name}` is declared and not defined");
    let help = format!("`{repository}` may add a document of `kind: {kind}` with this name");
    RULE.finding(name.to_string(), span, message)
        .with_help(help)
}
