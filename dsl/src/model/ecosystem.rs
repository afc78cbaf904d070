use std::collections::BTreeMap;

use super::arena::id;
use crate::Spanned;
use crate::scalar::{EcosystemName, PlatformName, Repository, TeamName, TeamRef, ZoneName};

id!(
    /// Which governance zone.
    ZoneId
);
id!(
    /// Which team.
    TeamId
);

/// The whole.
#[derive(Debug, Clone)]
pub struct Ecosystem {
    /// Its name.
    pub name: Spanned<EcosystemName>,
    /// Who may change the ecosystem's document.
    pub repository: Spanned<Repository>,
    /// What platforms run from.
    pub live: Spanned<Repository>,
    /// Declared zones and the repositories that define them.
    pub zones: BTreeMap<Spanned<ZoneName>, Spanned<Repository>>,
    /// Declared platforms and the repositories that define them.
    pub platforms: BTreeMap<Spanned<PlatformName>, Spanned<Repository>>,
    /// Every location with those above it: `aws`, `aws/eu`, `aws/eu/stockholm`; in order.
    pub locations: Vec<String>,
}

/// A governance zone.
#[derive(Debug, Clone)]
pub struct Zone {
    /// Its name.
    pub name: Spanned<ZoneName>,
    /// Declared teams and the repositories that define them.
    pub teams: BTreeMap<Spanned<TeamName>, Spanned<Repository>>,
}

/// A team.
#[derive(Debug, Clone)]
pub struct Team {
    /// Its zone and name.
    pub name: Spanned<TeamRef>,
    /// The zone that declares it.
    pub zone: ZoneId,
}
