use milepost_dsl::graph::History;
use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::dataset_path;
use crate::kubernetes_postgres::Served;

static ABOUT: About = About {
    id: RuleId::new("not-run-yet"),
    severity: Severity::Error,
    summary: "nothing is planned that this release does not run",
    explanation: "The model can say more than `kubernetes-postgres` does so far: datasets without a key, which are \
                  appended. A platform of kind `external` takes them.",
};

/// What the language says and the merge job does not do yet.
#[derive(Debug)]
pub(super) struct NotRunYet;

impl Rule<Served<'_>> for NotRunYet {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        let platform = &served.platform.name;
        for (store, dataset, ingested) in served.datasets() {
            if ingested.history == History::Append {
                let path = dataset_path(store, dataset);
                let message =
                    format!("`{path}` has no key, and platform `{platform}` does not append yet");
                findings.push(
                    ABOUT
                        .finding(path, dataset.name.span, message)
                        .with_help("give it a key, or read it on a platform of kind `external`"),
                );
            }
        }
    }
}
