//! Debezium's plugins for Kafka Connect: the class of each, and the release that its settings were made for.

/// A plugin that Kafka Connect has to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plugin {
    /// Its `connector.class`.
    pub(super) class: &'static str,
    /// The release under which its settings were seen to work or, where no server was at hand, to be taken.
    pub(super) release: &'static str,
}

pub(super) const POSTGRES: Plugin = Plugin {
    class: "io.debezium.connector.postgresql.PostgresConnector",
    release: "3.6.0.Final",
};
pub(super) const MYSQL: Plugin = Plugin {
    class: "io.debezium.connector.mysql.MySqlConnector",
    release: "3.6.0.Final",
};
/// Maven Central has no 3.6.0 of this and the next two.
pub(super) const MARIADB: Plugin = Plugin {
    class: "io.debezium.connector.mariadb.MariaDbConnector",
    release: "3.5.0.Final",
};
pub(super) const SQL_SERVER: Plugin = Plugin {
    class: "io.debezium.connector.sqlserver.SqlServerConnector",
    release: "3.6.1.Final",
};
pub(super) const ORACLE: Plugin = Plugin {
    class: "io.debezium.connector.oracle.OracleConnector",
    release: "3.6.1.Final",
};
pub(super) const SINK: Plugin = Plugin {
    class: "io.debezium.connector.jdbc.JdbcSinkConnector",
    release: "3.6.0.Final",
};

/// The release of Debezium that a rendered connector's settings were made for, by its `connector.class`; none for a class that
/// no plan names.
#[must_use]
pub fn release_of(class: &str) -> Option<&'static str> {
    [POSTGRES, MYSQL, MARIADB, SQL_SERVER, ORACLE, SINK]
        .into_iter()
        .find_map(|plugin| (plugin.class == class).then_some(plugin.release))
}
