use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use crate::kubernetes_postgres::Served;

static ABOUT: About = About {
    id: RuleId::new("not-run-yet"),
    severity: Severity::Error,
    summary: "nothing is planned that this release does not run",
    explanation: "The model can say more than `kubernetes-postgres` does so far: images of a database by \
                  `sql-snapshot`. A platform of kind `external` takes them.",
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
        for (store, _) in served.stores() {
            if store.ingestion.sql_snapshot().is_some() {
                let message = format!(
                    "datastore `{}` is read by `sql-snapshot`, which platform `{platform}` does not do yet",
                    store.name
                );
                findings.push(
                    ABOUT
                        .finding(store.name.to_string(), store.name.span, message)
                        .with_help("write `cdc` in place of `sql-snapshot`"),
                );
            }
        }
    }
}
