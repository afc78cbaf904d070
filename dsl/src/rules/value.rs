use super::About;
use crate::{RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("value"),
    severity: Severity::Error,
    summary: "every word follows the grammar of its type",
    explanation: "Names, types, schedules, durations, repositories and locations have a grammar each, which the message states.",
};
