use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::{dataset_path, listed};
use crate::kubernetes_postgres::Served;
use crate::naming::source_table::SourceTable;
use crate::type_mapping;

static ABOUT: About = About {
    id: RuleId::new("large-values"),
    severity: Severity::Info,
    summary: "tables with large values have a full replica identity",
    explanation: "Postgres keeps large values out of line, and an update that does not touch one \
                  leaves it out of the log. A merge fills it from earlier events or the live row; where \
                  neither has it, the row is quarantined. With a full replica identity the source \
                  always sends it, at the price of a larger log.",
};

/// Columns that an update may leave out.
#[derive(Debug)]
pub(super) struct LargeValues;

impl Rule<Served<'_>> for LargeValues {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, dataset, _) in served.datasets() {
            // The merge job itself reads such a store, whole and without a connector.
            if store.ingestion.sql_snapshot().is_some() {
                continue;
            }
            let large: Vec<&str> = dataset
                .columns
                .iter()
                .filter(|column| {
                    type_mapping::map(store.ingestion.kind(), &column.data_type)
                        .is_ok_and(|mapping| mapping.placeholder.is_some())
                })
                .map(|column| column.name.as_str())
                .collect();
            if large.is_empty() {
                continue;
            }
            findings.push(
                ABOUT
                    .finding(
                        dataset_path(store, dataset),
                        dataset.name.span,
                        format!(
                            "an update of `{}` may leave out large values of {}",
                            dataset_path(store, dataset),
                            listed(large),
                        ),
                    )
                    .with_help(format!(
                        "run `alter table {} replica identity full` at the source",
                        SourceTable::of(&store.ingestion, dataset).listed
                    )),
            );
        }
    }
}
