use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::column_path;
use crate::kubernetes_postgres::Served;
use crate::type_mapping::{self, Mapping};

static ABOUT: About = About {
    id: RuleId::new("unmappable-type"),
    severity: Severity::Error,
    summary: "every column that somebody asked for is of a type that the platform carries",
    explanation: "The platform carries a type if its values come from the source through Kafka into \
                  the merge table unchanged, and if an unchanged large value can be told from a null. \
                  That was tried with the real connectors, type by type; what did not arrive is refused \
                  here rather than lost there.",
};

/// Types whose values do not survive.
#[derive(Debug)]
pub(super) struct UnmappableType;

impl Rule<Served<'_>> for UnmappableType {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, dataset, _) in served.datasets() {
            for column in &dataset.columns {
                let data_type = &column.data_type;
                let refused = match type_mapping::map(store.ingestion.kind(), data_type) {
                    Err(refused) => Some((refused.reason, refused.help)),
                    Ok(mapping) => untold(&mapping, column.name.as_str()),
                };
                let Some((reason, help)) = refused else {
                    continue;
                };
                findings.push(
                    ABOUT
                        .finding(
                            column_path(store, dataset, column),
                            data_type.span,
                            format!(
                                "platform `{}` cannot carry `{}`, the type of `{}`: {reason}",
                                served.platform.name,
                                data_type,
                                column_path(store, dataset, column),
                            ),
                        )
                        .with_help(help),
                );
            }
        }
    }
}

/// Some columns are cast by a transform that lists them as `name:string,name:string`.
fn untold(mapping: &Mapping, column: &str) -> Option<(&'static str, &'static str)> {
    (mapping.cast.is_some() && column.contains([':', ','])).then_some((
        "the connector has to cast it, and cannot name a column that has `:` or `,` in its name",
        "rename the column in a view of the source",
    ))
}
