//! MySQL and MariaDB: what reads the binary log.

use super::{Captured, Settings, schema_history, settings, signals};
use crate::kubernetes_postgres::connectors::plugin::{self, Plugin};
use crate::naming::kafka;

/// What Debezium's MySQL connector has besides.
pub(super) fn mysql(captured: &Captured<'_>) -> Settings {
    settings_of(captured, plugin::MYSQL)
}

/// What Debezium's MariaDB connector has besides.
pub(super) fn mariadb(captured: &Captured<'_>) -> Settings {
    settings_of(captured, plugin::MARIADB)
}

fn settings_of(captured: &Captured<'_>, plugin: Plugin) -> Settings {
    let mut all = settings(&[
        ("connector.class", plugin.class),
        ("time.precision.mode", "adaptive_time_microseconds"),
        // The years 0 to 99 are those that the table holds.
        ("enable.time.adjuster", "false"),
        ("driver.yearIsDateType", "false"),
        // A bigint without sign beyond 2^63 would arrive negative.
        ("bigint.unsigned.handling.mode", "precise"),
        // A lock for the moment in which positions and shapes are read; the rows are read without one.
        ("snapshot.locking.mode", "minimal"),
        // Stop rather than pass over an event.
        ("event.deserialization.failure.handling.mode", "fail"),
        ("inconsistent.schema.handling.mode", "fail"),
    ]);
    all.extend(schema_history(captured));
    signals(captured, &mut all);
    let store = captured.store.name.as_str();
    all.insert(
        "database.server.id".to_owned(),
        kafka::server_id(captured.platform, store).to_string(),
    );
    all
}
