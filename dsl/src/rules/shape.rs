use super::About;
use crate::{RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("shape"),
    severity: Severity::Error,
    summary: "every value is of the shape that its key takes",
    explanation: "A text where a list should be, an unquoted number where a text should be, two choices where one should be. Anchors, aliases and tags of YAML are no part of the language: a reader should see what a document says without looking elsewhere.",
};
