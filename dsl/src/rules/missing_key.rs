use super::About;
use crate::{RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("missing-key"),
    severity: Severity::Error,
    summary: "every key that has no default is there",
    explanation: "Keys with defaults may be left out; `docs/language.md` and `milepost schema` list them.",
};
