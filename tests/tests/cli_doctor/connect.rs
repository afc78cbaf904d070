//! Kafka Connect that is well, away, or something else.

use std::net::TcpListener;

use serde_json::json;
use test_case::test_case;

use super::http::Answer;
use super::platform::{API_PASSWORD, Platform, told};

#[test]
fn a_platform_that_is_well_has_no_failure() {
    let platform = Platform::new();
    let run = platform.doctor(&[]);
    told(
        &run,
        0,
        &[
            &format!(
                "pass kafka-connect http://127.0.0.1:{}: version 4.3.0",
                platform.port
            ),
            "pass plugin io.debezium.connector.jdbc.JdbcSinkConnector: version 3.6.0.Final",
            "pass connector main.shop.source: RUNNING with 1 task, as planned, and its settings are valid",
            "pass connector main.shop.sink: RUNNING",
            "pass connector main.shop.control: RUNNING",
            "pass sink main.shop.sink: all that it committed is staged; nothing came yet of 4 of 4 topics",
            "warn source shop: not asked: the environment has no SHOP_READER_USER and no SHOP_READER_PASSWORD; \
             Kafka Connect has tried its settings instead",
            "warn stream main/shop: it was never merged; nothing waits",
            " 0 failed\n",
        ],
    );
    assert!(!run.stdout.contains("fail "), "{run}");
    assert_eq!(run.stderr, "");
}

