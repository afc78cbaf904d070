use super::About;
use crate::{RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("duplicate-key"),
    severity: Severity::Error,
    summary: "no key is written twice in a mapping",
    explanation: "YAML readers differ in which of the two they take. Keep one.",
};
