//! Merge tables beside their source tables.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use milepost_job_spec::{DatasetSpec, StreamSpec, ViewSpec, milestone};

use super::Pipeline;
use super::quiet::source_table;
use crate::{Job, compare};

/// What the tables of a source held at a moment: CSV by platform, store and dataset.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(BTreeMap<String, String>);

impl Pipeline<'_> {
    /// What the source's tables hold now, all in one transaction of the source.
    pub fn source_snapshot(&mut self) -> Snapshot {
        let mut reader = self.source.again();
        reader.run("begin isolation level repeatable read read only");
        let mut snapshot = Snapshot::default();
        for (stream, dataset) in self.datasets() {
            let columns = dataset.columns.iter();
            let columns: Vec<String> = columns.map(|column| column.staged_as.quoted()).collect();
            let text = reader.copy_out(&format!(
                "copy (select {} from {}) to stdout (format csv, null '\\N')",
                columns.join(", "),
                source_table(&dataset)
            ));
            snapshot.0.insert(id(&stream, &dataset), text);
        }
        snapshot
    }

    /// Demands that the live rows of every merge table are those of its source table now. Nobody may write, everything has
    /// to be merged. Returns how many rows were compared, by dataset.
    ///
    /// # Errors
    /// If a row differs, is missing or is too many: with some of them.
    pub fn compare(&mut self) -> Result<BTreeMap<String, usize>> {
        let snapshot = self.source_snapshot();
        let compared = self.compare_with(&snapshot, compare::live)?;
        // Whoever runs it is told the same.
        let stores = self.streams().into_iter();
        let stores = stores.filter(|spec| spec.origin.is_some());
        let stores: BTreeSet<String> = stores.map(|spec| spec.stream.store.clone()).collect();
        for store in stores {
            let run = self.verify_with_source(&store, "0").run();
            ensure!(run.code == 0, "merge-job verify --source: {run}");
        }
        Ok(compared)
    }

    /// `merge-job verify` of a store and of its source.
    #[must_use]
    pub fn verify_with_source(&self, store: &str, settle: &str) -> Job {
        Job::new(&self.url())
            .args(["verify", "--platform", &self.name, "--store", store])
            .args(["--source", "--settle", settle])
            .env("MILEPOST_SOURCE_URL", self.source.url())
    }

    /// Demands that the history of every milestoned table, as of a moment in the words of Postgres, is what the source held
    /// when everything up to then was merged. Returns how many rows were compared, by dataset.
    ///
    /// # Errors
    /// If a row differs, is missing or is too many: with some of them.
    pub fn compare_as_of(
        &mut self,
        snapshot: &Snapshot,
        time: &str,
    ) -> Result<BTreeMap<String, usize>> {
        let milestoned = |dataset: &DatasetSpec| {
            let views = dataset.views.iter();
            let function = |view: &ViewSpec| {
                let name = view.as_of.as_ref()?.quoted();
                Some(format!("{}.{name}('{time}')", view.schema.quoted()))
            };
            // As a consumer reads it, where there is one.
            if let Some(function) = views.filter_map(function).next() {
                return function;
            }
            let (table, from, out) = (dataset.merge.quoted(), milestone::IN, milestone::OUT);
            match dataset.strategy.is_milestoned() {
                false => String::new(),
                true => format!(
                    "{table} where {from} <= '{time}' and ({out} is null or {out} > '{time}')"
                ),
            }
        };
        self.compare_with(snapshot, milestoned)
    }

    fn compare_with(
        &mut self,
        snapshot: &Snapshot,
        from: impl Fn(&DatasetSpec) -> String,
    ) -> Result<BTreeMap<String, usize>> {
        let mut compared = BTreeMap::new();
        for (stream, dataset) in self.datasets() {
            let (id, from) = (id(&stream, &dataset), from(&dataset));
            let Some(rows) = snapshot.0.get(&id).filter(|_| !from.is_empty()) else {
                continue;
            };
            compare::load_truth(&mut self.platform, &dataset, rows, false);
            let difference = compare::difference(&mut self.platform, &dataset, &from);
            ensure!(difference.is_none(), "{}", difference.unwrap_or_default());
            let count = self.platform.value("select count(*) from truth");
            compared.insert(id, count.parse()?);
        }
        Ok(compared)
    }

    pub(super) fn datasets(&self) -> Vec<(StreamSpec, DatasetSpec)> {
        let streams = self.streams().into_iter();
        streams
            .flat_map(|spec| {
                let datasets = spec.datasets.iter();
                datasets.map(|dataset| (spec.clone(), dataset.clone()))
            })
            .collect()
    }
}

fn id(stream: &StreamSpec, dataset: &DatasetSpec) -> String {
    format!("{}#{}", stream.stream.store, dataset.name)
}
