use super::About;
use crate::{RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("kind"),
    severity: Severity::Error,
    summary: "every document begins with its kind",
    explanation: "`kind` says what the document describes, and is read before the rest of it. The kinds are `Ecosystem`, `GovernanceZone`, `Team`, `Datastore`, `Workspace`, `Assignment` and `Platform`.",
};
