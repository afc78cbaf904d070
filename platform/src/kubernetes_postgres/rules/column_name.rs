use std::collections::BTreeSet;

use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::column_path;
use crate::kubernetes_postgres::Served;
use crate::naming::postgres;

static ABOUT: About = About {
    id: RuleId::new("column-name"),
    severity: Severity::Error,
    summary: "every column has a name under which its values arrive",
    explanation: "Names of columns may hold any character, with three exceptions that connectors make. The JDBC \
                  sink takes white space away from both ends of a name. A transform renames columns whose \
                  name has a quotation mark or more than 63 bytes, and its list cannot say `:` and `,`. And \
                  Debezium refuses a table in which two names differ by case only.",
};

/// Columns that a connector cannot name.
#[derive(Debug)]
pub(super) struct ColumnNameRule;

impl Rule<Served<'_>> for ColumnNameRule {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, dataset, _) in served.datasets() {
            let mut seen = BTreeSet::new();
            for column in &dataset.columns {
                let name = column.name.as_str();
                let renamed = postgres::staged_column(&column.name).as_str() != name;
                let why = if name.trim() != name {
                    "the sink takes the white space at its ends away"
                } else if renamed && name.contains([':', ',']) {
                    "staging has to call it otherwise, and no transform can rename it"
                } else if seen.contains(&name.to_lowercase()) {
                    "another column of the table differs by case only, which Debezium refuses"
                } else {
                    seen.insert(name.to_lowercase());
                    continue;
                };
                findings.push(
                    ABOUT
                        .finding(
                            column_path(store, dataset, column),
                            column.name.span,
                            format!(
                                "`{}` would not arrive: {why}",
                                column_path(store, dataset, column)
                            ),
                        )
                        .with_help("rename the column at the source, or leave it out"),
                );
            }
        }
    }
}
