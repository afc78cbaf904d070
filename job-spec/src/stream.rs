use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    ColumnSpec, DatasetPolicy, Input, OnResnapshot, OnTruncate, Origin, PgIdent, SourcePosition,
    Strategy, TableRef, milestone,
};

/// The version of the StreamSpec that this release writes; [`StreamSpec::from_json`] reads this one and those before.
///
/// 2: input, policies of datasets, how long staged rows are kept, the strategy `append`. 3: the origin of events.
pub const STREAM_SPEC_VERSION: u32 = 3;

/// Which batch stream: a dataset of a store, or a whole store as one transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamKey {
    /// The platform's name.
    pub platform: String,
    /// The datastore's name.
    pub store: String,
    /// The dataset's name; none for a multi-dataset stream.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dataset: Option<String>,
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.platform, self.store)?;
        self.dataset
            .as_ref()
            .map_or(Ok(()), |dataset| write!(f, "#{dataset}"))
    }
}

/// All that one merge task needs to know. Its JSON is the whole truth that the pod gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamSpec {
    /// The version of this shape.
    pub version: u32,
    /// Which stream.
    pub stream: StreamKey,
    /// Where staged rows come from.
    #[serde(skip_serializing_if = "Input::is_events", default)]
    pub input: Input,
    /// Where those of events come from, if the merge job can read it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<Origin>,
    /// Where the source position stands in staged rows.
    pub source: SourcePosition,
    /// The datasets that are merged in one transaction, in name order.
    pub datasets: Vec<DatasetSpec>,
    /// Where END events of the source's transactions arrive, for multi-dataset streams whose connector supplies them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transactions: Option<TableRef>,
    /// Bounds of a batch.
    pub limits: Limits,
}

/// A dataset: its tables, columns and strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// The dataset's name in the model.
    pub name: String,
    /// The table or topic name at the source, as END events call it: `public.customers`.
    pub source_name: String,
    /// The number of the naming scheme that made the tables' names.
    pub naming: u32,
    /// Where events arrive.
    pub staging: TableRef,
    /// Where rows are merged. A milestoned table is partitioned: see [`DatasetSpec::live`] and [`DatasetSpec::closed`].
    pub merge: TableRef,
    /// The partition of live rows of a milestoned table.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub live: Option<TableRef>,
    /// The partition of closed rows of a milestoned table.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub closed: Option<TableRef>,
    /// The table at the source, where the merge job can read it: [`Input::Image`], [`StreamSpec::origin`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_table: Option<TableRef>,
    /// How events become rows.
    pub strategy: Strategy,
    /// What is done where merging leaves a choice.
    #[serde(skip_serializing_if = "DatasetPolicy::is_default", default)]
    pub policy: DatasetPolicy,
    /// The key: names of merge columns, in key order; empty for [`Strategy::Append`] alone.
    pub key: Vec<PgIdent>,
    /// All columns, in table order.
    pub columns: Vec<ColumnSpec>,
    /// Views of workspaces that read the table.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub views: Vec<ViewSpec>,
}

/// The views of one workspace on one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewSpec {
    /// The workspace's schema.
    pub schema: PgIdent,
    /// The role that may read it.
    pub role: PgIdent,
    /// The view of live rows.
    pub live: PgIdent,
    /// The view of all versions, for milestoned groups.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub history: Option<PgIdent>,
    /// The function of the rows as of a moment, for milestoned groups.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub as_of: Option<PgIdent>,
}

/// Bounds of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The most staged rows that a batch takes; a larger source transaction is taken whole.
    pub max_rows: u64,
    /// The most rows of one dataset that a batch may quarantine; with more it fails.
    pub max_quarantined: u64,
    /// Seconds for which a source transaction may stay incomplete in staging before the stream stops.
    pub incomplete_transaction_seconds: u64,
    /// Seconds for which staged rows are kept after the batch that merged them.
    #[serde(default = "staged_seconds_of_version_1")]
    pub staged_seconds: u64,
}

/// Version 1 said nothing of it, and nothing was trimmed: a week, as plans of version 2 have it where nobody says otherwise.
const fn staged_seconds_of_version_1() -> u64 {
    7 * 24 * 60 * 60
}

