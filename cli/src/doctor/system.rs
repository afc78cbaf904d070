//! What a connector speaks to, by its class: a text in a trace means one thing of a Postgres and another of a MySQL.

/// A database at the other end of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// A source, or the platform's own, which sinks write to.
    Postgres,
    MySql,
    MariaDb,
    SqlServer,
    Oracle,
}

impl System {
    /// None for a class that no plan names.
    pub(crate) fn of(class: &str) -> Option<Self> {
        Some(match class.strip_prefix("io.debezium.connector.")? {
            "postgresql.PostgresConnector" | "jdbc.JdbcSinkConnector" => Self::Postgres,
            "mysql.MySqlConnector" => Self::MySql,
            "mariadb.MariaDbConnector" => Self::MariaDb,
            "sqlserver.SqlServerConnector" => Self::SqlServer,
            "oracle.OracleConnector" => Self::Oracle,
            _ => return None,
        })
    }

    /// As its maker writes it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
            Self::SqlServer => "SQL Server",
            Self::Oracle => "Oracle",
        }
    }
}

#[cfg(test)]
mod tests {
    use milepost_platform::kubernetes_postgres::release_of;
    use test_case::test_case;

    use super::*;

    #[test_case("io.debezium.connector.postgresql.PostgresConnector" => "PostgreSQL")]
    #[test_case("io.debezium.connector.jdbc.JdbcSinkConnector" => "PostgreSQL")]
    #[test_case("io.debezium.connector.mysql.MySqlConnector" => "MySQL")]
    #[test_case("io.debezium.connector.mariadb.MariaDbConnector" => "MariaDB")]
    #[test_case("io.debezium.connector.sqlserver.SqlServerConnector" => "SQL Server")]
    #[test_case("io.debezium.connector.oracle.OracleConnector" => "Oracle")]
    fn every_class_of_a_plan_has_its_system(class: &str) -> &'static str {
        assert!(release_of(class).is_some(), "plans have `{class}`");
        System::of(class).unwrap().name()
    }

    #[test]
    fn another_class_has_none() {
        assert_eq!(System::of("org.example.Connector"), None);
    }
}
