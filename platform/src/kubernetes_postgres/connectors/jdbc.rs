//! What every sink into staging shares.

use super::plugin;
use super::settings::{Settings, secret, settings};
use crate::kubernetes_postgres::Served;

/// Seconds between tries to reach the platform's database.
const RETRY_SECONDS: u64 = 5;
/// How long a sink goes on trying: a restart of the database. Then it fails, which is seen: some lost connections are never
/// made again by the task that had them, and one that tries in vain keeps its partitions from a task that would not.
const RETRY_SECONDS_IN_ALL: u64 = 60;

/// The settings of Debezium's JDBC sink, for whatever it writes.
pub(super) fn settings_of(served: &Served<'_>) -> Settings {
    let config = &served.config;
    let credential = config.postgres_credential.as_str();
    let mut all = settings(&[
        ("connector.class", plugin::SINK.class),
        ("tasks.max", "1"),
        ("consumer.override.auto.offset.reset", "earliest"),
        // The consumer would make a topic with as many partitions as the broker likes, and the order of events holds in one.
        ("consumer.override.allow.auto.create.topics", "false"),
        // How long a topic may go unnoticed that the source creates later: for a dataset that is added, or empty so far.
        ("consumer.override.metadata.max.age.ms", "10000"),
        // By position: a redelivered record overwrites itself, and nothing else ever does.
        ("insert.mode", "upsert"),
        ("primary.key.mode", "kafka"),
        ("delete.enabled", "false"),
        ("truncate.enabled", "false"),
        ("schema.evolution", "none"),
        ("quote.identifiers", "true"),
        ("use.time.zone", "UTC"),
        ("batch.size", "500"),
        ("connection.pool.min_size", "1"),
        ("connection.pool.max_size", "4"),
        // A lost connection is made again, and what was not written is written: the same rows at the same positions.
        ("connection.restart.on.errors", "true"),
        // Stop rather than lose an event.
        ("errors.tolerance", "none"),
    ]);
    all.extend([
        (
            "flush.max.retries".to_owned(),
            (RETRY_SECONDS_IN_ALL / RETRY_SECONDS).to_string(),
        ),
        (
            "flush.retry.delay.ms".to_owned(),
            (RETRY_SECONDS * 1000).to_string(),
        ),
        (
            "connection.url".to_owned(),
            url(
                &config.postgres_host,
                config.postgres_port,
                &config.postgres_database,
            ),
        ),
        (
            "connection.username".to_owned(),
            secret(credential, "_USER"),
        ),
        (
            "connection.password".to_owned(),
            secret(credential, "_PASSWORD"),
        ),
    ]);
    all
}

/// What the driver is told besides. A server that vanished without a word is noticed by the keep-alive of TCP or after two minutes;
/// messages, which become traces of tasks, are without the values of rows.
const PARAMETERS: &str = "tcpKeepAlive=true&socketTimeout=120&logServerErrorDetail=false";

/// The address of a database.
fn url(host: &str, port: u16, database: &str) -> String {
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let database: String = database
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect();
    format!("jdbc:postgresql://{host}:{port}/{database}?{PARAMETERS}")
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("db", "warehouse", "//db:5432/warehouse"; "a host")]
    #[test_case("::1", "a/b?c&d=é %", "//[::1]:5432/a%2Fb%3Fc%26d%3D%C3%A9%20%25"; "an address and marks of a URL")]
    fn a_database_has_its_url(host: &str, database: &str, expected: &str) {
        let expected = format!("jdbc:postgresql:{expected}?{PARAMETERS}");
        assert_eq!(url(host, 5432, database), expected);
    }
}
