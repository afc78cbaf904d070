//! Secrets that every server repeats, and nobody prints.

use serde_json::json;

use super::http::Answer;
use super::platform::{API_PASSWORD, Platform};

const SOURCE: &str = "c4nary-of-source";
const WAREHOUSE: &str = "c4nary-of-warehouse";
const EDITED: &str = "c4nary-of-hand";
const ROW: &str = "c4nary-of-row";

#[test]
fn no_secret_is_in_any_output() {
    let mut platform = Platform::new();
    // The database trusts this user, so the password is only carried.
    let url = platform
        .database
        .url()
        .replace("postgres@", &format!("postgres:{WAREHOUSE}@"));
    platform.set("MILEPOST_DATABASE_URL", &url);
    platform.set("SHOP_READER_USER", "reader");
    platform.set("SHOP_READER_PASSWORD", SOURCE);
    let gossip = format!(
        "Login failed with {API_PASSWORD}, {SOURCE} and {WAREHOUSE}; jdbc:postgresql://x:{EDITED}@h/d?password={EDITED}"
    );
    platform.script(|script| {
        let trace = format!(
            "{gossip}\nCaused by: java.sql.BatchUpdateException: Batch entry 0 insert into t values ('{ROW}') was aborted"
        );
        script.fail("main.shop.sink", &trace);
        let source = script.connectors.get_mut("main.shop.source").expect("the plan has it");
        source["info"]["config"]["database.password"] = json!(EDITED);
        source["info"]["config"]["by.hand"] = json!(EDITED);
        source["status"]["connector"] = json!({"state": "ODD"});
        let refused = json!({"configs": [
            {"value": {"name": "connection.url", "value": EDITED, "errors": [gossip.clone()]}},
            {"value": {"name": "batch.size", "value": EDITED,
                "errors": [format!("Invalid value {EDITED} for configuration batch.size: no number")]}},
        ]});
        let jdbc = "/connector-plugins/io.debezium.connector.jdbc.JdbcSinkConnector/";
        script.instead.insert(jdbc.to_owned(), Answer::Json(200, refused));
        let offsets = "/connectors/main.shop.sink/offsets";
        script.instead.insert(offsets.to_owned(), Answer::Json(500, json!({"message": gossip})));
    });
    platform.database.run(&format!(
        "update milepost.streams set consecutive_failures = 1;
         insert into milepost.batches (stream_id, platform, store, batch_number, status, started_at, finished_at, model_version, spec_version, error, hint)
         select id, platform, store, 1, 'failed', now(), now(), 'x', 1, 'refused {WAREHOUSE}', 'hidden {WAREHOUSE}' from milepost.streams"
    ));
    for format in ["human", "json"] {
        for run in [
            platform.doctor(&["--format", format]),
            platform.status(&["--format", format]),
        ] {
            let text = run.to_string();
            for canary in [API_PASSWORD, SOURCE, WAREHOUSE, EDITED, ROW] {
                assert!(!text.contains(canary), "{canary} is in:\n{text}");
            }
            assert_ne!(run.code, 0, "the servers' gossip was heard: {run}");
        }
    }
    let told = platform.doctor(&[]).stdout;
    for heard in [
        "Login failed with …, … and …",
        "`by.hand`, `database.password`",
        "refused …",
    ] {
        assert!(told.contains(heard), "`{heard}` is not in:\n{told}");
    }
}

#[test]
fn an_address_with_a_login_is_shown_without_it() {
    let platform = Platform::new();
    let address = format!("http://127.0.0.1:{}", platform.port);
    let settings = "platforms/main/platform.yaml";
    let with_login = format!("http://c4nary-user:c4nary-word@127.0.0.1:{}", platform.port);
    platform.model.replace(settings, &address, &with_login);
    let run = platform.doctor(&[]);
    assert!(
        run.stdout
            .contains(&format!("kafka-connect {address}: version 4.3.0")),
        "{run}"
    );
    assert!(!run.to_string().contains("c4nary"), "{run}");
    // Nor where nobody listens, and the client's own errors name the address.
    platform.model.replace(
        settings,
        &with_login,
        "http://c4nary-user:c4nary-word@127.0.0.1:1",
    );
    let run = platform.doctor(&[]);
    assert!(
        run.stdout
            .contains("kafka-connect http://127.0.0.1:1: cannot be reached"),
        "{run}"
    );
    assert!(!run.to_string().contains("c4nary"), "{run}");
}
