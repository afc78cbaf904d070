use serde_json::Value;

use crate::spec::Document;

impl Document {
    /// Everything that a person may write in the document, as a tree; absent keys are null. Made by the derived
    /// `Serialize`, so it holds every field of the spec.
    pub(crate) fn to_tree(&self) -> Value {
        let tree = match self {
            Self::Ecosystem(spec) => serde_json::to_value(spec),
            Self::GovernanceZone(spec) => serde_json::to_value(spec),
            Self::Team(spec) => serde_json::to_value(spec),
            Self::Datastore(spec) => serde_json::to_value(spec),
            Self::Workspace(spec) => serde_json::to_value(spec),
            Self::Assignment(spec) => serde_json::to_value(spec),
            Self::Platform(spec) => serde_json::to_value(spec),
        };
        tree.expect("a spec has only text keys")
    }
}