/// Why a text is no usable StreamSpec.
#[derive(Debug, Error)]
pub enum SpecError {
    /// Not JSON, or not of the shape.
    #[error("the stream spec does not parse")]
    Json(#[source] serde_json::Error),
    /// Written by another release.
    #[error(
        "the stream spec has version {found}, this merge-job reads versions 1 to {STREAM_SPEC_VERSION}; \
         render and publish with the release that runs the merge"
    )]
    Version {
        /// The version in the text.
        found: u64,
    },
    /// Of the shape, but contradicting itself.
    #[error("the stream spec of `{stream}` contradicts itself: {what}")]
    Inconsistent {
        /// Which stream.
        stream: String,
        /// What is wrong.
        what: String,
    },
}

impl StreamSpec {
    /// Reads a spec of this version or an older one, and checks what its types cannot hold.
    ///
    /// # Errors
    /// [`SpecError`] if the text is no JSON, of another version, or contradicts itself.
    pub fn from_json(text: &str) -> Result<Self, SpecError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let Versioned { version: found } = serde_json::from_str(text).map_err(SpecError::Json)?;
        if !(1..=u64::from(STREAM_SPEC_VERSION)).contains(&found) {
            return Err(SpecError::Version { found });
        }
        let spec: Self = serde_json::from_str(text).map_err(SpecError::Json)?;
        spec.check()?;
        Ok(spec)
    }

    /// The spec as the planner writes it: pretty JSON with a final newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a spec has only text keys");
        text.push('\n');
        text
    }

    fn check(&self) -> Result<(), SpecError> {
        let fail = |what: String| {
            Err(SpecError::Inconsistent {
                stream: self.stream.to_string(),
                what,
            })
        };
        if self.datasets.is_empty() {
            return fail("it has no dataset".to_owned());
        }
        if self.limits.max_rows == 0 {
            return fail("`max_rows` is 0".to_owned());
        }
        if self.origin.is_some() && !self.input.is_events() {
            return fail("it reads its source, so its events have no origin".to_owned());
        }
        let own = self.source.staging_columns();
        for dataset in &self.datasets {
            let name = &dataset.name;
            if dataset.key.is_empty() != (dataset.strategy == Strategy::Append) {
                return fail(format!(
                    "dataset `{name}` has strategy `append` or a key: one of the two"
                ));
            }
            if dataset.strategy.is_append()
                && let Some(what) = self.forbids_append(&dataset.policy)
            {
                return fail(format!("dataset `{name}` has strategy `append`, {what}"));
            }
            let is_readable = !self.input.is_events() || self.origin.is_some();
            if is_readable != dataset.source_table.is_some() {
                return fail(format!(
                    "dataset `{name}` names its table at the source where the stream has one, and only there"
                ));
            }
            for (what, names) in [
                (
                    "merge",
                    dataset.columns.iter().map(|c| &c.name).collect::<Vec<_>>(),
                ),
                (
                    "staging",
                    dataset.columns.iter().map(|c| &c.staged_as).collect(),
                ),
            ] {
                let mut seen = BTreeSet::new();
                for column in names {
                    if !seen.insert(column) {
                        return fail(format!(
                            "dataset `{name}` has two {what} columns `{column}`"
                        ));
                    }
                }
            }
            for key in &dataset.key {
                match dataset.columns.iter().find(|column| column.name == *key) {
                    None => return fail(format!("key `{key}` of dataset `{name}` is no column")),
                    Some(column) if column.nullable => {
                        return fail(format!("key `{key}` of dataset `{name}` is nullable"));
                    }
                    Some(_) => {}
                }
            }
            for column in &dataset.columns {
                let reserved = [
                    milestone::IN,
                    milestone::OUT,
                    milestone::SOURCE_TS,
                    milestone::OP,
                ];
                if reserved.contains(&column.name.as_str())
                    || own.iter().any(|own| own.name == column.staged_as.as_str())
                {
                    return fail(format!(
                        "column `{}` of dataset `{name}` is reserved",
                        column.name
                    ));
                }
            }
            if dataset.strategy.is_milestoned()
                && (dataset.live.is_none() || dataset.closed.is_none())
            {
                return fail(format!("milestoned dataset `{name}` lacks its partitions"));
            }
        }
        Ok(())
    }
}

