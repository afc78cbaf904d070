//! The connector that writes BEGIN and END of a store's transactions to its control table, as they come.

use milepost_job_spec::TableRef;

use super::jdbc;
use super::settings::{Settings, settings};
use crate::kubernetes_postgres::Served;
use crate::naming::postgres as names;

/// The settings of a store's control connector.
pub(super) fn settings_of(served: &Served<'_>, store: &str, topic: &str) -> Settings {
    let TableRef { schema, name } = names::control_table(served.platform.name.as_str(), store);
    let mut all = jdbc::settings_of(served);
    all.extend(settings(&[
        (
            "key.converter",
            "org.apache.kafka.connect.storage.StringConverter",
        ),
        (
            "value.converter",
            "org.apache.kafka.connect.storage.StringConverter",
        ),
        // The sink wants a record with fields; the text becomes the only one.
        ("transforms", "wrap"),
        (
            "transforms.wrap.type",
            "org.apache.kafka.connect.transforms.HoistField$Value",
        ),
        ("transforms.wrap.field", "payload"),
    ]));
    all.extend([
        ("topics".to_owned(), topic.to_owned()),
        (
            "collection.name.format".to_owned(),
            format!("{schema}.{name}"),
        ),
    ]);
    all
}
