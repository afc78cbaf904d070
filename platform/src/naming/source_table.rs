//! Tables as their sources, Debezium's connectors and its events call them.
//!
//! A connector's lists have `schema.table` (MySQL, MariaDB: `database.table`). Topics and END events put the database before
//! the schema for SQL Server; END events do for Oracle too.

use milepost_dsl::model::{Dataset, Ingestion, Origin, Source};
use milepost_dsl::spec::{Consistency, SourceKind};

/// The schema of SQL Server where nobody names one.
const SQL_SERVER_SCHEMA: &str = "dbo";
/// The schema of Postgres where nobody names one.
const POSTGRES_SCHEMA: &str = "public";

/// A table of a source by the names that others know it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTable {
    /// In lists of the connector, before it is made a regular expression: `public.customers`.
    pub listed: String,
    /// In the name of its topic, after the prefix and before characters that Kafka has not are replaced.
    pub topic: String,
    /// In END events of transactions, as `data_collection`.
    pub collection: String,
}

impl SourceTable {
    /// The names of a dataset's table.
    #[must_use]
    pub fn of(ingestion: &Ingestion, dataset: &Dataset) -> Self {
        let from = dataset.source_name.as_str();
        let source = match &ingestion.origin {
            Origin::Cdc(cdc) => &cdc.source,
            Origin::SqlSnapshot(snapshot) => &snapshot.source,
            // There `from` is what follows the prefix, and what END events say.
            Origin::Topics(_) => return Self::same(from.to_owned()),
        };
        let (schema, table) = from.split_once('.').unwrap_or_else(|| {
            let schema = match source {
                Source::Postgres(_) => POSTGRES_SCHEMA,
                Source::MySql(database) | Source::MariaDb(database) => database.name.as_str(),
                Source::SqlServer(_) => SQL_SERVER_SCHEMA,
                // Users own schemas of their own name; none is everybody's.
                Source::Oracle(_) => "",
            };
            (schema, from)
        });
        let listed = format!("{schema}.{table}");
        match source {
            Source::Postgres(_) | Source::MySql(_) | Source::MariaDb(_) => Self::same(listed),
            Source::SqlServer(database) => {
                let whole = format!("{}.{listed}", database.name);
                Self {
                    listed,
                    topic: whole.clone(),
                    collection: whole,
                }
            }
            Source::Oracle(oracle) => {
                let container = oracle.pluggable.as_ref().unwrap_or(&oracle.database.name);
                // The connector makes both names upper case before it uses them.
                let container = container.as_str().to_uppercase();
                Self {
                    topic: listed.clone(),
                    collection: format!("{container}.{listed}"),
                    listed,
                }
            }
        }
    }

    /// Can `from` be the name of a table at the source?
    #[must_use]
    pub fn is_legal(ingestion: &Ingestion, from: &str) -> bool {
        let kind = ingestion.kind();
        let parts: Vec<&str> = from.split('.').collect();
        let (fewest, most) = match (&ingestion.origin, kind) {
            (Origin::Cdc(_) | Origin::SqlSnapshot(_), SourceKind::Oracle) => (2, 2),
            (Origin::Cdc(_) | Origin::SqlSnapshot(_), _) => (1, 2),
            // Only END events have to be understood; a topic may be called anything.
            (Origin::Topics(topics), _)
                if topics.transactions.is_none()
                    || ingestion.consistency == Consistency::SingleDataset =>
            {
                return !from.is_empty();
            }
            (Origin::Topics(_), SourceKind::Postgres | SourceKind::MySql | SourceKind::MariaDb) => {
                (2, 2)
            }
            (Origin::Topics(_), SourceKind::SqlServer) => (3, 3),
            // Its END events are not read.
            (Origin::Topics(_), SourceKind::Oracle) => return !from.is_empty(),
        };
        (fewest..=most).contains(&parts.len()) && parts.iter().all(|part| is_identifier(kind, part))
    }

    fn same(name: String) -> Self {
        Self {
            listed: name.clone(),
            topic: name.clone(),
            collection: name,
        }
    }
}

/// Can a schema, database or table of a source have the name, and can a connector's list say it?
#[must_use]
pub fn is_identifier(kind: SourceKind, name: &str) -> bool {
    let fits = match kind {
        SourceKind::Postgres => name.len() <= 63,
        SourceKind::MySql | SourceKind::MariaDb => name.chars().count() <= 64,
        SourceKind::SqlServer => name.encode_utf16().count() <= 128,
        SourceKind::Oracle => name.len() <= 128,
    };
    fits && !name.is_empty() && !name.contains(['.', ',', '\0'])
}

#[cfg(test)]
mod tests {
    use milepost_dsl::{Model, Sources};
    use test_case::test_case;

    use super::*;

