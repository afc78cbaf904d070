use super::{About, Rule};
use std::collections::BTreeSet;

use crate::{Diagnostic, Model, RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("unused"),
    severity: Severity::Info,
    summary: "every datastore is read by somebody",
    explanation: "Nothing is ingested that nobody asked for: a datastore that no group reads costs nothing and does nothing.",
};

pub(crate) struct Unused;

impl Rule<Model> for Unused {
    fn about(&self) -> &'static About {
        &RULE
    }

    fn check(&self, model: &Model, findings: &mut Vec<Diagnostic>) {
        let read: BTreeSet<_> = model
            .groups
            .values()
            .flat_map(|group| &group.sinks)
            .map(|sink| model.datasets[sink.dataset].store)
            .collect();
        for (_, store) in model.datastores.iter().filter(|(id, _)| !read.contains(id)) {
            let message = format!(
                "no group reads datastore `{}`, so it is not ingested",
                store.name
            );
            findings.push(RULE.finding(store.name.to_string(), store.name.span, message));
        }
    }

    fn judges_absence(&self) -> bool {
        true
    }
}
