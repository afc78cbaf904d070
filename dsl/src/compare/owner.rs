use std::collections::BTreeMap;

use super::Difference;
use crate::scalar::Repository;
use crate::spec::{BrokenDocument, Document, Kind, ModelSpec};

/// Which repository may change which document, as the base declares it.
///
/// Ownership comes from declarations in the base, for additions too: what a change says about its own authority counts
/// for nothing. What no declaration of the base covers, nobody may change.
#[derive(Debug, Clone, Default)]
pub struct Ownership {
    ecosystem: Vec<Repository>,
    zones: BTreeMap<String, Vec<Repository>>,
    teams: BTreeMap<String, Vec<Repository>>,
    platforms: BTreeMap<String, Vec<Repository>>,
    /// The teams of datastores and workspaces of the base.
    held: BTreeMap<(Kind, String), Vec<String>>,
}

/// May a repository make a change?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It owns what changes.
    Allowed,
    /// Another one does.
    Refused {
        /// Who may make the change: each of them has to, if there are several.
        owners: Vec<Repository>,
    },
    /// Nobody may: the base declares no owner.
    Unowned,
}

impl Ownership {
    /// The owners that a model declares.
    #[must_use]
    pub fn of(base: &ModelSpec) -> Self {
        let mut ownership = Self::default();
        for document in &base.documents {
            ownership.declare(&document.value);
        }
        for broken in &base.broken {
            ownership.declare_broken(broken);
        }
        ownership
    }

    /// A base with a broken document must stay repairable, by the owner that the document names and by nobody else.
    fn declare_broken(&mut self, broken: &BrokenDocument) {
        match broken.kind {
            Kind::Ecosystem => {
                let owner = broken.owner.as_deref().and_then(|owner| owner.parse().ok());
                self.ecosystem.extend(owner);
            }
            Kind::Datastore | Kind::Workspace => {
                // A team that nobody declares keeps the name from everybody.
                let team = broken.owner.clone().unwrap_or_default();
                let key = (broken.kind, broken.name.clone());
                self.held.entry(key).or_default().push(team);
            }
            Kind::GovernanceZone | Kind::Team | Kind::Assignment | Kind::Platform => {}
        }
    }

    fn declare(&mut self, document: &Document) {
        match document {
            Document::Ecosystem(spec) => {
                self.ecosystem.push(spec.repository.value.clone());
                for (zone, owner) in spec.zones.iter().flatten() {
                    let owners = self.zones.entry(zone.to_string()).or_default();
                    owners.push(owner.value.clone());
                }
                for (platform, owner) in spec.platforms.iter().flatten() {
                    let owners = self.platforms.entry(platform.to_string()).or_default();
                    owners.push(owner.value.clone());
                }
            }
            Document::GovernanceZone(spec) => {
                for (team, owner) in spec.teams.iter().flatten() {
                    let team = format!("{}/{team}", spec.name);
                    self.teams
                        .entry(team)
                        .or_default()
                        .push(owner.value.clone());
                }
            }
            Document::Datastore(spec) => {
                self.hold(Kind::Datastore, document, spec.team.to_string())
            }
            Document::Workspace(spec) => {
                self.hold(Kind::Workspace, document, spec.team.to_string())
            }
            Document::Team(_) | Document::Assignment(_) | Document::Platform(_) => {}
        }
    }

    fn hold(&mut self, kind: Kind, document: &Document, team: String) {
        self.held
            .entry((kind, document.name()))
            .or_default()
            .push(team);
    }

    /// May a change that comes from `head` make this difference?
    #[must_use]
    pub fn judge(&self, difference: &Difference, head: &Repository) -> Verdict {
        let Some(owners) = self.owners(difference) else {
            return Verdict::Unowned;
        };
        // A thing with two owners (a datastore that moves, a name declared twice) takes both.
        if owners.iter().all(|owner| owner.admits(head)) {
            Verdict::Allowed
        } else {
            Verdict::Refused { owners }
        }
    }

    /// Every repository that must agree to a difference; none if nobody can.
    #[must_use]
    pub fn owners(&self, difference: &Difference) -> Option<Vec<Repository>> {
        let name = difference.name.as_str();
        let owners = match difference.kind {
            Kind::Ecosystem => self.ecosystem.clone(),
            Kind::GovernanceZone => self.zones.get(name)?.clone(),
            Kind::Team => self.teams.get(name)?.clone(),
            Kind::Platform => self.platforms.get(name)?.clone(),
            Kind::Assignment => self.platforms.get(name.split('/').next()?)?.clone(),
            Kind::Datastore | Kind::Workspace => self.owners_of_held(difference)?,
        };
        (!owners.is_empty()).then_some(owners)
    }

    /// The owners of the team that holds a thing and, if it moves or is new, of the team that will.
    fn owners_of_held(&self, difference: &Difference) -> Option<Vec<Repository>> {
        let key = (difference.kind, difference.name.clone());
        let mut teams = self.held.get(&key).cloned().unwrap_or_default();
        teams.extend(new_team(difference));
        if teams.is_empty() {
            return None;
        }
        let mut owners = Vec::new();
        for team in teams {
            for owner in self.teams.get(&team)? {
                if !owners.contains(owner) {
                    owners.push(owner.clone());
                }
            }
        }
        Some(owners)
    }
}

/// The team that a difference gives a thing to.
fn new_team(difference: &Difference) -> Option<String> {
    let after = difference.after.as_ref()?;
    let team = match difference.path.as_str() {
        "" => after.get("team")?,
        "team" => after,
        _ => return None,
    };
    team.as_str().map(str::to_owned)
}
