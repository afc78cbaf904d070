use super::About;
use crate::{RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("unknown-key"),
    severity: Severity::Error,
    summary: "every key is one of the language",
    explanation: "A key that the language does not know is a mistyped one or belongs elsewhere. It is refused, because a setting that is silently ignored is found out in production.",
};
