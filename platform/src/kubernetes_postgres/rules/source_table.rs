use milepost_dsl::model::{Datastore, Origin, Source};
use milepost_dsl::rules::{About, Rule};
use milepost_dsl::spec::SourceKind;
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::dataset_path;
use crate::kubernetes_postgres::Served;
use crate::naming::source_table::{SourceTable, is_identifier};

static ABOUT: About = About {
    id: RuleId::new("source-table"),
    severity: Severity::Error,
    summary: "every dataset names a table of its source",
    explanation: "`from` is a table as its source calls it, in the source's own case. Postgres: \
                  `schema.table`, or a table of `public`. MySQL and MariaDB: `database.table`, or a \
                  table of the store's database. SQL Server: `schema.table`, or a table of `dbo`. \
                  Oracle: `SCHEMA.TABLE`. A name is as long as the source permits: 63 bytes in \
                  Postgres, 64 characters in MySQL and MariaDB, 128 in SQL Server, 128 bytes in Oracle. A \
                  dot, a comma or a NUL in one is more than the connector's list \
                  of tables can say.\n\nOf topics that others fill `from` is what follows the prefix, \
                  so it may be any text. Where transactions are read too, it has to be what these call \
                  the table: `schema.table` of Postgres, `database.table` of MySQL and MariaDB, \
                  `database.schema.table` of SQL Server.",
};

/// Tables that the connector cannot name.
#[derive(Debug)]
pub(super) struct SourceTableRule;

impl Rule<Served<'_>> for SourceTableRule {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, _) in served.stores() {
            findings.extend(database(store));
        }
        for (store, dataset, _) in served.datasets() {
            let from = &dataset.source_name;
            if SourceTable::is_legal(&store.ingestion, from.as_str()) {
                continue;
            }
            let (parts, example) = expected(store);
            let kind = store.ingestion.kind().title();
            let message = match &store.ingestion.origin {
                Origin::Cdc(_) => format!("the connector of {kind} knows no table as `{from}`"),
                Origin::SqlSnapshot(_) => format!("{kind} has no table `{from}`"),
                Origin::Topics(_) => format!("transactions of {kind} know no table as `{from}`"),
            };
            findings.push(
                ABOUT
                    .finding(dataset_path(store, dataset), from.span, message)
                    .with_help(format!("write `from` as a {parts}, such as `{example}`")),
            );
        }
    }
}

/// A database whose name stands before those of its tables in the connector's lists.
fn database(store: &Datastore) -> Option<Diagnostic> {
    let source = &store.ingestion.cdc()?.source;
    let name = match source {
        Source::MySql(database) | Source::MariaDb(database) => &database.name,
        Source::Postgres(_) | Source::SqlServer(_) | Source::Oracle(_) => return None,
    };
    (!is_identifier(source.kind(), name.as_str())).then(|| {
        let title = source.kind().title();
        let message = format!("the connector of {title} cannot name the database `{name}`");
        ABOUT
            .finding(store.name.to_string(), name.span, message)
            .with_help(
                "a database has a name without dots and commas, as long as its server permits",
            )
    })
}

/// What `from` should be, and an example.
fn expected(store: &Datastore) -> (&'static str, &'static str) {
    let of_topics = store.ingestion.topics().is_some();
    match store.ingestion.kind() {
        SourceKind::Postgres => ("schema and a table", "public.customers"),
        SourceKind::MySql | SourceKind::MariaDb => ("database and a table", "shop.customers"),
        SourceKind::SqlServer if of_topics => {
            ("database, a schema and a table", "shop.dbo.customers")
        }
        SourceKind::SqlServer => ("schema and a table", "dbo.customers"),
        SourceKind::Oracle => ("schema and a table", "SHOP.CUSTOMERS"),
    }
}
