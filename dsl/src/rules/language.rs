use super::About;
use crate::{RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("language"),
    severity: Severity::Error,
    summary: "the model is written in a language that this release reads",
    explanation: "The ecosystem's `language` is the version of the model language. A release reads one version; `milepost fmt --upgrade` rewrites an older model.",
};
