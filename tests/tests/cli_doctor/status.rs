//! A line per stream, and why it is late.

use acceptance::Job;
use serde_json::Value;

use super::http::Answer;
use super::platform::{Platform, told};

/// Merges what is staged.
fn merge(platform: &Platform) {
    Job::new(platform.database.url())
        .args(["merge", "--platform", "main", "--store", "shop"])
        .succeed();
}

#[test]
fn a_stream_that_is_well() {
    let mut platform = Platform::new();
    told(
        &platform.status(&[]),
        0,
        &["main/shop  never-run  nothing waits  no batch yet\n"],
    );
    platform.database.run(
        "insert into main_staging.shop__customers (id, name, __op, __source_ts_us, __connect_topic, __connect_partition, __connect_offset)
         select n, 'Ann', 'r', 1700000000000000, 'shop__customers', 0, n from generate_series(0, 6) n",
    );
    told(
        &platform.status(&[]),
        0,
        &["main/shop  never-run  behind 7 rows, "],
    );
    merge(&platform);
    told(
        &platform.status(&[]),
        0,
        &["nothing waits", " s ago), 7 rows\n"],
    );
    let run = platform.status(&["--format", "json"]);
    let report: Value = serde_json::from_str(&run.stdout).expect("it is JSON");
    assert_eq!(report["version"], 1);
    let stream = &report["streams"][0];
    assert_eq!(stream["store"], "shop");
    assert_eq!(stream["behind"]["rows"], 0);
    assert_eq!(stream["lastBatch"]["rows"], 7);
    assert_eq!(stream["lastFailure"], Value::Null);
    let connectors = stream["connectors"].as_array().expect("a list");
    assert!(
        connectors
            .iter()
            .all(|connector| connector["state"] == "RUNNING"),
        "{run}"
    );
    assert_eq!(connectors.len(), 3);
}

#[test]
fn a_stream_is_late_because_a_connector_stopped() {
    let platform = Platform::new();
    platform.script(|script| {
        script.fail(
            "main.shop.sink",
            "x\nCaused by: ERROR: permission denied for table shop__orders",
        );
        script.connectors.remove("main.shop.control");
        script
            .connectors
            .get_mut("main.shop.source")
            .expect("the plan has it")["status"]["connector"]["state"] = Value::from("PAUSED");
    });
    told(
        &platform.status(&[]),
        1,
        &[
            "    late because connector main.shop.source is PAUSED\n",
            "    late because connector main.shop.sink is FAILED: the database's role may not use a table\n",
            "    late because connector main.shop.control is MISSING\n",
        ],
    );
}

#[test]
fn a_connect_that_is_down_is_said_and_hides_no_stream() {
    let platform = Platform::new();
    platform.script(|script| {
        script.instead.insert("/".to_owned(), Answer::Silence);
        script.instead.insert(
            "/connectors".to_owned(),
            Answer::Text(502, "text/html", "<html>".to_owned()),
        );
    });
    told(
        &platform.status(&[]),
        3,
        &["main/shop  never-run", "kafka-connect: answers 502\n"],
    );
    let run = platform.status(&["--format", "json"]);
    let report: Value = serde_json::from_str(&run.stdout).expect("it is JSON");
    assert_eq!(report["kafkaConnect"], "answers 502");
    assert_eq!(report["streams"][0]["connectors"][0]["state"], "UNKNOWN");
}
