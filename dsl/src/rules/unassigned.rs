use super::{About, Rule};
use std::collections::BTreeSet;

use crate::{Diagnostic, Model, RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("unassigned"),
    severity: Severity::Warning,
    summary: "every group is assigned to a platform",
    explanation: "A group that no platform serves gets no data. The platform's repository owns the document of `kind: Assignment`; ask its team for one.",
};

pub(crate) struct Unassigned;

impl Rule<Model> for Unassigned {
    fn about(&self) -> &'static About {
        &RULE
    }

    fn check(&self, model: &Model, findings: &mut Vec<Diagnostic>) {
        let assigned: BTreeSet<_> = model
            .assignments
            .iter()
            .map(|assigned| assigned.group)
            .collect();
        for (id, group) in model.groups.iter().filter(|(id, _)| !assigned.contains(id)) {
            let path = model.group_path(id);
            let message =
                format!("group `{path}` is assigned to no platform, so nothing serves it");
            let help = "ask the team of a platform for a document of `kind: Assignment`";
            findings.push(RULE.finding(path, group.name.span, message).with_help(help));
        }
    }

    fn judges_absence(&self) -> bool {
        true
    }
}
