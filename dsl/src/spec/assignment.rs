use crate::Spanned;
use crate::scalar::{GroupName, PlatformName, WorkspaceName};
use crate::yaml::record;

record! {
    /// `kind: Assignment`: a platform serves a group of a workspace. Owned by the platform's repository.
    pub struct AssignmentSpec {
        /// The platform that serves.
        pub platform: Spanned<PlatformName>,
        /// The workspace that is served.
        pub workspace: Spanned<WorkspaceName>,
        /// The group of the workspace.
        pub group: Spanned<GroupName>,
    }
}

impl AssignmentSpec {
    /// The assignment in one text: `main/risk/exposure`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.platform, self.workspace, self.group)
    }
}