#[test]
fn scripts_get_json_with_a_version() {
    let run = Platform::new().doctor(&["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("it is JSON");
    assert_eq!(report["version"], 1);
    assert_eq!(report["platform"], "main");
    assert_eq!(report["summary"]["failed"], 0);
    let checks = report["checks"].as_array().expect("checks are a list");
    assert!(
        checks
            .iter()
            .all(|check| (check["grade"] == "pass") == check["remedy"].is_null()),
        "{run}"
    );
}

#[test]
fn nothing_is_changed_and_the_login_goes_with_every_question() {
    let platform = Platform::new();
    platform.doctor(&[]);
    platform.script(|script| {
        // `ann` and her password, as basic authentication writes them.
        let login = "Basic YW5uOmM0bmFyeS1vZi1jb25uZWN0";
        for request in &script.asked {
            let validates = request.method == "PUT" && request.path.ends_with("/config/validate");
            assert!(request.method == "GET" || validates, "{request:?}");
            assert_eq!(request.authorization.as_deref(), Some(login), "{request:?}");
            assert!(!request.body.contains(API_PASSWORD), "{request:?}");
        }
        let validations = script
            .asked
            .iter()
            .filter(|request| request.method == "PUT");
        assert_eq!(validations.count(), 3);
    });
}

#[test_case(Answer::Text(200, "text/html", "<html>hello</html>".into()), 3, "something answers there that is no Kafka Connect"; "html")]
#[test_case(Answer::Json(200, json!({"hello": "world"})), 3, "its answer is not of the shape that Kafka Connect's have"; "other json")]
#[test_case(Answer::Json(401, json!({"message": "x"})), 2, "refuses the login: it answers 401\n     remedy: `CONNECT_API_USER` and `CONNECT_API_PASSWORD` must hold"; "unauthorized")]
#[test_case(Answer::Json(500, json!({"error_code": 500, "message": "Request timed out"})), 3, "answers 500: Request timed out"; "an error of the server")]
#[test_case(Answer::Text(503, "text/html", "<html>".into()), 3, "answers 503\n"; "an error of a proxy")]
#[test_case(Answer::Redirect("http://127.0.0.1:1/".into()), 3, "answers 302\n"; "a redirection is not followed")]
#[test_case(Answer::Truncated("{\"version\": \"4.".into()), 3, "cannot be reached: "; "a truncated answer")]
#[test_case(Answer::Text(200, "application/json", "{\"version\": \"4.".into()), 3, "its answer breaks off"; "truncated json")]
#[test_case(Answer::Silence, 3, "does not answer within 5 s"; "silence")]
fn a_connect_that_is_none(answer: Answer, code: i32, line: &str) {
    let platform = Platform::new();
    platform.script(|script| {
        script.instead.insert("/".to_owned(), answer);
    });
    let run = platform.doctor(&[]);
    let what = format!("fail kafka-connect http://127.0.0.1:{}: ", platform.port);
    told(
        &run,
        code,
        &[
            &format!("{what}{line}"),
            // What was behind it is examined all the same.
            "control schema: version 7",
            "warn stream main/shop: it was never merged",
        ],
    );
}

#[test]
fn a_connect_that_is_down() {
    let platform = Platform::new();
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a port is free").port();
    platform.model.replace(
        "platforms/main/platform.yaml",
        &format!("http://127.0.0.1:{}", platform.port),
        &format!("http://127.0.0.1:{port}"),
    );
    told(
        &platform.doctor(&[]),
        3,
        &[
            &format!("fail kafka-connect http://127.0.0.1:{port}: cannot be reached: "),
            "Connection refused",
            &format!(
                "remedy: from where this runs, `curl -sS -u \"$CONNECT_API_USER:$CONNECT_API_PASSWORD\" 'http://127.0.0.1:{port}'`"
            ),
            "pass postgres",
        ],
    );
}

#[test]
fn a_rebalance_is_waited_for() {
    let platform = Platform::new();
    platform.script(|script| script.conflicts = 3);
    let run = platform.doctor(&[]);
    told(&run, 0, &["version 4.3.0", " 0 failed\n"]);
}

#[test]
fn a_login_that_is_not_there() {
    let mut platform = Platform::new();
    platform.unset("CONNECT_API_PASSWORD");
    told(
        &platform.doctor(&[]),
        2,
        &["not asked: the environment has no CONNECT_API_PASSWORD\n     remedy: set them"],
    );
    platform.script(|script| assert!(script.asked.is_empty(), "nobody is asked without a login"));
}

#[test_case("/connector-plugins", "plugins: answers 500", "pass connector main.shop.sink"; "plugins")]
#[test_case("/connectors?", "connectors: answers 500", "pass plugin io.debezium"; "connectors")]
#[test_case("/connectors/main.shop.sink/offsets", "warn sink main.shop.sink: its committed offsets are not known: answers 500", "pass sink main.shop.control"; "offsets")]
#[test_case("/connector-plugins/io.debezium.connector.postgresql.PostgresConnector/", "warn connector main.shop.source: Kafka Connect could not validate its settings: answers 500", "pass connector main.shop.sink"; "validation")]
fn a_question_without_an_answer_hides_no_other(path: &str, line: &str, other: &str) {
    let platform = Platform::new();
    platform.script(|script| {
        script
            .instead
            .insert(path.to_owned(), Answer::Json(500, json!({"message": ""})));
        if path == "/connector-plugins" {
            // The longer path is another question, and keeps its answer.
            let well = Answer::Json(200, json!({"configs": []}));
            script
                .instead
                .insert("/connector-plugins/".to_owned(), well);
        }
    });
    let run = platform.doctor(&[]);
    assert!(
        run.stdout.contains(line) && run.stdout.contains(other),
        "{run}"
    );
}

#[test]
fn a_failed_task_is_told_with_its_cause() {
    let platform = Platform::new();
    platform.script(|script| {
        script.fail(
            "main.shop.sink",
            "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask\n\tat x\nCaused by: \
             org.postgresql.util.PSQLException: ERROR: could not extend file \"base/1/2\": No space left on device",
        );
    });
    told(
        &platform.doctor(&[]),
        1,
        &[
            "fail connector main.shop.sink: task 0 is FAILED: the database's disk is full\n     remedy: give the database's disk space",
            "-X POST 'http://127.0.0.1:",
            "/connectors/main.shop.sink/restart?includeTasks=true'`; it goes on where it stopped",
        ],
    );
}

#[test]
fn what_connect_refuses_of_the_settings_is_a_finding() {
    let platform = Platform::new();
    platform.script(|script| {
        let refused = json!({"configs": [
            {"value": {"name": "database.hostname", "value": "c4nary-resolved", "errors": [
                "Postgres server wal_level property must be 'logical' but is: 'replica'"]}},
            {"value": {"name": "database.password", "value": "c4nary-resolved", "errors": []}},
            {"value": {"name": "database.port", "value": "c4nary-resolved",
                "errors": ["Invalid value c4nary-resolved for configuration database.port: Not a number"]}},
        ]});
        let path = "/connector-plugins/io.debezium.connector.postgresql.PostgresConnector/config/validate";
        script.instead.insert(path.to_owned(), Answer::Json(200, refused));
    });
    let run = platform.doctor(&[]);
    told(
        &run,
        1,
        &[
            "fail connector main.shop.source: Kafka Connect refuses `database.hostname`: Postgres server wal_level property \
             must be 'logical' but is: 'replica'\n     remedy: set `wal_level = logical`",
            "fail connector main.shop.source: Kafka Connect refuses `database.port`: the value cannot be used for configuration database.port",
        ],
    );
    assert!(!run.to_string().contains("c4nary"), "{run}");
}
