use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::dataset_path;
use crate::kubernetes_postgres::Served;
use crate::naming::postgres;

static ABOUT: About = About {
    id: RuleId::new("shortened-name"),
    severity: Severity::Info,
    summary: "tables whose names do not fit are known",
    explanation: "Postgres holds names of at most 63 bytes. A longer one is cut and ends in a hash of \
                  the whole name, so it stays unique and the same for ever, but people have to look \
                  it up. A shorter name of the dataset avoids it; `from` keeps the source's.",
};

/// Tables that people would not recognize.
#[derive(Debug)]
pub(super) struct ShortenedName;

impl Rule<Served<'_>> for ShortenedName {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, dataset, _) in served.datasets() {
            let view = postgres::live_view(store.name.as_str(), dataset.name.as_str());
            let full = postgres::full_name(store.name.as_str(), dataset.name.as_str());
            if view.as_str() == full {
                continue;
            }
            findings.push(
                ABOUT
                    .finding(
                        dataset_path(store, dataset),
                        dataset.name.span,
                        format!(
                            "the tables and views of `{}` are called `{view}`: its name has {} bytes, \
                             Postgres holds 63",
                            dataset_path(store, dataset),
                            full.len(),
                        ),
                    )
                    .with_help("give the dataset a shorter name; `from` keeps the source's"),
            );
        }
    }
}
