use std::collections::{BTreeSet, HashMap};

use super::Resolver;
use super::ingestion::ingestion;
use super::names::{Names, duplicates};
use crate::model::{
    Column, Credential, DEFAULT_MISSING_PERCENT, Dataset, DatasetId, Datastore, DatastoreId, Policy,
};
use crate::rules::key;
use crate::scalar::{Percent, did_you_mean};
use crate::spec::{
    ColumnSpec, CredentialSpec, DatasetSpec, DatastoreSpec, IngestionSpec, OnResnapshot, OnTruncate,
};
use crate::{Span, Spanned};

impl Resolver<'_> {
    pub(super) fn datastores(&mut self, specs: &[&DatastoreSpec]) {
        for spec in specs {
            let id = self.datastore(spec);
            self.datastores.insert(spec.name.to_string(), id);
        }
    }

    fn datastore(&mut self, spec: &DatastoreSpec) -> Option<DatastoreId> {
        let name = spec.name.as_str();
        let resolved: Vec<ResolvedDataset<'_>> = spec
            .datasets
            .iter()
            .map(|dataset| self.dataset(name, dataset))
            .collect();
        duplicates(
            spec.datasets.iter().map(|dataset| &dataset.name),
            name,
            |dataset| format!("datastore `{name}` has two datasets `{dataset}`"),
            self.diagnostics,
        );
        let team = self.owner(name, &spec.team)?;
        let store = self.model.datastores.push(Datastore {
            name: spec.name.clone(),
            team,
            ingestion: ingestion(spec),
            datasets: Vec::new(),
        });
        let mut names: Names<DatasetId> = Names::within();
        let mut ids = Vec::with_capacity(resolved.len());
        let mut seen = BTreeSet::new();
        for dataset in resolved {
            if seen.insert(&dataset.spec.name) {
                let id = self.model.datasets.push(dataset.of(store, &spec.ingestion));
                names.insert(dataset.spec.name.to_string(), Some(id));
                ids.push(id);
            }
        }
        self.model.datastores[store].datasets = ids;
        self.datasets.push(names);
        Some(store)
    }

    fn dataset<'s>(&mut self, store: &str, spec: &'s DatasetSpec) -> ResolvedDataset<'s> {
        let object = format!("{store}#{}", spec.name);
        let name = &spec.name;
        duplicates(
            spec.columns.iter().map(|column| &column.name),
            &object,
            |column| format!("dataset `{name}` has two columns `{column}`"),
            self.diagnostics,
        );
        for column in &spec.columns {
            duplicates(
                column.classifications.iter().flatten(),
                &format!("{object}.{}", column.name),
                |word| format!("column `{}` is classified `{word}` twice", column.name),
                self.diagnostics,
            );
        }
        let mut seen = BTreeSet::new();
        let columns: Vec<&ColumnSpec> = spec
            .columns
            .iter()
            .filter(|column| seen.insert(&column.name))
            .collect();
        let key = self.key(&object, spec, &columns);
        ResolvedDataset { spec, columns, key }
    }

    /// The key's columns as places, after everything that is wrong with a key was reported.
    fn key(
        &mut self,
        object: &str,
        spec: &DatasetSpec,
        columns: &[&ColumnSpec],
    ) -> Vec<Spanned<usize>> {
        let report = |this: &mut Self, span: Span, message: String, help: String| {
            this.report(key::RULE.finding(object, span, message).with_help(help));
        };
        let Some(written) = &spec.key else {
            return Vec::new();
        };
        if written.is_empty() {
            let message = format!("dataset `{}` has an empty key", spec.name);
            let help = "list the columns that tell its rows apart, such as `key: [id]`, or leave `key` out if \
                        no columns do"
                .to_owned();
            report(self, spec.name.span, message, help);
        }
        duplicates(
            written,
            object,
            |column| format!("the key of `{}` has column `{column}` twice", spec.name),
            self.diagnostics,
        );
        let places: HashMap<&str, usize> = columns
            .iter()
            .enumerate()
            .map(|(place, column)| (column.name.as_str(), place))
            .collect();
        let mut key = Vec::with_capacity(written.len());
        let mut seen = BTreeSet::new();
        for column in written {
            let Some(&place) = places.get(column.as_str()) else {
                let message = format!(
                    "the key of `{}` has `{column}`, which is no column",
                    spec.name
                );
                let names = columns.iter().map(|column| column.name.as_str());
                let help = did_you_mean(column.as_str(), names)
                    .unwrap_or_else(|| format!("add `{column}` to the columns"));
                report(self, column.span, message, help);
                continue;
            };
            if !seen.insert(place) {
                continue;
            }
            if let Some(nullable) = columns[place]
                .nullable
                .as_ref()
                .filter(|nullable| nullable.value)
            {
                let message = format!("column `{column}` is in the key and nullable");
                let help = "remove `nullable: true`; the source's key has no nulls".to_owned();
                let finding = key::RULE
                    .finding(format!("{object}.{column}"), nullable.span, message)
                    .with_related(column.span, "in the key here")
                    .with_help(help);
                self.report(finding);
            }
            key.push(Spanned::new(place, column.span));
        }
        key
    }
}

/// A dataset of which only the datastore is missing.
struct ResolvedDataset<'s> {
    spec: &'s DatasetSpec,
    columns: Vec<&'s ColumnSpec>,
    key: Vec<Spanned<usize>>,
}

impl ResolvedDataset<'_> {
    fn of(&self, store: DatastoreId, ingestion: &IngestionSpec) -> Dataset {
        let spec = self.spec;
        let source_name = match &spec.from {
            Some(from) => Spanned::new(from.as_str().to_owned(), from.span),
            None => Spanned::new(spec.name.as_str().to_owned(), spec.name.span),
        };
        Dataset {
            name: spec.name.clone(),
            store,
            source_name,
            key: self.key.clone(),
            columns: self
                .columns
                .iter()
                .map(|column| resolved_column(column))
                .collect(),
            policy: policy(spec, ingestion),
        }
    }
}

/// What is done where merging leaves a choice. An image has every row, so what it does not have is gone.
fn policy(spec: &DatasetSpec, ingestion: &IngestionSpec) -> Policy {
    let (truncate, resnapshot) = match ingestion {
        IngestionSpec::Cdc(_) | IngestionSpec::Topics(_) => {
            (OnTruncate::Fail, OnResnapshot::Report)
        }
        IngestionSpec::SqlSnapshot(_) => (OnTruncate::CloseAll, OnResnapshot::Heal),
    };
    let here = spec.name.span;
    Policy {
        truncate: spec.truncate.unwrap_or(Spanned::new(truncate, here)),
        resnapshot: spec.resnapshot.unwrap_or(Spanned::new(resnapshot, here)),
        missing_limit: spec.missing_limit.map_or_else(
            || Percent::new(DEFAULT_MISSING_PERCENT).expect("the default is a percentage"),
            |limit| limit.value,
        ),
    }
}

fn resolved_column(spec: &ColumnSpec) -> Column {
    Column {
        name: spec.name.clone(),
        data_type: spec.r#type.clone(),
        nullable: spec.nullable.is_some_and(|nullable| nullable.value),
        classifications: spec.classifications.clone().unwrap_or_default(),
    }
}

impl Credential {
    /// A credential as it was written: it has no defaults.
    #[must_use]
    pub fn resolve(spec: &CredentialSpec) -> Self {
        Self {
            name: spec.name.clone(),
            credential_type: spec.r#type,
        }
    }
}
