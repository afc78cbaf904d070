use std::collections::BTreeSet;

use super::Resolver;
use super::names::{Lookup, Names, duplicates};
use crate::Spanned;
use crate::model::{DatasetId, Group, GroupId, Id as _, Retention, Sink, Workspace, WorkspaceId};
use crate::scalar::DatasetRef;
use crate::spec::{GroupSpec, RetentionSpec, Versions, WorkspaceSpec};

impl Resolver<'_> {
    pub(super) fn workspaces(&mut self, specs: &[&WorkspaceSpec]) {
        for spec in specs {
            let id = self.workspace(spec);
            self.workspaces.insert(spec.name.to_string(), id);
        }
    }

    fn workspace(&mut self, spec: &WorkspaceSpec) -> Option<WorkspaceId> {
        let name = spec.name.as_str();
        duplicates(
            spec.groups.iter().map(|group| &group.name),
            name,
            |group| format!("workspace `{name}` has two groups `{group}`"),
            self.diagnostics,
        );
        let sinks: Vec<Vec<Sink>> = spec
            .groups
            .iter()
            .map(|group| self.sinks(name, group))
            .collect();
        let team = self.owner(name, &spec.team)?;
        let workspace = self.model.workspaces.push(Workspace {
            name: spec.name.clone(),
            team,
            groups: Vec::new(),
        });
        let mut names: Names<GroupId> = Names::within();
        let mut ids = Vec::with_capacity(spec.groups.len());
        let mut seen = BTreeSet::new();
        for (group, sinks) in spec.groups.iter().zip(sinks) {
            if !seen.insert(&group.name) {
                continue;
            }
            let id = self.model.groups.push(Group {
                name: group.name.clone(),
                workspace,
                retention: retention(&group.retention),
                latency: group.latency,
                sinks,
            });
            names.insert(group.name.to_string(), Some(id));
            ids.push(id);
        }
        self.model.workspaces[workspace].groups = ids;
        self.groups.push(names);
        Some(workspace)
    }

    fn sinks(&mut self, workspace: &str, group: &GroupSpec) -> Vec<Sink> {
        let object = format!("{workspace}/{}", group.name);
        duplicates(
            &group.sinks,
            &object,
            |sink| format!("group `{}` reads dataset `{sink}` twice", group.name),
            self.diagnostics,
        );
        let mut seen = BTreeSet::new();
        group
            .sinks
            .iter()
            .filter(|sink| seen.insert(*sink))
            .filter_map(|sink| {
                let dataset = self.sink(&object, sink)?;
                Some(Sink {
                    dataset,
                    span: sink.span,
                })
            })
            .collect()
    }

    fn sink(&mut self, object: &str, sink: &Spanned<DatasetRef>) -> Option<DatasetId> {
        let DatasetRef { store, dataset } = &sink.value;
        let message = format!("`{object}` reads dataset `{sink}`, which does not exist");
        let id = match self.datastores.look_up(store.as_str()) {
            Lookup::Found(id) => id,
            Lookup::Broken => return None,
            Lookup::Missing => {
                // A dataset is looked for by both of its words, so that the help can be pasted.
                let names: Vec<String> = self
                    .datastores
                    .sorted()
                    .into_iter()
                    .map(|store| format!("{store}#{dataset}"))
                    .collect();
                let help = format!("there is no datastore `{store}`; write a document for it");
                self.dangling(
                    object.to_owned(),
                    sink.span,
                    message,
                    &sink.to_string(),
                    &names,
                    &help,
                );
                return None;
            }
        };
        let names = &self.datasets[id.index()];
        match names.look_up(dataset.as_str()) {
            Lookup::Found(dataset) => Some(dataset),
            Lookup::Broken => None,
            Lookup::Missing => {
                let names: Vec<String> = names
                    .sorted()
                    .into_iter()
                    .map(|name| format!("{store}#{name}"))
                    .collect();
                let help = format!("add `{dataset}` to the datasets of datastore `{store}`");
                self.dangling(
                    object.to_owned(),
                    sink.span,
                    message,
                    &sink.to_string(),
                    &names,
                    &help,
                );
                None
            }
        }
    }
}

fn retention(spec: &RetentionSpec) -> Retention {
    match spec {
        RetentionSpec::LiveOnly(_) => Retention::LiveOnly,
        RetentionSpec::Append(_) => Retention::Append,
        RetentionSpec::Milestoned(milestoned) => Retention::Milestoned {
            minimum: milestoned.minimum,
            versions: milestoned
                .versions
                .map_or(Versions::All, |versions| versions.value),
        },
    }
}
