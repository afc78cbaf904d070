use std::collections::BTreeMap;

use crate::naming;

/// A connector's settings by their names.
pub(super) type Settings = BTreeMap<String, String>;

/// The largest row as JSON, 16 MiB: producers, and the topics that sources create, take it. The default of Kafka stops a source
/// at 1 MiB.
pub(super) const MAX_RECORD_BYTES: &str = "16777216";

/// Settings that are the same everywhere.
pub(super) fn settings(pairs: &[(&str, &str)]) -> Settings {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// JSON with schemas: types survive the topic. A null that arrives as its column's default would be a wrong value.
pub(super) fn json_converters() -> Settings {
    settings(&[
        (
            "key.converter",
            "org.apache.kafka.connect.json.JsonConverter",
        ),
        ("key.converter.schemas.enable", "true"),
        ("key.converter.replace.null.with.default", "false"),
        (
            "value.converter",
            "org.apache.kafka.connect.json.JsonConverter",
        ),
        ("value.converter.schemas.enable", "true"),
        ("value.converter.replace.null.with.default", "false"),
    ])
}

/// A value of a credential as Kafka Connect's config provider finds it in the environment of its workers.
pub(super) fn secret(credential: &str, suffix: &str) -> String {
    format!(
        "${{env:{}}}",
        naming::kubernetes::variable(credential, suffix)
    )
}
