use milepost_dsl::rules::{About, Rule};
use milepost_dsl::scalar::DataType;
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::{column_path, dataset_path};
use crate::kubernetes_postgres::Served;

static ABOUT: About = About {
    id: RuleId::new("key-type"),
    severity: Severity::Error,
    summary: "key columns are of types that Postgres can index and that arrive unchanged",
    explanation: "A merge finds the live row of a key by an index and relies on the key of every \
                  event, deletes included. `json` and `xml` have no order, so no index; of `real` and \
                  `double precision` several values may arrive as one, so that rows would share a key.",
};

/// Types that cannot be part of a key.
#[derive(Debug)]
pub(super) struct KeyType;

impl Rule<Served<'_>> for KeyType {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, dataset, _) in served.datasets() {
            for place in &dataset.key {
                let column = &dataset.columns[place.value];
                let Some(why) = why_no_key(&column.data_type) else {
                    continue;
                };
                findings.push(
                    ABOUT
                        .finding(
                            column_path(store, dataset, column),
                            place.span,
                            format!(
                                "`{}` cannot be part of the key of `{}`: it is `{}`, {why}",
                                column.name,
                                dataset_path(store, dataset),
                                column.data_type,
                            ),
                        )
                        .with_related(column.data_type.span, "its type")
                        .with_help("name columns of a number, text, date or uuid type as the key"),
                );
            }
        }
    }
}

fn why_no_key(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::Json => Some("which has no order"),
        DataType::Known("xml") => Some("which has no order"),
        DataType::Real | DataType::Double => Some("of which several values may arrive as one"),
        _ => None,
    }
}
