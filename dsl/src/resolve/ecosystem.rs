use std::collections::BTreeMap;

use super::Resolver;
use super::names::Lookup;
use crate::Spanned;
use crate::model::{Ecosystem, Team, TeamId, Zone};
use crate::scalar::{LocationName, TeamRef};
use crate::spec::{EcosystemSpec, GovernanceZoneSpec, LocationSpec, TeamSpec};

impl Ecosystem {
    pub(super) fn resolve(spec: &EcosystemSpec) -> Self {
        let mut locations = Vec::new();
        for (vendor, vendor_spec) in spec.vendors.iter().flatten() {
            locations.push(vendor.to_string());
            below(
                vendor.as_str(),
                vendor_spec.locations.as_ref(),
                &mut locations,
            );
        }
        locations.sort();
        Self {
            name: spec.name.clone(),
            live: spec.live.clone(),
            repository: spec.repository.clone(),
            zones: spec.zones.clone().unwrap_or_default(),
            platforms: spec.platforms.clone().unwrap_or_default(),
            locations,
        }
    }
}

fn below(
    path: &str,
    locations: Option<&BTreeMap<Spanned<LocationName>, LocationSpec>>,
    paths: &mut Vec<String>,
) {
    for (name, location) in locations.into_iter().flatten() {
        let path = format!("{path}/{name}");
        below(&path, location.locations.as_ref(), paths);
        paths.push(path);
    }
}

impl Resolver<'_> {
    pub(super) fn zones(&mut self, specs: &[&GovernanceZoneSpec]) {
        for spec in specs {
            let declared = self.model.ecosystem.zones.contains_key(&spec.name.value);
            if !declared {
                let names: Vec<String> = self
                    .model
                    .ecosystem
                    .zones
                    .keys()
                    .map(ToString::to_string)
                    .collect();
                self.dangling(
                    spec.name.to_string(),
                    spec.name.span,
                    format!("zone `{}` is not declared by the ecosystem", spec.name),
                    spec.name.as_str(),
                    &names,
                    &format!(
                        "add `{}` with its repository to `zones` of the ecosystem",
                        spec.name
                    ),
                );
            }
            // An undeclared zone still has teams that must not be reported again.
            let id = self.model.zones.push(Zone {
                name: spec.name.clone(),
                teams: spec.teams.clone().unwrap_or_default(),
            });
            self.zones.insert(spec.name.to_string(), Some(id));
        }
    }

    pub(super) fn teams(&mut self, specs: &[&TeamSpec]) {
        for spec in specs {
            let id = self.team_document(spec);
            self.teams.insert(spec.name.to_string(), id);
        }
    }

    fn team_document(&mut self, spec: &TeamSpec) -> Option<TeamId> {
        let TeamRef { zone, team } = &spec.name.value;
        let id = match self.zones.look_up(zone.as_str()) {
            Lookup::Found(id) => id,
            Lookup::Broken => return None,
            Lookup::Missing => {
                let names = self.zones.sorted();
                self.dangling(
                    spec.name.to_string(),
                    spec.name.span,
                    format!(
                        "team `{}` is in zone `{zone}`, which does not exist",
                        spec.name
                    ),
                    zone.as_str(),
                    &names,
                    &format!("write a document of `kind: GovernanceZone` with the name `{zone}`"),
                );
                return None;
            }
        };
        let declared = &self.model.zones[id].teams;
        if !declared.contains_key(team) {
            let names: Vec<String> = declared.keys().map(ToString::to_string).collect();
            self.dangling(
                spec.name.to_string(),
                spec.name.span,
                format!("team `{team}` is not declared by zone `{zone}`"),
                team.as_str(),
                &names,
                &format!("add `{team}` with its repository to `teams` of zone `{zone}`"),
            );
        }
        Some(self.model.teams.push(Team {
            name: spec.name.clone(),
            zone: id,
        }))
    }

    /// The team that owns something.
    pub(super) fn owner(&mut self, object: &str, team: &Spanned<TeamRef>) -> Option<TeamId> {
        match self.teams.look_up(&team.to_string()) {
            Lookup::Found(id) => Some(id),
            Lookup::Broken => None,
            Lookup::Missing => {
                let names = self.teams.sorted();
                self.dangling(
                    object.to_owned(),
                    team.span,
                    format!("`{object}` belongs to team `{team}`, which does not exist"),
                    &team.to_string(),
                    &names,
                    &format!("write a document of `kind: Team` with the name `{team}`"),
                );
                None
            }
        }
    }
}
