use super::About;
use crate::{RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("syntax"),
    severity: Severity::Error,
    summary: "every file is YAML",
    explanation: "A file that does not parse may hide documents, so nothing about missing things is said while one stands. Reading goes on at the next document of the file. Files are UTF-8, indented with spaces, nested at most 64 deep.",
};
