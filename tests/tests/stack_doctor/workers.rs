//! Workers of Kafka Connect: without a plugin, killed, and two of them.

use std::os::unix::fs::symlink;
use std::time::Duration;

use acceptance::stack::{ConnectSettings, Pipeline, Stack};
use tempfile::TempDir;

use super::examined::{Examined, model};

#[test]
fn a_connect_that_lacks_a_plugin_or_is_down() {
    let stack = Stack::shared();
    let plugins = TempDir::new().expect("the temporary directory is writable");
    let sink = stack.connect.plugin_path().join("debezium-connector-jdbc");
    symlink(&sink, plugins.path().join("jdbc")).expect("a link can be made");
    let worker = stack
        .worker(ConnectSettings {
            group: "sinks-only".to_owned(),
            plugin_path: Some(plugins.path().to_owned()),
            ..ConnectSettings::default()
        })
        .expect("it starts");
    let pipeline = Pipeline::new(stack);
    let (port, database) = (stack.source.port(), pipeline.source.name().to_owned());
    let text = model(&pipeline, &worker.url(), port, &database);
    let examined = Examined::of(pipeline, &text);
    let lacks =
        "fail plugin io.debezium.connector.postgresql.PostgresConnector: Kafka Connect lacks it";
    examined.says(
        1,
        &[
            lacks,
            "pass plugin io.debezium.connector.jdbc.JdbcSinkConnector: version 3.6.0.Final",
        ],
    );

    worker.kill();
    let down = format!("fail kafka-connect {}: cannot be reached", worker.url());
    examined.says(3, &[&down, "control schema: there is none"]);
    worker.start().expect("there is Java");
    worker
        .wait(Duration::from_secs(90))
        .expect("it starts again");
    examined.says(1, &[lacks]);
}

#[test]
fn a_worker_that_dies_hands_its_connectors_over() {
    let stack = Stack::shared();
    let mut examined = Examined::running(stack);
    let second = stack.second_worker().expect("it starts");
    examined.is_well();
    second.kill();
    examined
        .pipeline
        .source
        .run("insert into orders values (1001, 1)");
    // Until the group misses it, what it ran is told as it was; then the first worker runs everything.
    examined.merged();
    examined.is_well();
}
