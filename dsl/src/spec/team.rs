use crate::Spanned;
use crate::scalar::TeamRef;
use crate::yaml::record;

record! {
    /// `kind: Team`: owns datastores and workspaces.
    pub struct TeamSpec {
        /// Zone and name of the team: `europe/sales`.
        pub name: Spanned<TeamRef>,
    }
}
