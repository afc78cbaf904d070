//! `implementation: {external: {}}`: pipelines that exist already. It accepts anything and renders nothing, and keeps the
//! seam between a platform and the model honest.

use milepost_dsl::Diagnostic;

use crate::credential::CredentialStore;
use crate::plan::Plan;

/// Nothing is wrong with what others run.
pub(crate) const fn lint() -> Vec<Diagnostic> {
    Vec::new()
}

/// There is nothing to run.
pub(crate) const fn plan() -> Option<Plan> {
    None
}

/// Its credentials are not ours to know.
pub(crate) const fn credential_store() -> Option<CredentialStore> {
    None
}

/// Its tables are named by others.
pub(crate) const fn naming_scheme() -> Option<u32> {
    None
}
