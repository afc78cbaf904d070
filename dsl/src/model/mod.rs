//! What a model means: every reference bound, every default applied.
//!
//! Items live in arenas of the [`Model`] and refer to each other by id, so that no reference dangles. Arenas are in
//! name order, so that nothing depends on the order of files.

mod arena;
mod datastore;
mod ecosystem;
mod ingestion;
mod platform;
mod workspace;

pub use arena::{Arena, Id};
pub use datastore::{
    Column, Credential, DEFAULT_MISSING_PERCENT, Dataset, DatasetId, Datastore, DatastoreId, Policy,
};
pub use ecosystem::{Ecosystem, Team, TeamId, Zone, ZoneId};
pub use ingestion::{
    Cdc, DEFAULT_SCHEDULE, Database, Ingestion, OracleDatabase, Origin, Source, SqlSnapshot, Topics,
};
pub use platform::{Assignment, Implementation, Platform, PlatformId};
pub use workspace::{Group, GroupId, Retention, Sink, Workspace, WorkspaceId};

/// A model without errors of reference: the input of rules, graphs and plans.
#[derive(Debug, Clone)]
pub struct Model {
    /// The whole.
    pub ecosystem: Ecosystem,
    /// Governance zones, by name.
    pub zones: Arena<ZoneId, Zone>,
    /// Teams, by zone and name.
    pub teams: Arena<TeamId, Team>,
    /// Datastores, by name.
    pub datastores: Arena<DatastoreId, Datastore>,
    /// Datasets, by datastore and then as written.
    pub datasets: Arena<DatasetId, Dataset>,
    /// Workspaces, by name.
    pub workspaces: Arena<WorkspaceId, Workspace>,
    /// Dataset groups, by workspace and then as written.
    pub groups: Arena<GroupId, Group>,
    /// Platforms, by name.
    pub platforms: Arena<PlatformId, Platform>,
    /// Assignments, by platform, workspace and group.
    pub assignments: Vec<Assignment>,
}

impl Model {
    /// The platform of this name.
    #[must_use]
    pub fn platform_named(&self, name: &str) -> Option<PlatformId> {
        let mut found = self.platforms.iter();
        found
            .find(|(_, platform)| platform.name.as_str() == name)
            .map(|(id, _)| id)
    }

    /// The path of a dataset: `shop#customers`.
    #[must_use]
    pub fn dataset_path(&self, id: DatasetId) -> String {
        let dataset = &self.datasets[id];
        format!("{}#{}", self.datastores[dataset.store].name, dataset.name)
    }

    /// The path of a group: `risk/exposure`.
    #[must_use]
    pub fn group_path(&self, id: GroupId) -> String {
        let group = &self.groups[id];
        format!("{}/{}", self.workspaces[group.workspace].name, group.name)
    }
}
