use super::About;
use crate::{RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("duplicate"),
    severity: Severity::Error,
    summary: "every name is unique where it is looked for",
    explanation: "Datastores, workspaces, zones and platforms are unique in the ecosystem, teams in their zone, datasets in their datastore, columns in their dataset, groups in their workspace, sinks in their group; there is one ecosystem. Of two documents the first in the order of paths counts until one is renamed.",
};
