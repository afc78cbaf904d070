use milepost_dsl::rules::{About, Rule};
use milepost_dsl::spec::OnTruncate;
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::dataset_path;
use crate::kubernetes_postgres::Served;

static ABOUT: About = About {
    id: RuleId::new("truncate"),
    severity: Severity::Warning,
    summary: "nobody counts on truncates that do not arrive",
    explanation: "The transform in the sinks that Milepost renders drops truncates, so a policy for them is \
                  followed only where another loader stages `t` rows. A source's truncate then leaves rows \
                  behind that are gone there, and `merge-job verify` finds the difference. Take the right to \
                  truncate away at the source: `revoke truncate on` the table.",
};

/// Policies for truncates that no sink brings.
#[derive(Debug)]
pub(super) struct Truncate;

impl Rule<Served<'_>> for Truncate {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, dataset, _) in served.datasets() {
            let truncate = dataset.policy.truncate;
            if store.ingestion.sql_snapshot().is_some() || truncate.value == OnTruncate::Fail {
                continue;
            }
            let path = dataset_path(store, dataset);
            let message = format!(
                "`{path}` says `truncate: {truncate}`, and the sinks of platform `{}` drop truncates",
                served.platform.name
            );
            findings.push(
                ABOUT
                    .finding(path, truncate.span, message)
                    .with_help("revoke the right to truncate at the source"),
            );
        }
    }
}
