use super::{About, Rule};
use crate::{Diagnostic, Model, RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("empty"),
    severity: Severity::Warning,
    summary: "datastores, workspaces, groups and datasets hold something",
    explanation: "A datastore without datasets, a workspace without groups, a group without sinks and a dataset without columns do nothing.",
};

pub(crate) struct Empty;

impl Rule<Model> for Empty {
    fn about(&self) -> &'static About {
        &RULE
    }

    fn check(&self, model: &Model, findings: &mut Vec<Diagnostic>) {
        for store in model
            .datastores
            .values()
            .filter(|store| store.datasets.is_empty())
        {
            let message = format!("datastore `{}` has no dataset", store.name);
            findings.push(RULE.finding(store.name.to_string(), store.name.span, message));
        }
        for (id, dataset) in model
            .datasets
            .iter()
            .filter(|(_, dataset)| dataset.columns.is_empty())
        {
            let message = format!("dataset `{}` has no column", dataset.name);
            findings.push(RULE.finding(model.dataset_path(id), dataset.name.span, message));
        }
        for workspace in model
            .workspaces
            .values()
            .filter(|workspace| workspace.groups.is_empty())
        {
            let message = format!("workspace `{}` has no group", workspace.name);
            findings.push(RULE.finding(workspace.name.to_string(), workspace.name.span, message));
        }
        for (id, group) in model
            .groups
            .iter()
            .filter(|(_, group)| group.sinks.is_empty())
        {
            let message = format!("group `{}` reads no dataset", group.name);
            findings.push(RULE.finding(model.group_path(id), group.name.span, message));
        }
    }

    fn judges_absence(&self) -> bool {
        true
    }
}
