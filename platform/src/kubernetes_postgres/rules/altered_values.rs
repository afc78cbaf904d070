use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::{dataset_path, listed};
use crate::kubernetes_postgres::Served;
use crate::type_mapping;

static ABOUT: About = About {
    id: RuleId::new("altered-values"),
    severity: Severity::Info,
    summary: "values that arrive as others on this platform are known",
    explanation: "Debezium and Kafka Connect change a few values of some types on the way, whatever \
                  the tables can hold: a NaN becomes 0, an infinite date another date. Where the \
                  source has such values, keep a copy of the column as `text` there and ingest that.",
};

/// Types of which some values do not survive.
#[derive(Debug)]
pub(super) struct AlteredValues;

impl Rule<Served<'_>> for AlteredValues {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, dataset, _) in served.datasets() {
            // The merge job itself reads such a store, whole and without a connector.
            if store.ingestion.sql_snapshot().is_some() {
                continue;
            }
            let altered: Vec<_> = dataset
                .columns
                .iter()
                .filter_map(|column| {
                    let altered = type_mapping::map(store.ingestion.kind(), &column.data_type)
                        .ok()?
                        .altered?;
                    Some((column, altered))
                })
                .collect();
            let Some((first, _)) = altered.first() else {
                continue;
            };
            let mut finding = ABOUT.finding(
                dataset_path(store, dataset),
                first.data_type.span,
                format!(
                    "platform `{}` alters some values of {} of `{}`",
                    served.platform.name,
                    listed(altered.iter().map(|(column, _)| column.name.as_str())),
                    dataset_path(store, dataset),
                ),
            );
            for (column, how) in altered {
                finding = finding.with_related(
                    column.data_type.span,
                    format!("`{}` is `{}`: {how}", column.name, column.data_type),
                );
            }
            findings.push(finding);
        }
    }
}
