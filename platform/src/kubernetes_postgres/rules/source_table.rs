use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};
use milepost_job_spec::MAX_IDENT_BYTES;

use super::dataset_path;
use crate::kubernetes_postgres::Served;
use crate::naming::source_table::SourceTable;

static ABOUT: About = About {
    id: RuleId::new("source-table"),
    severity: Severity::Error,
    summary: "every dataset names a table of its Postgres source",
    explanation: "`from` is a schema and a table, such as `public.customers`; without a schema it is a \
                  table of `public`. Each has at most 63 bytes. A dot, a comma or a NUL in one of them \
                  is more than the connector's list of tables can say.",
};

/// Tables that the connector cannot name.
#[derive(Debug)]
pub(super) struct SourceTableRule;

impl Rule<Served<'_>> for SourceTableRule {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, dataset, _) in served.datasets() {
            let names = SourceTable::of(&store.ingestion, dataset);
            let (schema, table) = names.listed.split_once('.').unwrap_or_default();
            let legal = |name: &str| {
                !name.is_empty()
                    && name.len() <= MAX_IDENT_BYTES
                    && !name.contains(['.', ',', '\0'])
            };
            if legal(schema) && legal(table) {
                continue;
            }
            findings.push(
                ABOUT
                    .finding(
                        dataset_path(store, dataset),
                        dataset.source_name.span,
                        format!(
                            "`{}` is no schema and table of a Postgres source",
                            dataset.source_name
                        ),
                    )
                    .with_help("write `from` as a schema and a table, such as `public.customers`"),
            );
        }
    }
}
