use std::num::NonZeroU16;

use crate::Spanned;
use crate::model::{
    Cdc, Credential, DEFAULT_SCHEDULE, Database, Ingestion, OracleDatabase, Origin, Source,
    SqlSnapshot, Topics,
};
use crate::scalar::{Cron, Line, LocationPath};
use crate::spec::{
    CdcSpec, Consistency, DatabaseSpec, DatastoreSpec, IngestionSpec, OracleDatabaseSpec,
    SourceKind, SourceSpec, SqlSnapshotSpec, TopicsSpec,
};

/// How a store comes in, with every default applied.
pub(super) fn ingestion(store: &DatastoreSpec) -> Ingestion {
    let (origin, locations, consistency, schedule) = match &store.ingestion {
        IngestionSpec::Cdc(CdcSpec {
            source,
            credential,
            consistency,
            schedule,
        }) => {
            let cdc = Cdc {
                source: resolved_source(source),
                credential: Credential::resolve(credential),
            };
            (Origin::Cdc(cdc), locations(source), consistency, schedule)
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
        IngestionSpec::SqlSnapshot(SqlSnapshotSpec {
            source,
            credential,
            consistency,
            schedule,
        }) => {
            let snapshot = SqlSnapshot {
                source: resolved_source(source),
                credential: Credential::resolve(credential),
            };
            let origin = Origin::SqlSnapshot(snapshot);
            (origin, locations(source), consistency, schedule)
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

fn resolved_source(source: &SourceSpec) -> Source {
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

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;
    use crate::{Diagnostic, Sources, check};

    fn ingestion(written: &str) -> Ingestion {
        let text = format!(
            "kind: Ecosystem\nname: acme\nlanguage: 1\nrepository: github:acme/model@ecosystem\n\
             live: github:acme/model@main\nzones: {{europe: \"github:acme/model@europe\"}}\n\
             platforms: {{main: \"github:acme/main@main\"}}\n---\n\
             kind: GovernanceZone\nname: europe\nteams: {{sales: \"github:acme/sales@main\"}}\n---\n\
             kind: Team\nname: europe/sales\n---\n\
             kind: Platform\nname: main\nimplementation: {{external: {{}}}}\n---\n\
             kind: Datastore\nname: shop\nteam: europe/sales\ningestion: {written}\ndatasets: []\n"
        );
        let sources: Sources = [("model.yaml", text)].into_iter().collect();
        let checked = check(&sources);
        let told = |found: &Diagnostic| found.to_plain(&sources);
        let findings: Vec<String> = checked.diagnostics.iter().map(told).collect();
        let model = checked
            .model
            .unwrap_or_else(|| panic!("{}", findings.concat()));
        let mut stores = model.datastores.values();
        stores.next().unwrap().ingestion.clone()
    }

    #[test_case("postgres", SourceKind::Postgres, 5432)]
    #[test_case("mysql", SourceKind::MySql, 3306)]
    #[test_case("mariadb", SourceKind::MariaDb, 3306)]
    #[test_case("sql-server", SourceKind::SqlServer, 1433)]
    #[test_case("oracle", SourceKind::Oracle, 1521)]
    fn a_source_listens_where_its_kind_does(word: &str, kind: SourceKind, port: u16) {
        let credential = "credential: {name: reader, type: username-password}";
        for (written, expected) in [("", port), (", port: 7", 7)] {
            let source = format!("source: {{{word}: {{host: db, database: shop{written}}}}}");
            let ingestion = ingestion(&format!("{{cdc: {{{source}, {credential}}}}}"));
            assert_eq!(ingestion.kind(), kind);
            assert_eq!(ingestion.cdc().unwrap().source.database().port, expected);
            assert!(ingestion.topics().is_none());
        }
    }

    #[test]
    fn topics_have_the_kind_of_their_connector_and_the_defaults_of_every_store() {
        let ingestion = ingestion("{topics: {connector: oracle, prefix: crm}}");
        assert_eq!(ingestion.kind(), SourceKind::Oracle);
        assert!(ingestion.cdc().is_none());
        assert_eq!(ingestion.consistency, Consistency::SingleDataset);
        assert_eq!(ingestion.schedule.as_str(), DEFAULT_SCHEDULE);
    }
}
