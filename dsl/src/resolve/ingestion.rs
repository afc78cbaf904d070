use std::num::NonZeroU16;

use crate::Spanned;
use crate::model::{
    Cdc, Credential, DEFAULT_SCHEDULE, Database, Ingestion, OracleDatabase, Origin, Source, Topics,
};
use crate::scalar::{Cron, Line, LocationPath};
use crate::spec::{
    CdcSpec, Consistency, DatabaseSpec, DatastoreSpec, IngestionSpec, OracleDatabaseSpec,
    SourceKind, SourceSpec, TopicsSpec,
};

/// How a store comes in, with every default applied.
pub(super) fn ingestion(store: &DatastoreSpec) -> Ingestion {
    let (origin, locations, consistency, schedule) = match &store.ingestion {
        IngestionSpec::Cdc(spec) => {
            let cdc = Cdc {
                source: source(&spec.source),
                credential: Credential::resolve(&spec.credential),
            };
            let CdcSpec {
                consistency,
                schedule,
                ..
            } = spec;
            let locations = locations(&spec.source);
            (Origin::Cdc(cdc), locations, consistency, schedule)
        }
        IngestionSpec::Topics(TopicsSpec {
            connector,
            prefix,
            transactions,
            locations,
            consistency,
            schedule,
        }) => {
            let topics = Topics {
                connector: *connector,
                prefix: prefix.clone(),
                transactions: transactions.clone(),
            };
            (Origin::Topics(topics), locations, consistency, schedule)
        }
    };
    Ingestion {
        origin,
        locations: locations.clone().unwrap_or_default(),
        consistency: consistency
            .map_or(Consistency::SingleDataset, |consistency| consistency.value),
        schedule: schedule.clone().unwrap_or_else(|| {
            let cron: Cron = DEFAULT_SCHEDULE
                .parse()
                .expect("the default schedule is one");
            Spanned::new(cron, store.name.span)
        }),
    }
}

fn locations(source: &SourceSpec) -> &Option<Vec<Spanned<LocationPath>>> {
    match source {
        SourceSpec::Postgres(spec)
        | SourceSpec::MySql(spec)
        | SourceSpec::MariaDb(spec)
        | SourceSpec::SqlServer(spec) => &spec.locations,
        SourceSpec::Oracle(spec) => &spec.locations,
    }
}

fn source(source: &SourceSpec) -> Source {
    let database =
        |spec: &DatabaseSpec, kind| database(kind, &spec.host, spec.port, &spec.database);
    match source {
        SourceSpec::Postgres(spec) => Source::Postgres(database(spec, SourceKind::Postgres)),
        SourceSpec::MySql(spec) => Source::MySql(database(spec, SourceKind::MySql)),
        SourceSpec::MariaDb(spec) => Source::MariaDb(database(spec, SourceKind::MariaDb)),
        SourceSpec::SqlServer(spec) => Source::SqlServer(database(spec, SourceKind::SqlServer)),
        SourceSpec::Oracle(spec) => Source::Oracle(oracle(spec)),
    }
}

fn oracle(spec: &OracleDatabaseSpec) -> OracleDatabase {
    OracleDatabase {
        database: database(SourceKind::Oracle, &spec.host, spec.port, &spec.database),
        pluggable: spec.pluggable_database.clone(),
    }
}

fn database(
    kind: SourceKind,
    host: &Spanned<Line>,
    port: Option<Spanned<NonZeroU16>>,
    name: &Spanned<Line>,
) -> Database {
    Database {
        host: host.clone(),
        port: port.map_or(kind.default_port(), |port| port.value.get()),
        name: name.clone(),
    }
}
