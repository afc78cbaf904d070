use super::About;
use crate::{RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("no-ecosystem"),
    severity: Severity::Error,
    summary: "the model has an ecosystem",
    explanation: "The document of `kind: Ecosystem` declares zones and platforms; without it nothing can be bound.",
};
