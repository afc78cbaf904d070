use std::collections::BTreeMap;

use super::{Export, History, Ingest, IngestedDataset, IntentionGraph};
use crate::model::{DatasetId, Group, GroupId, Model, PlatformId, Retention};
use crate::spec::Consistency;

impl IntentionGraph {
    /// What must flow on a platform, and nothing that nobody asked for.
    #[must_use]
    pub fn build(model: &Model, platform: PlatformId) -> Self {
        let mut groups: Vec<GroupId> = model
            .assignments
            .iter()
            .filter(|assignment| assignment.platform == platform)
            .map(|assignment| assignment.group)
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let ingests = ingests(model, asked_for(model, &groups));
        let exports = exports(model, &groups, &ingests);
        Self {
            platform,
            ingests,
            exports,
        }
    }
}

/// Every dataset that a group reads, with the needs of all of them.
fn asked_for(model: &Model, groups: &[GroupId]) -> BTreeMap<DatasetId, IngestedDataset> {
    let mut asked: BTreeMap<DatasetId, IngestedDataset> = BTreeMap::new();
    for &id in groups {
        let group = &model.groups[id];
        for sink in &group.sinks {
            asked
                .entry(sink.dataset)
                .and_modify(|dataset| dataset.add(id, group))
                .or_insert_with(|| IngestedDataset {
                    dataset: sink.dataset,
                    history: History::of(group.retention),
                    latency: group.latency.value,
                    consumers: vec![id],
                });
        }
    }
    asked
}

impl IngestedDataset {
    fn add(&mut self, id: GroupId, group: &Group) {
        self.history = self.history.strictest(History::of(group.retention));
        self.latency = self.latency.min(group.latency.value);
        if self.consumers.last() != Some(&id) {
            self.consumers.push(id);
        }
    }
}

impl History {
    const fn of(retention: Retention) -> Self {
        match retention {
            Retention::LiveOnly => Self::LiveOnly,
            Retention::Append => Self::Append,
            Retention::Milestoned { minimum, versions } => Self::Milestoned {
                minimum: minimum.value,
                versions,
            },
        }
    }

    /// The history that serves both.
    fn strictest(self, other: Self) -> Self {
        match (self, other) {
            (Self::LiveOnly, history) | (history, Self::LiveOnly) => history,
            // The rule `append` lets nobody ask for both.
            (Self::Append, history) | (history, Self::Append) => history,
            (
                Self::Milestoned { minimum, versions },
                Self::Milestoned {
                    minimum: other_minimum,
                    versions: other_versions,
                },
            ) => Self::Milestoned {
                minimum: minimum.max(other_minimum),
                versions: versions.max(other_versions),
            },
        }
    }
}

/// One node per batch stream. Datasets are in the order of their stores already, because ids are.
fn ingests(model: &Model, asked: BTreeMap<DatasetId, IngestedDataset>) -> Vec<Ingest> {
    let mut ingests: Vec<Ingest> = Vec::new();
    for (id, dataset) in asked {
        let store = model.datasets[id].store;
        let together = match model.datastores[store].ingestion.consistency {
            Consistency::MultiDataset => true,
            Consistency::SingleDataset => false,
        };
        match ingests.last_mut() {
            Some(last) if together && last.store == store => last.datasets.push(dataset),
            _ => ingests.push(Ingest {
                store,
                together,
                datasets: vec![dataset],
            }),
        }
    }
    ingests
}

fn exports(model: &Model, groups: &[GroupId], ingests: &[Ingest]) -> Vec<Export> {
    let places: BTreeMap<DatasetId, usize> = ingests
        .iter()
        .enumerate()
        .flat_map(|(place, ingest)| ingest.datasets.iter().map(move |d| (d.dataset, place)))
        .collect();
    groups
        .iter()
        .map(|&group| {
            let sinks = model.groups[group].sinks.iter();
            let mut needs: Vec<usize> = sinks.map(|sink| places[&sink.dataset]).collect();
            needs.sort_unstable();
            needs.dedup();
            Export { group, needs }
        })
        .collect()
}
