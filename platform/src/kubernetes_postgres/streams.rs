//! What merge jobs read: a spec per stream and the index of the platform.

use std::collections::{BTreeMap, BTreeSet};

use milepost_dsl::graph::{History, Ingest, IngestedDataset};
use milepost_dsl::model::{Column, Dataset, Datastore, Retention, Source};
use milepost_dsl::scalar::CredentialType;
use milepost_dsl::spec::{self, SourceKind};
use milepost_job_spec::{
    ColumnSpec, DatabaseAddress, DatasetPolicy, DatasetSpec, Digest, Input, Limits, ModelVersion,
    OnResnapshot, OnTruncate, Origin, PLATFORM_PLAN_VERSION, PgIdent, PlatformPlan,
    STREAM_SPEC_VERSION, SourceDatabase, SourceDatabaseKind, SourcePosition, Strategy, StreamEntry,
    StreamKey, StreamSpec, TableRef, Versions, ViewSpec, WorkspaceSchema,
};

use super::topics::StoreTopics;
use super::{
    DEFAULT_INCOMPLETE_TRANSACTION_SECONDS, DEFAULT_MAX_QUARANTINED, DEFAULT_MAX_ROWS, Served,
    credential_store,
};
use crate::credential::SecretVariable;
use crate::naming;
use crate::naming::postgres as names;
use crate::naming::source_table::SourceTable;
use crate::type_mapping;

/// The spec of every stream by its file.
pub(super) fn specs(served: &Served<'_>) -> BTreeMap<String, StreamSpec> {
    let ingests = served.graph.ingests.iter();
    ingests
        .map(|ingest| {
            let spec = spec(served, ingest);
            let file = naming::stream_file(&spec.stream.store, spec.stream.dataset.as_deref());
            (file, spec)
        })
        .collect()
}

/// The index of the platform.
pub(super) fn index(
    served: &Served<'_>,
    specs: &BTreeMap<String, StreamSpec>,
    version: &ModelVersion,
) -> PlatformPlan {
    PlatformPlan {
        version: PLATFORM_PLAN_VERSION,
        platform: served.platform.name.to_string(),
        model: version.clone(),
        database: database_address(served),
        streams: specs
            .iter()
            .map(|(file, spec)| StreamEntry {
                stream: spec.stream.clone(),
                file: file.clone(),
                digest: Digest::of(spec.to_json().as_bytes()),
            })
            .collect(),
        tables: tables(specs).into_iter().collect(),
        workspaces: workspaces(served),
    }
}

/// Every table that the streams need.
fn tables(specs: &BTreeMap<String, StreamSpec>) -> BTreeSet<TableRef> {
    let mut tables = BTreeSet::new();
    for spec in specs.values() {
        tables.extend(spec.transactions.clone());
        for dataset in &spec.datasets {
            tables.extend([dataset.staging.clone(), dataset.merge.clone()]);
            tables.extend(dataset.live.clone());
            tables.extend(dataset.closed.clone());
        }
    }
    tables
}

/// The schemas of workspaces of which the platform serves a group.
fn workspaces(served: &Served<'_>) -> Vec<WorkspaceSchema> {
    let exports = served.graph.exports.iter();
    let ids: BTreeSet<_> = exports
        .map(|export| served.model.groups[export.group].workspace)
        .collect();
    ids.into_iter()
        .map(|id| {
            let workspace = served.model.workspaces[id].name.to_string();
            let schema = names::workspace(&workspace);
            WorkspaceSchema {
                role: schema.clone(),
                schema,
                workspace,
            }
        })
        .collect()
}

fn spec(served: &Served<'_>, ingest: &Ingest) -> StreamSpec {
    let platform = served.platform.name.as_str();
    let store = &served.model.datastores[ingest.store];
    let topics = StoreTopics::of(platform, store);
    let mut datasets: Vec<DatasetSpec> = ingest
        .datasets
        .iter()
        .map(|ingested| dataset(served, store, ingested))
        .collect();
    datasets.sort_by(|a, b| a.name.cmp(&b.name));
    StreamSpec {
        version: STREAM_SPEC_VERSION,
        stream: key(served, ingest),
        input: input(store),
        origin: origin(platform, store),
        source: position(store.ingestion.kind()),
        datasets,
        transactions: (ingest.together && topics.transactions.is_some())
            .then(|| names::control_table(platform, store.name.as_str())),
        limits: Limits {
            max_rows: served
                .settings(ingest)
                .and_then(|settings| settings.max_rows.as_ref())
                .map_or(DEFAULT_MAX_ROWS, |max_rows| max_rows.value.get()),
            max_quarantined: DEFAULT_MAX_QUARANTINED,
            incomplete_transaction_seconds: DEFAULT_INCOMPLETE_TRANSACTION_SECONDS,
            staged_seconds: served.config.staged_seconds,
        },
    }
}

