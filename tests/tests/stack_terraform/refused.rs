//! A Kafka Connect that is down, refuses or lacks a plugin: the apply says so, and the state knows nothing of a connector that is not there.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use acceptance::stack::{ConnectSettings, Terraform};
use tempfile::TempDir;

use super::{connectors, ends, ends_with, initialised, known, published, random_word, stack};

/// An apply fails, and leaves no connector in the state. Returns what was said.
fn refused(terraform: &Terraform, environment: &[(&str, &str)]) -> String {
    let said = ends_with(terraform, 1, &["apply", "-auto-approve"], environment);
    assert!(known(terraform).is_empty(), "{said}");
    said
}

#[test]
fn an_address_without_kafka_connect_is_told() {
    let pipeline = published();
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let url = format!("http://{}", listener.local_addr().expect("it has one"));

    // Somebody else answers.
    let terraform = initialised(&pipeline, &url);
    let stand_in = std::thread::spawn(move || {
        let answer = |text: &str| {
            let length = text.len();
            format!(
                "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{text}"
            )
        };
        let (mut connection, _) = listener.accept().expect("Terraform comes");
        let mut start = [0; 4096];
        let _ = connection.read(&mut start);
        let _ = connection.write_all(answer("no such page").as_bytes());
    });
    let said = refused(&terraform, &[]);
    assert!(said.contains("Create connector : no such page"), "{said}");
    stand_in.join().expect("it answered");

    // Nobody answers.
    let said = refused(&terraform, &[]);
    assert!(said.contains("connection refused"), "{said}");
}

#[test]
fn a_kafka_connect_that_wants_a_login_or_lacks_the_plugin_is_told() {
    let pipeline = published();
    let password = random_word("canary-login");
    let folder = TempDir::new().expect("the temporary directory is writable");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the temporary directory is writable");
        path.display().to_string()
    };
    let users = file("users", &format!("terraform={password}\n"));
    let login = file(
        "login",
        &format!(
            "KafkaConnect {{
               org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule required file=\"{users}\";
             }};"
        ),
    );
    let plugins = folder.path().join("plugins");
    std::fs::create_dir(&plugins).expect("the temporary directory is writable");
    let settings = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let owned = pairs.iter().map(|&(key, value)| (key.into(), value.into()));
        owned.collect()
    };
    let worker = stack()
        .worker(ConnectSettings {
            group: "secured".to_owned(),
            plugin_path: Some(plugins),
            environment: settings(&[(
                "JAVA_TOOL_OPTIONS",
                &format!("-Djava.security.auth.login.config={login}"),
            )]),
            settings: settings(&[(
                "rest.extension.classes",
                "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension",
            )]),
        })
        .expect("a worker with a login starts");
    let terraform = initialised(&pipeline, &worker.url());

    // The provider takes Connect's "User cannot access the resource." for JSON. docs/connectors.md says what it means.
    let no_login = "invalid character 'U' looking for beginning of value";
    let said = refused(&terraform, &[]);
    assert!(said.contains(no_login), "{said}");
    let wrong = [
        ("KAFKA_CONNECT_BASIC_AUTH_USERNAME", "terraform"),
        ("KAFKA_CONNECT_BASIC_AUTH_PASSWORD", "wrong"),
    ];
    let said = refused(&terraform, &wrong);
    assert!(said.contains(no_login), "{said}");

    let right = [wrong[0], (wrong[1].0, &password)];
    let said = refused(&terraform, &right);
    assert!(
        said.contains("Failed to find any class that implements Connector")
            && said.contains("io.debezium.connector.postgresql.PostgresConnector"),
        "{said}"
    );
    ends_with(&terraform, 0, &["plan", "-out=plan.bin"], &right);
    let planned = ends(&terraform, 0, &["show", "-json", "plan.bin"]);
    assert!(planned.contains("shop__source") && !planned.contains(&password));
}

#[test]
fn an_apply_fails_until_its_connectors_run() {
    let mut pipeline = published();
    let terraform = initialised(&pipeline, &stack().connect.url());
    // Somebody took away what prepare.sql had made.
    let publication = pipeline.connector(".source").config["publication.name"].clone();
    pipeline
        .source
        .run(&format!("drop publication \"{publication}\""));
    let said = ends(&terraform, 1, &["apply", "-auto-approve"]);
    let (source, _) = super::running(&pipeline, ".source");
    assert!(said.contains(&format!("{source}: it has failed")), "{said}");
    assert!(said.contains("publication"), "{said}");
    assert_eq!(connectors(&pipeline).len(), 3);

    pipeline.prepare().expect("the source is prepared again");
    let rest = stack().connect.rest();
    rest.restart(&source).expect("Connect restarts it");
    ends(&terraform, 0, &["apply", "-auto-approve"]);
    rest.wait_until_running(&source, Duration::from_secs(1))
        .expect("the apply has waited for it");
    super::plan(&terraform, 0);
}
