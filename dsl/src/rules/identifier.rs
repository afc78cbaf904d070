use super::{About, Rule};
use crate::{Diagnostic, Model, RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("identifier"),
    severity: Severity::Error,
    summary: "no column has a name that merge or staging tables need",
    explanation: "A milestoned table adds `dp_in`, `dp_out` and `dp_source_ts` to the columns of its dataset, a table of appended rows `dp_in` and `dp_op`, and a staging table adds columns whose names begin with `__`. A column of the source with such a name cannot be told from them; rename it at the source or leave it out.",
};

pub(crate) struct Identifier;

impl Rule<Model> for Identifier {
    fn about(&self) -> &'static About {
        &RULE
    }

    fn check(&self, model: &Model, findings: &mut Vec<Diagnostic>) {
        for (id, dataset) in model.datasets.iter() {
            for column in &dataset.columns {
                // Postgres folds what nobody quotes, so a reader of `DP_IN` would get the other column.
                let lower = column.name.as_str().to_lowercase();
                let taken_by = if RESERVED.contains(&lower.as_str()) {
                    "a column of merge tables"
                } else if lower.starts_with(RESERVED_PREFIX) {
                    "kept for columns of staging tables, which begin with `__`"
                } else {
                    continue;
                };
                let object = format!("{}.{}", model.dataset_path(id), column.name);
                let message = format!("the name `{}` is {taken_by}", column.name);
                let help = "rename the column at the source, or leave it out of the dataset";
                findings.push(
                    RULE.finding(object, column.name.span, message)
                        .with_help(help),
                );
            }
        }
    }
}

/// Columns that a merge table may have beside those of its dataset.
pub const RESERVED: [&str; 4] = ["dp_in", "dp_out", "dp_source_ts", "dp_op"];

/// How the columns begin that a staging table has beside those of its dataset.
pub const RESERVED_PREFIX: &str = "__";
