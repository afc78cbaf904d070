use super::{About, Rule};
use crate::model::{Dataset, DatasetId, Retention};
use crate::spec::{OnResnapshot, OnTruncate};
use crate::{Diagnostic, Model, RuleId, Severity, Span};

pub(crate) static RULE: About = About {
    id: RuleId::new("append"),
    severity: Severity::Error,
    summary: "datasets without a key are appended, and only they",
    explanation: "A change finds its row by the key. Without one nobody can tell which row it is about, so there is neither a latest version of a row nor a history: every event is kept as a row of its own, with what it did in `dp_op`, and groups read it with `retention: {append: {}}`. Nor can a truncate or a snapshot close rows of it. A dataset with a key is read `live-only` or `milestoned`.",
};

pub(crate) struct Append;

impl Rule<Model> for Append {
    fn about(&self) -> &'static About {
        &RULE
    }

    fn check(&self, model: &Model, findings: &mut Vec<Diagnostic>) {
        consumers(model, findings);
        for (id, dataset) in model.datasets.iter() {
            if dataset.key.is_empty() {
                policies(model, id, dataset, findings);
            }
        }
    }
}

/// Groups that ask for what the dataset cannot give.
fn consumers(model: &Model, findings: &mut Vec<Diagnostic>) {
    for (id, group) in model.groups.iter() {
        for sink in &group.sinks {
            let dataset = &model.datasets[sink.dataset];
            let path = model.dataset_path(sink.dataset);
            let (why, here, help) = match (group.retention, dataset.key.is_empty()) {
                (Retention::Append, true)
                | (Retention::LiveOnly | Retention::Milestoned { .. }, false) => continue,
                (Retention::LiveOnly | Retention::Milestoned { .. }, true) => {
                    let asked = match group.retention {
                        Retention::LiveOnly => "live-only",
                        Retention::Milestoned { .. } => "milestoned",
                        Retention::Append => "append",
                    };
                    (
                        format!("reads `{path}` as `{asked}`, and it has no key"),
                        "has no `key`",
                        "read it in a group with `retention: {append: {}}`, or give the dataset a `key`",
                    )
                }
                (Retention::Append, false) => (
                    format!("reads `{path}` as `append`, and it has a key"),
                    "has a `key`",
                    "read it in a group with `retention: {live-only: {}}` or `{milestoned: {minimum: 365d}}`",
                ),
            };
            let message = format!("group `{}` {why}", group.name);
            findings.push(
                RULE.finding(model.group_path(id), sink.span, message)
                    .with_related(dataset.name.span, here)
                    .with_help(help),
            );
        }
    }
}

/// Policies that close rows, and images, which are compared by key.
fn policies(model: &Model, id: DatasetId, dataset: &Dataset, findings: &mut Vec<Diagnostic>) {
    let store = &model.datastores[dataset.store];
    let name = &dataset.name;
    let mut report = |span: Span, message: String, help: &str| {
        findings.push(
            RULE.finding(model.dataset_path(id), span, message)
                .with_help(help),
        );
    };
    if store.ingestion.sql_snapshot().is_some() {
        report(
            name.span,
            format!("dataset `{name}` has no key, and images are compared by it"),
            "add the `key` by which its rows are told apart",
        );
        return;
    }
    let policy = &dataset.policy;
    if policy.truncate.value == OnTruncate::CloseAll {
        report(
            policy.truncate.span,
            format!("dataset `{name}` has no key, so a truncate cannot close its rows"),
            "write `truncate: fail` or `truncate: ignore`",
        );
    }
    if policy.resnapshot.value == OnResnapshot::Heal {
        report(
            policy.resnapshot.span,
            format!("dataset `{name}` has no key, so a snapshot cannot heal it"),
            "write `resnapshot: report`",
        );
    }
}
