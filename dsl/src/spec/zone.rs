use std::collections::BTreeMap;

use crate::Spanned;
use crate::scalar::{Repository, TeamName, ZoneName};
use crate::yaml::record;

record! {
    /// `kind: GovernanceZone`: declares teams and the repositories that define them.
    pub struct GovernanceZoneSpec {
        /// The zone's name, as the ecosystem declares it.
        pub name: Spanned<ZoneName>,
        /// Teams and the repositories that define them.
        pub teams: Option<BTreeMap<Spanned<TeamName>, Spanned<Repository>>>,
    }
}
