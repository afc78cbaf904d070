use super::About;
use crate::{RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("reference"),
    severity: Severity::Error,
    summary: "everything that is referred to exists and is declared by its parent",
    explanation: "Names are bound when the model is read: teams of datastores and workspaces, sinks of groups, platforms and groups of assignments, streams of overrides. A zone or platform exists for the model when the ecosystem declares it, a team when its zone does: the declaration says which repository may define it.",
};