    fn model(ingestion: &str, from: &str) -> Model {
        let text = format!(
            "kind: Ecosystem\nname: acme\nlanguage: 1\nrepository: github:acme/model@ecosystem\n\
             live: github:acme/model@main\nzones: {{europe: \"github:acme/model@europe\"}}\n\
             platforms: {{main: \"github:acme/main@main\"}}\n---\n\
             kind: Platform\nname: main\nimplementation: {{external: {{}}}}\n---\n\
             kind: GovernanceZone\nname: europe\nteams: {{sales: \"github:acme/sales@main\"}}\n---\n\
             kind: Team\nname: europe/sales\n---\n\
             kind: Datastore\nname: shop\nteam: europe/sales\ningestion: {ingestion}\n\
             datasets: [{{name: rows, from: \"{from}\", key: [id], columns: [{{name: id, type: bigint}}]}}]\n"
        );
        let sources: Sources = [("model.yaml", text)].into_iter().collect();
        let checked = milepost_dsl::check(&sources);
        checked
            .model
            .unwrap_or_else(|| panic!("{:?}", checked.diagnostics))
    }

    fn cdc(source: &str) -> String {
        format!(
            "{{cdc: {{source: {{{source}}}, credential: {{name: reader, type: username-password}}}}}}"
        )
    }

    fn topics(connector: &str) -> String {
        format!(
            "{{topics: {{connector: {connector}, prefix: crm, transactions: crm.transaction, \
             consistency: multi-dataset}}}}"
        )
    }

    fn names(model: &Model) -> (SourceTable, bool) {
        let store = model.datastores.values().next().unwrap();
        let dataset = model.datasets.values().next().unwrap();
        let legal = SourceTable::is_legal(&store.ingestion, dataset.source_name.as_str());
        (SourceTable::of(&store.ingestion, dataset), legal)
    }

    const POSTGRES: &str = "postgres: {host: db, database: shop}";
    const MYSQL: &str = "mysql: {host: db, database: shop}";
    const MARIADB: &str = "mariadb: {host: db, database: shop}";
    const SQL_SERVER: &str = "sql-server: {host: db, database: Shop}";
    const ORACLE: &str = "oracle: {host: db, database: orclcdb, pluggable-database: orclpdb1}";
    const PLAIN_ORACLE: &str = "oracle: {host: db, database: orcl}";

    #[test_case(POSTGRES, "rows", ["public.rows"; 3])]
    #[test_case(POSTGRES, "sales.rows", ["sales.rows"; 3])]
    #[test_case(MYSQL, "rows", ["shop.rows"; 3])]
    #[test_case(MYSQL, "stock.rows", ["stock.rows"; 3])]
    #[test_case(MARIADB, "rows", ["shop.rows"; 3])]
    #[test_case(SQL_SERVER, "rows", ["dbo.rows", "Shop.dbo.rows", "Shop.dbo.rows"])]
    #[test_case(SQL_SERVER, "sales.rows", ["sales.rows", "Shop.sales.rows", "Shop.sales.rows"])]
    #[test_case(ORACLE, "SALES.ROWS", ["SALES.ROWS", "SALES.ROWS", "ORCLPDB1.SALES.ROWS"])]
    #[test_case(PLAIN_ORACLE, "SALES.ROWS", ["SALES.ROWS", "SALES.ROWS", "ORCL.SALES.ROWS"])]
    fn a_table_is_called_as_its_connector_calls_it(
        source: &str,
        from: &str,
        [listed, topic, collection]: [&str; 3],
    ) {
        let (names, legal) = names(&model(&cdc(source), from));
        assert!(legal);
        let expected = SourceTable {
            listed: listed.to_owned(),
            topic: topic.to_owned(),
            collection: collection.to_owned(),
        };
        assert_eq!(names, expected);
    }

    #[test_case("postgres", "sales.rows")]
    #[test_case("mysql", "shop.rows")]
    #[test_case("sql-server", "shop.dbo.rows")]
    #[test_case("oracle", "SALES.ROWS")]
    fn a_topic_of_others_is_called_as_the_model_says(connector: &str, from: &str) {
        let (names, legal) = names(&model(&topics(connector), from));
        assert!(legal);
        assert_eq!(names, SourceTable::same(from.to_owned()));
    }

    #[test_case(&cdc(POSTGRES), "a.b.c")]
    #[test_case(&cdc(MYSQL), "a.b.c")]
    #[test_case(&cdc(SQL_SERVER), "a.b.c")]
    #[test_case(&cdc(ORACLE), "ROWS"; "a user of oracle has a schema")]
    #[test_case(&cdc(POSTGRES), "a,b")]
    #[test_case(&cdc(MYSQL), "shop."; "no table")]
    #[test_case(&topics("mysql"), "rows")]
    #[test_case(&topics("sql-server"), "dbo.rows")]
    fn what_is_no_table_is_refused(ingestion: &str, from: &str) {
        assert!(!names(&model(ingestion, from)).1);
    }

    #[test]
    fn names_have_the_bounds_of_their_source() {
        for (kind, bound) in [
            (SourceKind::Postgres, 63),
            (SourceKind::MySql, 64),
            (SourceKind::MariaDb, 64),
            (SourceKind::SqlServer, 128),
            (SourceKind::Oracle, 128),
        ] {
            assert!(is_identifier(kind, &"x".repeat(bound)));
            assert!(!is_identifier(kind, &"x".repeat(bound + 1)));
        }
        assert!(is_identifier(SourceKind::MySql, &"\u{e9}".repeat(64)));
        assert!(!is_identifier(SourceKind::Oracle, &"\u{e9}".repeat(65)));
    }
}
