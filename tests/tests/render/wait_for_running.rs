//! The script that Terraform runs after a change, against answers of Kafka Connect.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::mpsc;

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../templates/terraform/wait-for-running.sh"
);

const RUNNING: &str = r#"{"name":"c","connector":{"state":"RUNNING","worker_id":"w:8083","version":"3.6.0.Final"},"tasks":[{"id":0,"state":"RUNNING","worker_id":"w:8083"}],"type":"sink"}"#;
const NO_TASK: &str =
    r#"{"name":"c","connector":{"state":"RUNNING","worker_id":"w:8083"},"tasks":[],"type":"sink"}"#;
/// A trace that quotes states, as one of an HTTP client may.
const FAILED: &str = r#"{"name":"c","connector":{"state":"RUNNING","worker_id":"w:8083"},"tasks":[{"id":0,"state":"FAILED","worker_id":"w:8083","trace":"org.apache.kafka.connect.errors.ConnectException: Exiting: \"state\":\"RUNNING\"\n\tat a.b(C.java:1)\nCaused by: first\n\tat a.b(C.java:2)\nCaused by: org.postgresql.util.PSQLException: FATAL: role \"nobody\" does not exist\n\t... 3 more\n"}],"type":"sink"}"#;

/// Runs the script against a server that gives one answer after the other, and then the last for ever. The second value is the
/// head of the first request.
fn wait(
    answers: &[(u16, &str)],
    wait_seconds: u32,
    environment: &[(&str, &str)],
) -> (Output, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let answers: Vec<String> = answers
        .iter()
        .map(|(code, body)| {
            format!(
                "HTTP/1.1 {code} Answer\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            )
        })
        .collect();
    let (heads, first) = mpsc::channel();
    // Ends with the process: nothing tells it that the script is done.
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let mut head = String::new();
            let mut reader = BufReader::new(&stream);
            while reader.read_line(&mut head).is_ok_and(|bytes| bytes > 2) {}
            let _ = heads.send(head);
            let answer = answers.get(number).or(answers.last());
            let _ = stream.write_all(answer.map_or(&[][..], |answer| answer.as_bytes()));
        }
    });
    let output = Command::new("sh")
        .arg(SCRIPT)
        .env("KAFKA_CONNECT_URL", format!("http://{address}/"))
        .env("CONNECTOR", "main.shop.sink")
        .env("WAIT_SECONDS", wait_seconds.to_string())
        .envs(environment.iter().copied())
        .output()
        .expect("sh is there");
    (output, first.try_recv().unwrap_or_default())
}

fn message(output: &Output) -> String {
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr.clone()).expect("a message is text")
}

#[test]
fn a_connector_that_comes_to_run_is_waited_for() {
    let answers = [(404, "{}"), (200, NO_TASK), (200, FAILED), (200, RUNNING)];
    let (output, head) = wait(&answers, 60, &[]);
    assert!(output.status.success(), "{}", message(&output));
    assert_eq!(message(&output), "");
    assert!(
        head.starts_with("GET /connectors/main.shop.sink/status HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(!head.to_lowercase().contains("authorization"), "{head}");
}

#[test]
fn a_task_that_has_failed_is_told_with_its_cause() {
    let (output, _) = wait(&[(200, RUNNING), (200, FAILED)], 60, &[]);
    assert_eq!(output.status.code(), Some(1));
    let message = message(&output);
    let (cause, remedy) = message
        .rsplit_once("main.shop.sink: ")
        .expect("two messages");
    assert_eq!(
        cause,
        "main.shop.sink: it has failed: org.apache.kafka.connect.errors.ConnectException: Exiting: \"state\":\"RUNNING\"\n\
         Caused by: org.postgresql.util.PSQLException: FATAL: role \"nobody\" does not exist\n"
    );
    assert!(
        remedy.contains("/connectors/main.shop.sink/restart?includeTasks=true&onlyFailed=true'\n"),
        "{remedy}"
    );
}

#[test]
fn patience_ends() {
    let (output, _) = wait(&[(200, NO_TASK)], 2, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        message(&output),
        "main.shop.sink: it does not run after 2 seconds: waiting RUNNING\n"
    );
}

#[test]
fn a_connect_that_is_not_there_is_named() {
    let unused = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = unused.local_addr().expect("an address");
    drop(unused);
    let output = Command::new("sh")
        .arg(SCRIPT)
        .env("KAFKA_CONNECT_URL", format!("http://{address}"))
        .env("CONNECTOR", "main.shop.sink")
        .env("WAIT_SECONDS", "0")
        .output()
        .expect("sh is there");
    assert_eq!(output.status.code(), Some(1));
    let message = message(&output);
    assert!(
        message.contains("Kafka Connect cannot be reached: "),
        "{message}"
    );
    assert!(message.contains(&address.port().to_string()), "{message}");
}

#[test]
fn a_login_is_sent_as_it_is_and_shown_nowhere() {
    let (user, password) = ("us\"er", "pa\\ss \"word\" $HOME `id`");
    let login = [
        ("KAFKA_CONNECT_BASIC_AUTH_USERNAME", user),
        ("KAFKA_CONNECT_BASIC_AUTH_PASSWORD", password),
    ];
    let (output, head) = wait(&[(401, "{}")], 60, &login);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        message(&output),
        "main.shop.sink: Kafka Connect refuses the credentials (401): set KAFKA_CONNECT_BASIC_AUTH_USERNAME and _PASSWORD\n"
    );
    // The two with a colon between them, in base64.
    let sent = "dXMiZXI6cGFcc3MgIndvcmQiICRIT01FIGBpZGA=";
    assert!(
        head.contains(&format!("Authorization: Basic {sent}\r\n")),
        "{head}"
    );
}
