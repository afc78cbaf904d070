use super::About;
use crate::{RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("key"),
    severity: Severity::Error,
    summary: "every key is made of columns that are never null",
    explanation: "The key tells the rows of a dataset apart: changes and deletions find their row by it. It lists one or more columns of the dataset, in key order; none of them is nullable. A dataset whose source tells no rows apart has no `key` at all: see the rule `append`.",
};
