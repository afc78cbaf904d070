//! Sources that only Kafka Connect asks, from where its workers are and with its own secrets.

use milepost_platform::plan::{ConnectorFile, ConnectorPlan};

use crate::doctor::finding::{Finding, some};
use crate::doctor::system::System;
use crate::live::connect::ConnectFacts;
use crate::live::{Answer, said};

/// Why Kafka Connect has not tried a source, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::doctor) struct Untried {
    pub(super) why: String,
    pub(super) remedy: String,
}

/// Did a validation reach the source? It tries the connection only where every single setting is valid, and then says so
/// by naming no error.
pub(in crate::doctor) fn tried(
    connector: &str,
    facts: &Answer<ConnectFacts>,
) -> Result<(), Untried> {
    let untried = |why: String, remedy: String| Err(Untried { why, remedy });
    let facts = match facts {
        Ok(facts) => facts,
        Err(trouble) => {
            return untried(
                format!("Kafka Connect: {trouble}"),
                "see the line of Kafka Connect; run this again when it answers".to_owned(),
            );
        }
    };
    match facts.validations.get(connector) {
        None => untried(
            "Kafka Connect lacks the plugin that would ask it".to_owned(),
            "see the line of the plugin; run this again when it is installed".to_owned(),
        ),
        Some(Err(trouble)) => untried(
            format!("Kafka Connect did not validate `{connector}`: {trouble}"),
            "see whether the workers reach it, and run this again".to_owned(),
        ),
        Some(Ok(validation)) if !validation.errors.is_empty() => untried(
            format!(
                "Kafka Connect refuses {} of `{connector}`",
                some(validation.errors.keys().map(|name| said::line(name)))
            ),
            format!("mend what the lines of connector {connector} name"),
        ),
        Some(Ok(_)) => Ok(()),
    }
}

/// Everything that is to be said about a source that is not a Postgres; nothing where there is none.
pub(in crate::doctor) fn judge(file: &ConnectorFile, facts: &Answer<ConnectFacts>) -> Vec<Finding> {
    let Some((source, system)) = source(file) else {
        return Vec::new();
    };
    let what = format!("source {}", file.store);
    let asked = match tried(&source.name, facts) {
        Ok(()) => Finding::pass(
            &what,
            format!(
                "{}: Kafka Connect reached it when it validated `{}`; nothing asks it from here",
                system.name(),
                source.name
            ),
        ),
        Err(untried) => Finding::warn(
            &what,
            format!("{} was not examined: {}", system.name(), untried.why),
            untried.remedy,
        ),
    };
    std::iter::once(asked)
        .chain(settings(&what, system))
        .collect()
}

fn source(file: &ConnectorFile) -> Option<(&ConnectorPlan, System)> {
    let source = file
        .connectors
        .iter()
        .find(|connector| connector.arrivals.is_empty())?;
    let system = System::of(source.config.get("connector.class")?)?;
    (system != System::Postgres).then_some((source, system))
}

