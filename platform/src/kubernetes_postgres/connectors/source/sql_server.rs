use milepost_dsl::model::Database;

use super::{Captured, Settings, schema_history, settings};
use crate::kubernetes_postgres::connectors::plugin;

/// What Debezium's SQL Server connector has besides.
pub(super) fn settings_of(captured: &Captured<'_>, database: &Database) -> Settings {
    let mut all = settings(&[
        ("connector.class", plugin::SQL_SERVER.class),
        ("binary.handling.mode", "bytes"),
        // `datetime2(7)` in nanoseconds holds the years 1677 to 2262 only, and Postgres has microseconds.
        ("time.precision.mode", "microseconds"),
        // One state of all tables without locks; the database has to allow it.
        ("snapshot.isolation.mode", "snapshot"),
    ]);
    all.extend(schema_history(captured));
    all.insert("database.names".to_owned(), database.name.to_string());
    all
}
