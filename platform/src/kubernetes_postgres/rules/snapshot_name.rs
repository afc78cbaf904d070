use milepost_dsl::model::Source;
use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::dataset_path;
use crate::kubernetes_postgres::Served;
use crate::naming::source::can_be_signalled;
use crate::naming::source_table::SourceTable;

static ABOUT: About = About {
    id: RuleId::new("snapshot-name"),
    severity: Severity::Warning,
    summary: "tables have names by which their rows can be asked for later",
    explanation: "The first snapshot reads every table. What is added to a store later, a dataset or a column, is \
                  read on request: the source's owner runs `snapshot.sql`. Debezium loses a request for a \
                  table of which schema or name has white space, begins with a quotation mark or has one \
                  doubled, so none is made: rows that are there already arrive when somebody changes them, \
                  or when the connector is made anew.",
};

/// Tables that no request can name.
#[derive(Debug)]
pub(super) struct SnapshotName;

impl Rule<Served<'_>> for SnapshotName {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, dataset, _) in served.datasets() {
            let signalled = match store.ingestion.cdc().map(|cdc| &cdc.source) {
                Some(Source::Postgres(_) | Source::MySql(_) | Source::MariaDb(_)) => true,
                Some(Source::SqlServer(_) | Source::Oracle(_)) | None => false,
            };
            let table = SourceTable::of(&store.ingestion, dataset).listed;
            if !signalled || table.split('.').all(can_be_signalled) {
                continue;
            }
            findings.push(
                ABOUT
                    .finding(
                        dataset_path(store, dataset),
                        dataset.source_name.span,
                        format!(
                            "rows of `{}` cannot be asked for when a column or the dataset itself is \
                             added: no request can name `{table}`",
                            dataset_path(store, dataset),
                        ),
                    )
                    .with_help("give the table a name without white space and quotation marks"),
            );
        }
    }
}
