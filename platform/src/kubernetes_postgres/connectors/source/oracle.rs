use milepost_dsl::model::OracleDatabase;

use super::{Captured, Settings, schema_history, settings};
use crate::kubernetes_postgres::connectors::plugin;

/// What Debezium's Oracle connector has besides.
pub(super) fn settings_of(captured: &Captured<'_>, oracle: &OracleDatabase) -> Settings {
    let mut all = settings(&[
        ("connector.class", plugin::ORACLE.class),
        ("database.connection.adapter", "logminer"),
        ("log.mining.strategy", "online_catalog"),
        // `timestamp(9)` in nanoseconds holds the years 1677 to 2262 only, and Postgres has microseconds.
        ("time.precision.mode", "microseconds"),
        ("interval.handling.mode", "string"),
        // A lock on each table for the moment in which its shape is read; the rows are read as of an SCN.
        ("snapshot.locking.mode", "shared"),
    ]);
    all.extend(schema_history(captured));
    all.insert(
        "database.dbname".to_owned(),
        oracle.database.name.to_string(),
    );
    if let Some(pluggable) = &oracle.pluggable {
        all.insert("database.pdb.name".to_owned(), pluggable.to_string());
    }
    all
}
