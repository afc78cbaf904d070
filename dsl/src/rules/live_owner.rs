use super::{About, Rule};
use crate::Spanned;
use crate::scalar::Repository;
use crate::{Diagnostic, Model, RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("live-owner"),
    severity: Severity::Error,
    summary: "the live branch is no owner",
    explanation: "Platforms run from the live branch, and every change reaches it through a pull request from the repository and branch that own what changes. If the live branch were an owner, a push to it would be its own approval.",
};

pub(crate) struct LiveOwner;

impl Rule<Model> for LiveOwner {
    fn about(&self) -> &'static About {
        &RULE
    }

    fn check(&self, model: &Model, findings: &mut Vec<Diagnostic>) {
        let ecosystem = &model.ecosystem;
        let mut check = |object: String, owner: &Spanned<Repository>| {
            if owner.admits(&ecosystem.live) {
                let message = format!("`{owner}` owns `{object}` and is the live branch");
                findings.push(
                    RULE.finding(object, owner.span, message)
                        .with_related(ecosystem.live.span, "platforms run from here")
                        .with_help("let the owner work in a branch of its own"),
                );
            }
        };
        check(ecosystem.name.to_string(), &ecosystem.repository);
        for (name, owner) in &ecosystem.zones {
            check(name.to_string(), owner);
        }
        for (name, owner) in &ecosystem.platforms {
            check(name.to_string(), owner);
        }
        for zone in model.zones.values() {
            for (name, owner) in &zone.teams {
                check(format!("{}/{name}", zone.name), owner);
            }
        }
    }
}
