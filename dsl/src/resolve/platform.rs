use super::Resolver;
use super::names::Lookup;
use crate::Spanned;
use crate::model::{Assignment, GroupId, Id as _, Implementation, Platform, PlatformId};
use crate::scalar::StreamRef;
use crate::spec::{AssignmentSpec, ImplementationSpec, KubernetesPostgresSpec, PlatformSpec};

impl Resolver<'_> {
    pub(super) fn platforms(&mut self, specs: &[&PlatformSpec]) {
        for spec in specs {
            let name = &spec.name;
            if !self.model.ecosystem.platforms.contains_key(&name.value) {
                let names: Vec<String> = self
                    .model
                    .ecosystem
                    .platforms
                    .keys()
                    .map(ToString::to_string)
                    .collect();
                self.dangling(
                    name.to_string(),
                    name.span,
                    format!("platform `{name}` is not declared by the ecosystem"),
                    name.as_str(),
                    &names,
                    &format!("add `{name}` with its repository to `platforms` of the ecosystem"),
                );
            }
            let implementation = match &spec.implementation {
                ImplementationSpec::KubernetesPostgres(spec) => {
                    self.overrides(name.as_str(), spec);
                    Implementation::KubernetesPostgres(spec.clone())
                }
                ImplementationSpec::External(_) => Implementation::External,
            };
            let id = self.model.platforms.push(Platform {
                name: name.clone(),
                implementation,
            });
            self.platforms.insert(name.to_string(), Some(id));
        }
    }

    fn overrides(&mut self, platform: &str, spec: &KubernetesPostgresSpec) {
        let streams = spec
            .overrides
            .iter()
            .flat_map(|overrides| overrides.streams.iter().flatten());
        for (stream, _) in streams {
            self.stream(platform, stream);
        }
    }

    /// Reports a stream whose store or dataset does not exist.
    fn stream(&mut self, platform: &str, stream: &Spanned<StreamRef>) {
        let message = format!("there is no batch stream `{stream}`");
        let (names, help) = match self.datastores.look_up(stream.store.as_str()) {
            Lookup::Broken => return,
            Lookup::Missing => (
                self.datastores.sorted(),
                format!(
                    "datastore `{}` does not exist; remove the override",
                    stream.store
                ),
            ),
            Lookup::Found(id) => {
                let Some(dataset) = &stream.dataset else {
                    return;
                };
                let names = &self.datasets[id.index()];
                if !matches!(names.look_up(dataset.as_str()), Lookup::Missing) {
                    return;
                }
                let paths = names
                    .sorted()
                    .into_iter()
                    .map(|name| format!("{}#{name}", stream.store));
                let help = format!("dataset `{stream}` does not exist; remove the override");
                (paths.collect(), help)
            }
        };
        let word = stream.to_string();
        self.dangling(
            platform.to_owned(),
            stream.span,
            message,
            &word,
            &names,
            &help,
        );
    }

    pub(super) fn assignments(&mut self, specs: &[&AssignmentSpec]) {
        for spec in specs {
            let platform = self.assigned_platform(spec);
            let group = self.assigned_group(spec);
            if let Some((platform, group)) = platform.zip(group) {
                self.model.assignments.push(Assignment {
                    platform,
                    group,
                    span: spec.group.span,
                });
            }
        }
        self.model
            .assignments
            .sort_by_key(|assignment| (assignment.platform, assignment.group));
    }

    fn assigned_platform(&mut self, spec: &AssignmentSpec) -> Option<PlatformId> {
        let name = &spec.platform;
        match self.platforms.look_up(name.as_str()) {
            Lookup::Found(id) => Some(id),
            Lookup::Broken => None,
            Lookup::Missing => {
                self.dangling(
                    spec.name(),
                    name.span,
                    format!("the assignment is to platform `{name}`, which does not exist"),
                    name.as_str(),
                    &self.platforms.sorted(),
                    &format!("write a document of `kind: Platform` with the name `{name}`"),
                );
                None
            }
        }
    }

    fn assigned_group(&mut self, spec: &AssignmentSpec) -> Option<GroupId> {
        let workspace = match self.workspaces.look_up(spec.workspace.as_str()) {
            Lookup::Found(id) => id,
            Lookup::Broken => return None,
            Lookup::Missing => {
                self.dangling(
                    spec.name(),
                    spec.workspace.span,
                    format!(
                        "the assignment is of workspace `{}`, which does not exist",
                        spec.workspace
                    ),
                    spec.workspace.as_str(),
                    &self.workspaces.sorted(),
                    "write a document of `kind: Workspace` for it, or remove the assignment",
                );
                return None;
            }
        };
        let names = &self.groups[workspace.index()];
        match names.look_up(spec.group.as_str()) {
            Lookup::Found(id) => Some(id),
            Lookup::Broken => None,
            Lookup::Missing => {
                self.dangling(
                    spec.name(),
                    spec.group.span,
                    format!(
                        "workspace `{}` has no group `{}`",
                        spec.workspace, spec.group
                    ),
                    spec.group.as_str(),
                    &names.sorted(),
                    "assign a group of the workspace, or remove the assignment",
                );
                None
            }
        }
    }
}