/// Who stages the rows of a store.
fn input(store: &Datastore) -> Input {
    let Some(snapshot) = store.ingestion.sql_snapshot() else {
        return Input::Events;
    };
    let database = source_database(&snapshot.source, snapshot.credential.name.as_str());
    Input::Image(database.expect("lint refuses images of other sources"))
}

/// Where a connector's events come from, if the merge job can read it.
fn origin(platform: &str, store: &Datastore) -> Option<Origin> {
    let cdc = store.ingestion.cdc()?;
    Some(Origin {
        database: source_database(&cdc.source, cdc.credential.name.as_str())?,
        slot: naming::kafka::slot(platform, store.name.as_str()),
    })
}

/// The database, if it is of a kind that the merge job can read.
fn source_database(source: &Source, credential: &str) -> Option<SourceDatabase> {
    let kind = match source {
        Source::Postgres(_) => SourceDatabaseKind::Postgres,
        Source::MySql(_) | Source::MariaDb(_) | Source::SqlServer(_) | Source::Oracle(_) => {
            return None;
        }
    };
    let database = source.database();
    let variable = |suffix| naming::kubernetes::variable(credential, suffix);
    Some(SourceDatabase {
        kind,
        host: database.host.to_string(),
        port: database.port,
        database: database.name.to_string(),
        user_variable: variable("_USER"),
        password_variable: variable("_PASSWORD"),
    })
}

/// The table that the merge job can read, where it can.
fn source_table(table: &SourceTable, is_readable: bool) -> Option<TableRef> {
    if !is_readable {
        return None;
    }
    let (schema, name) = table
        .listed
        .split_once('.')
        .expect("the rule `source-table` leaves a schema and a table");
    let identifier = |name: &str| {
        name.parse::<PgIdent>()
            .expect("the rule `source-table` bounds names")
    };
    Some(TableRef {
        schema: identifier(schema),
        name: identifier(name),
    })
}

/// What is done where merging leaves a choice.
fn policy(dataset: &Dataset, history: History) -> DatasetPolicy {
    DatasetPolicy {
        truncate: match dataset.policy.truncate.value {
            spec::OnTruncate::Fail => OnTruncate::Fail,
            spec::OnTruncate::CloseAll => OnTruncate::CloseAll,
            spec::OnTruncate::Ignore => OnTruncate::Ignore,
        },
        resnapshot: match dataset.policy.resnapshot.value {
            spec::OnResnapshot::Report => OnResnapshot::Report,
            spec::OnResnapshot::Heal => OnResnapshot::Heal,
        },
        max_missing_percent: dataset.policy.missing_limit.get(),
        history_seconds: match history {
            History::LiveOnly | History::Append => None,
            History::Milestoned { minimum, .. } => Some(minimum.seconds()),
        },
    }
}

/// Where rows of a kind of source say their position.
pub(super) const fn position(kind: SourceKind) -> SourcePosition {
    match kind {
        SourceKind::Postgres => SourcePosition::Postgres,
        SourceKind::MySql => SourcePosition::MySql,
        SourceKind::MariaDb => SourcePosition::MariaDb,
        SourceKind::SqlServer => SourcePosition::SqlServer,
        SourceKind::Oracle => SourcePosition::Oracle,
    }
}

/// Which stream an ingest is.
pub(super) fn key(served: &Served<'_>, ingest: &Ingest) -> StreamKey {
    StreamKey {
        platform: served.platform.name.to_string(),
        store: served.model.datastores[ingest.store].name.to_string(),
        dataset: served.stream_dataset(ingest).map(str::to_owned),
    }
}

