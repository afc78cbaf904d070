use milepost_dsl::model::{Database, Source};
use milepost_dsl::rules::{About, Rule};
use milepost_dsl::spec::{OnResnapshot, OnTruncate};
use milepost_dsl::{Diagnostic, RuleId, Severity, Span};

use super::dataset_path;
use crate::kubernetes_postgres::Served;

static ABOUT: About = About {
    id: RuleId::new("sql-snapshot"),
    severity: Severity::Error,
    summary: "images are read from Postgres, and what they do not have is closed",
    explanation: "The merge job reads the tables of a store with `sql-snapshot` itself, and it speaks to Postgres \
                  only; ingest another database by `cdc`. An image has every row of its table, so a live row \
                  that it does not have is gone, and a table that was truncated has none: `truncate` is \
                  `close-all` and `resnapshot` is `heal` there. `missing-limit` bounds what one image may close.",
};

/// Images that nobody can read, or that could not be merged.
#[derive(Debug)]
pub(super) struct SqlSnapshotRule;

impl Rule<Served<'_>> for SqlSnapshotRule {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, _) in served.stores() {
            let Some(snapshot) = store.ingestion.sql_snapshot() else {
                continue;
            };
            let Some(database) = unreadable(&snapshot.source) else {
                continue;
            };
            let title = snapshot.source.kind().title();
            let message = format!(
                "datastore `{}` is read by SQL from {title}, and platform `{}` reads Postgres only",
                store.name, served.platform.name
            );
            findings.push(
                ABOUT
                    .finding(store.name.to_string(), database.host.span, message)
                    .with_help("write `cdc` in place of `sql-snapshot`"),
            );
        }
        for (store, dataset, _) in served.datasets() {
            if store.ingestion.sql_snapshot().is_none() {
                continue;
            }
            let mut report = |span: Span, key: &str, value: &str, needed: &str| {
                let path = dataset_path(store, dataset);
                let message =
                    format!("`{path}` is read as an image, where `{key}: {value}` has no meaning");
                findings.push(
                    ABOUT
                        .finding(path, span, message)
                        .with_help(format!("remove it; `{needed}` is what images do")),
                );
            };
            let (truncate, resnapshot) = (dataset.policy.truncate, dataset.policy.resnapshot);
            if truncate.value != OnTruncate::CloseAll {
                report(truncate.span, "truncate", truncate.as_str(), "close-all");
            }
            if resnapshot.value != OnResnapshot::Heal {
                report(resnapshot.span, "resnapshot", resnapshot.as_str(), "heal");
            }
        }
    }
}

/// The database of a source that the merge job does not speak to.
const fn unreadable(source: &Source) -> Option<&Database> {
    match source {
        Source::Postgres(_) => None,
        Source::MySql(_) | Source::MariaDb(_) | Source::SqlServer(_) | Source::Oracle(_) => {
            Some(source.database())
        }
    }
}
