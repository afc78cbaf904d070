use milepost_dsl::model::Database;

use super::{Captured, Settings, settings, signals};
use crate::kubernetes_postgres::connectors::plugin;
use crate::naming::kafka;
use crate::type_mapping::PLACEHOLDER;

/// What Debezium's Postgres connector has besides.
pub(super) fn settings_of(captured: &Captured<'_>, database: &Database) -> Settings {
    let (platform, store) = (captured.platform, captured.store.name.as_str());
    let mut all = settings(&[
        ("connector.class", plugin::POSTGRES.class),
        ("binary.handling.mode", "bytes"),
        ("plugin.name", "pgoutput"),
        // The publication is made by whoever owns the tables; the connector's user may read and no more.
        ("publication.autocreate.mode", "disabled"),
        // Longer than the server holds the slot of a connection that has died, which is a minute.
        ("slot.max.retries", "30"),
        ("slot.retry.delay.ms", "10000"),
        ("time.precision.mode", "adaptive_time_microseconds"),
        ("interval.handling.mode", "string"),
        ("hstore.handling.mode", "json"),
        ("unavailable.value.placeholder", PLACEHOLDER),
    ]);
    signals(captured, &mut all);
    all.extend([
        ("database.dbname".to_owned(), database.name.to_string()),
        ("slot.name".to_owned(), kafka::slot(platform, store)),
        (
            "publication.name".to_owned(),
            kafka::publication(platform, store),
        ),
    ]);
    all
}