/// The conditions of a binlog, none of which a validation reads. It is a warning where nobody else reads them either.
fn settings(what: &str, system: System) -> Option<Finding> {
    const OF_ROWS: &str =
        "its connector asks for `binlog_format=ROW` and `binlog_row_image=FULL` when it starts";
    let what = format!("{what} settings");
    match system {
        System::MySql => Some(Finding::pass(
            &what,
            format!(
                "not read from here: {OF_ROWS}, `prepare.sql` for `binlog_transaction_compression=OFF`"
            ),
        )),
        System::MariaDb => Some(Finding::warn(
            &what,
            format!(
                "nobody has looked for `gtid_strict_mode=ON`, without which the numbers of transactions may go back where the \
                 source is a replica; {OF_ROWS}, `prepare.sql` for `binlog_legacy_event_pos=ON` from 11.4 on"
            ),
            "at the source: `show global variables where variable_name in ('gtid_strict_mode', 'binlog_legacy_event_pos', \
             'binlog_format', 'binlog_row_image')`",
        )),
        System::Postgres | System::SqlServer | System::Oracle => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use test_case::test_case;

    use super::*;
    use crate::doctor::finding::Grade;
    use crate::live::Trouble;
    use crate::live::connect::{Server, Validation};

    fn file(class: &str) -> ConnectorFile {
        ConnectorFile {
            name: "store_crm".to_owned(),
            store: "crm".to_owned(),
            connectors: vec![ConnectorPlan {
                resource: "crm_source".to_owned(),
                name: "main.crm.source".to_owned(),
                config: [(
                    "connector.class".to_owned(),
                    format!("io.debezium.connector.{class}"),
                )]
                .into(),
                arrivals: BTreeMap::new(),
                protected: true,
                after: None,
            }],
        }
    }

    fn validated(validation: Option<Answer<Validation>>) -> Answer<ConnectFacts> {
        let name = "main.crm.source".to_owned();
        Ok(ConnectFacts {
            server: Server {
                version: "4.3.0".to_owned(),
            },
            plugins: Ok(Vec::new()),
            connectors: Ok(BTreeMap::new()),
            validations: validation
                .map(|answer| (name, answer))
                .into_iter()
                .collect(),
            offsets: BTreeMap::new(),
        })
    }

    fn refused() -> Validation {
        let errors = vec!["Unable to connect".to_owned()];
        Validation {
            errors: [("database.hostname".to_owned(), errors)].into(),
        }
    }

    #[test_case("mysql.MySqlConnector", "MySQL"; "mysql")]
    #[test_case("mariadb.MariaDbConnector", "MariaDB"; "mariadb")]
    #[test_case("sqlserver.SqlServerConnector", "SQL Server"; "sql server")]
    #[test_case("oracle.OracleConnector", "Oracle"; "oracle")]
    fn only_a_validation_without_an_error_passes(class: &str, name: &str) {
        let judged = |facts: Answer<ConnectFacts>| judge(&file(class), &facts).remove(0);
        let well = judged(validated(Some(Ok(Validation::default()))));
        assert_eq!(
            (well.grade, well.finding.as_str()),
            (
                Grade::Pass,
                format!("{name}: Kafka Connect reached it when it validated `main.crm.source`; nothing asks it from here")
                    .as_str()
            )
        );
        let silent = Trouble::Silent(Duration::from_secs(20));
        for (facts, why) in [
            (
                Err(Trouble::Unreachable("Connection refused".to_owned())),
                "Kafka Connect: cannot be reached: Connection refused",
            ),
            (
                validated(None),
                "Kafka Connect lacks the plugin that would ask it",
            ),
            (
                validated(Some(Err(silent))),
                "Kafka Connect did not validate `main.crm.source`: does not answer within 20 s",
            ),
            (
                validated(Some(Ok(refused()))),
                "Kafka Connect refuses `database.hostname` of `main.crm.source`",
            ),
        ] {
            let found = judged(facts);
            assert_eq!(found.grade, Grade::Warn);
            assert_eq!(found.finding, format!("{name} was not examined: {why}"));
            assert!(found.remedy.is_some());
        }
    }

    #[test_case("mysql.MySqlConnector" => Some(Grade::Pass); "prepare.sql looks at a MySQL")]
    #[test_case("mariadb.MariaDbConnector" => Some(Grade::Warn); "nobody looks at a MariaDB")]
    #[test_case("sqlserver.SqlServerConnector" => None; "SQL Server has no binlog")]
    #[test_case("oracle.OracleConnector" => None; "Oracle has no binlog")]
    fn the_settings_of_a_binlog_have_a_line(class: &str) -> Option<Grade> {
        let findings = judge(&file(class), &validated(None));
        assert!(findings.len() <= 2);
        let settings = findings
            .into_iter()
            .find(|found| found.what == "source crm settings")?;
        assert!(
            settings.finding.contains("binlog_row_image=FULL"),
            "{settings:?}"
        );
        Some(settings.grade)
    }

    #[test]
    fn a_postgres_has_lines_of_its_own() {
        let postgres = file("postgresql.PostgresConnector");
        assert_eq!(judge(&postgres, &validated(None)), []);
    }
}
