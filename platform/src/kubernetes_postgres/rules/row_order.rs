use milepost_dsl::graph::History;
use milepost_dsl::rules::{About, Rule};
use milepost_dsl::spec::SourceKind;
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::dataset_path;
use crate::kubernetes_postgres::Served;

static ABOUT: About = About {
    id: RuleId::new("row-order"),
    severity: Severity::Error,
    summary: "datasets without a key come from a source that tells the order of their rows",
    explanation: "A connector that restarts sends events again. Without a key such an event is told from a new \
                  one by its place in the transaction, so that each is appended once. Events of Oracle have none.",
};

/// Datasets without a key whose events cannot be told apart.
#[derive(Debug)]
pub(super) struct RowOrder;

impl Rule<Served<'_>> for RowOrder {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, dataset, ingested) in served.datasets() {
            let kind = store.ingestion.kind();
            if ingested.history != History::Append || kind != SourceKind::Oracle {
                continue;
            }
            let path = dataset_path(store, dataset);
            let message = format!(
                "`{path}` has no key, and events of {} have no place in their transaction: one that comes \
                 again would be appended twice",
                kind.title()
            );
            findings.push(
                ABOUT
                    .finding(path, dataset.name.span, message)
                    .with_help("add the `key` by which its rows are told apart"),
            );
        }
    }
}