fn dataset(served: &Served<'_>, store: &Datastore, ingested: &IngestedDataset) -> DatasetSpec {
    let platform = served.platform.name.as_str();
    let dataset = &served.model.datasets[ingested.dataset];
    let table = SourceTable::of(&store.ingestion, dataset);
    let is_image = store.ingestion.sql_snapshot().is_some();
    let is_readable = is_image || origin(platform, store).is_some();
    let source_table = source_table(&table, is_readable);
    let own = |own: &Column| {
        let planned = column(store.ingestion.kind(), own);
        if is_image {
            // An image has every value, and its columns are asked for by the source's own names.
            ColumnSpec {
                staged_as: names::column(&own.name),
                placeholder: None,
                ..planned
            }
        } else {
            planned
        }
    };
    let columns = dataset.columns.iter().map(own).collect();
    let store = store.name.as_str();
    let name = dataset.name.as_str();
    let strategy = match ingested.history {
        History::LiveOnly => Strategy::LiveOnly,
        History::Append => Strategy::Append,
        History::Milestoned { versions, .. } => Strategy::Milestoned {
            versions: match versions {
                spec::Versions::All => Versions::All,
                spec::Versions::LastPerBatch => Versions::LastPerBatch,
            },
        },
    };
    let partition = |table: fn(&str, &str, &str) -> TableRef| {
        strategy
            .is_milestoned()
            .then(|| table(platform, store, name))
    };
    DatasetSpec {
        name: name.to_owned(),
        source_name: table.collection,
        naming: naming::SCHEME,
        staging: names::staging_table(platform, store, name),
        merge: names::merge_table(platform, store, name),
        live: partition(names::live_partition),
        closed: partition(names::closed_partition),
        source_table,
        strategy,
        policy: policy(dataset, ingested.history),
        key: dataset
            .key_columns()
            .map(|column| names::column(&column.name))
            .collect(),
        columns,
        views: views(served, store, name, ingested),
    }
}

fn column(kind: SourceKind, column: &Column) -> ColumnSpec {
    let mapping =
        type_mapping::map(kind, &column.data_type).expect("lint refuses unmappable types");
    ColumnSpec {
        name: names::column(&column.name),
        staged_as: names::staged_column(&column.name),
        merge_type: mapping.merge,
        staging_type: mapping.staging,
        nullable: column.nullable,
        placeholder: mapping.placeholder,
    }
}

/// One view per workspace: with history if any of its groups asks for it.
fn views(
    served: &Served<'_>,
    store: &str,
    dataset: &str,
    ingested: &IngestedDataset,
) -> Vec<ViewSpec> {
    let mut workspaces = BTreeMap::new();
    for &id in &ingested.consumers {
        let group = &served.model.groups[id];
        let history = match group.retention {
            Retention::LiveOnly | Retention::Append => false,
            Retention::Milestoned { .. } => true,
        };
        *workspaces.entry(group.workspace).or_insert(false) |= history;
    }
    workspaces
        .into_iter()
        .map(|(id, history)| {
            let schema = names::workspace(served.model.workspaces[id].name.as_str());
            ViewSpec {
                role: schema.clone(),
                schema,
                live: names::live_view(store, dataset),
                history: history.then(|| names::history_view(store, dataset)),
                as_of: history.then(|| names::as_of_function(store, dataset)),
            }
        })
        .collect()
}

/// Where the platform's Postgres is.
pub(super) fn database_address(served: &Served<'_>) -> DatabaseAddress {
    let config = &served.config;
    let variable = |suffix| naming::kubernetes::variable(&config.postgres_credential, suffix);
    DatabaseAddress {
        host: config.postgres_host.clone(),
        port: config.postgres_port,
        database: config.postgres_database.clone(),
        user_variable: variable("_USER"),
        password_variable: variable("_PASSWORD"),
    }
}

/// The variables in which a merge pod finds user and password of the platform's Postgres, and of a source that it reads
/// itself.
pub(super) fn database_variables(served: &Served<'_>, store: &Datastore) -> Vec<SecretVariable> {
    let platform = served.config.postgres_credential.as_str();
    let source = store.ingestion.sql_snapshot();
    let source = source.map(|snapshot| snapshot.credential.name.as_str());
    // One credential may open both.
    let names = std::iter::once(platform).chain(source.filter(|source| *source != platform));
    let Some(store) = credential_store() else {
        return Vec::new();
    };
    names
        .flat_map(|name| store.variables(name, CredentialType::UsernamePassword))
        .collect()
}