impl StreamSpec {
    /// Why rows without a key cannot be told apart here, or what their policy asks of them.
    const fn forbids_append(&self, policy: &DatasetPolicy) -> Option<&'static str> {
        if !self.input.is_events() {
            return Some("and images are compared by key");
        }
        if matches!(self.source, SourcePosition::Oracle) {
            return Some("and rows of an Oracle have no place in their transaction");
        }
        if matches!(policy.truncate, OnTruncate::CloseAll) {
            return Some("and its policy `close-all` deletes by key");
        }
        if matches!(policy.resnapshot, OnResnapshot::Heal) {
            return Some("and its policy `heal` deletes by key");
        }
        None
    }
}

impl DatasetSpec {
    /// The table that holds live rows: the live partition, or the merge table itself.
    #[must_use]
    pub fn live_table(&self) -> &TableRef {
        self.live.as_ref().unwrap_or(&self.merge)
    }

    /// The table that holds closed versions: the closed partition, or the merge table itself.
    #[must_use]
    pub fn closed_table(&self) -> &TableRef {
        self.closed.as_ref().unwrap_or(&self.merge)
    }

    /// The key's columns, in key order.
    pub fn key_columns(&self) -> impl Iterator<Item = &ColumnSpec> {
        self.key
            .iter()
            .filter_map(|key| self.columns.iter().find(|column| column.name == *key))
    }

    /// The columns beside the key, in table order.
    pub fn value_columns(&self) -> impl Iterator<Item = &ColumnSpec> {
        self.columns
            .iter()
            .filter(|column| !self.key.contains(&column.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A spec of one dataset without a key, with a part of it replaced.
    fn append(part: &str, by: &str) -> Result<StreamSpec, SpecError> {
        let text = r#"{
            "version": 2, "stream": {"platform": "main", "store": "shop", "dataset": "clicks"},
            "input": "events", "source": "postgres",
            "datasets": [{
                "name": "clicks", "source_name": "public.clicks", "naming": 1,
                "staging": {"schema": "main_staging", "name": "shop__clicks"}, "merge": {"schema": "main", "name": "shop__clicks"},
                "strategy": "append", "policy": {"truncate": "fail"}, "key": [],
                "columns": [{"name": "page", "staged_as": "page", "merge_type": "text", "staging_type": "text", "nullable": false}]
            }],
            "limits": {"max_rows": 1000, "max_quarantined": 10, "incomplete_transaction_seconds": 900, "staged_seconds": 900}
        }"#;
        assert!(text.contains(part), "the spec has {part}");
        StreamSpec::from_json(&text.replace(part, by))
    }

    #[test]
    fn a_dataset_without_a_key_is_appended() {
        let spec = append("clicks", "clicks").expect("it contradicts nothing");
        assert!(spec.datasets[0].strategy.is_append());
    }

    #[test]
    fn a_source_that_can_be_read_has_a_name_for_every_table() {
        let origin = r#""source": "postgres", "origin": {"slot": "s", "database": {"kind": "postgres", "host": "h", "port": 5432,
            "database": "d", "user_variable": "U", "password_variable": "P"}}"#;
        let error = append(r#""source": "postgres""#, origin).expect_err("no table");
        assert!(
            error
                .to_string()
                .contains("names its table at the source where the stream has one"),
            "{error}"
        );
    }

    #[test]
    fn what_needs_a_key_is_refused_without_one() {
        for (part, by, words) in [
            (
                r#""append""#,
                r#""live-only""#,
                "strategy `append` or a key",
            ),
            (
                r#""key": []"#,
                r#""key": ["page"]"#,
                "strategy `append` or a key",
            ),
            ("fail", "close-all", "its policy `close-all` deletes by key"),
            (
                r#""truncate": "fail""#,
                r#""resnapshot": "heal""#,
                "its policy `heal` deletes by key",
            ),
            ("postgres", "oracle", "no place in their transaction"),
            (
                r#""events""#,
                r#"{"image": {"kind": "postgres", "host": "h", "port": 5432, "database": "d",
                    "user_variable": "U", "password_variable": "P"}}"#,
                "images are compared by key",
            ),
        ] {
            let error = append(part, by).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.contains("dataset `clicks`"), "{error}");
        }
    }
}
