use milepost_platform::plan::{ConnectLogin, ConnectorFile, ConnectorResources};
use serde_json::json;

use super::*;
use crate::doctor::finding::Grade;
use crate::live::connect::{Plugin, Server, Validation};

const CLASS: &str = "io.debezium.connector.jdbc.JdbcSinkConnector";

fn plan() -> ConnectPlan {
    ConnectPlan {
        url: "http://connect:8083".to_owned(),
        login: Some(ConnectLogin {
            user_variable: "API_USER".to_owned(),
            password_variable: "API_PASSWORD".to_owned(),
        }),
        resources: ConnectorResources::Terraform,
        files: vec![ConnectorFile {
            name: "store_shop".to_owned(),
            store: "shop".to_owned(),
            connectors: vec![ConnectorPlan {
                resource: "shop_sink".to_owned(),
                name: "main.shop.sink".to_owned(),
                config: [
                    ("connector.class".to_owned(), CLASS.to_owned()),
                    ("tasks.max".to_owned(), "1".to_owned()),
                ]
                .into(),
                arrivals: BTreeMap::new(),
                protected: false,
                after: None,
            }],
        }],
    }
}

fn connectors(value: serde_json::Value) -> BTreeMap<String, ConnectorFact> {
    serde_json::from_value(value).unwrap()
}

fn healthy() -> ConnectFacts {
    ConnectFacts {
        server: Server {
            version: "4.3.0".to_owned(),
        },
        plugins: Ok(vec![Plugin {
            class: CLASS.to_owned(),
            version: release_of(CLASS).map(str::to_owned),
        }]),
        connectors: Ok(connectors(json!({"main.shop.sink": {
            "status": {"connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "RUNNING"}]},
            "info": {"config": {"connector.class": CLASS, "tasks.max": "1", "name": "main.shop.sink"}}
        }, "other.x": {}}))),
        validations: [("main.shop.sink".to_owned(), Ok(Validation::default()))].into(),
        offsets: BTreeMap::new(),
    }
}

fn judged(facts: ConnectFacts) -> Vec<Finding> {
    let plan = plan();
    let asked = Connectors {
        platform: "main",
        plan: &plan,
        address: "http://connect:8083".to_owned(),
    };
    judge(&asked, &Ok(facts))
}

fn text(findings: &[Finding]) -> String {
    crate::doctor::report::human(findings, false)
}

/// The facts of one connector in another state.
fn in_state(status: serde_json::Value) -> String {
    let mut facts = healthy();
    let Ok(found) = &mut facts.connectors else {
        unreachable!("the healthy have connectors")
    };
    let sink = found.get_mut("main.shop.sink").unwrap();
    sink.status = serde_json::from_value(status).unwrap();
    text(&judged(facts))
}

#[test]
fn a_healthy_connect_passes_whole() {
    let findings = judged(healthy());
    assert!(
        findings.iter().all(|finding| finding.grade == Grade::Pass),
        "{}",
        text(&findings)
    );
    assert_eq!(findings.len(), 3);
}

#[test]
fn a_failed_task_shows_its_cause_and_how_it_is_restarted() {
    let told = in_state(
        json!({"connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "FAILED",
        "trace": "org.apache.kafka.connect.errors.ConnectException: Exiting\n\tat a.b\nCaused by: PSQLException: ERROR: permission denied for table shop__orders"}]}),
    );
    assert!(told.contains("fail connector main.shop.sink: task 0 is FAILED: the database's role may not use a table"), "{told}");
    assert!(told.contains("curl -sS -u \"$API_USER:$API_PASSWORD\" -X POST 'http://connect:8083/connectors/main.shop.sink/restart?includeTasks=true'"), "{told}");
}

#[test]
fn a_log_that_is_gone_takes_a_new_snapshot() {
    let source = |class: &str, slot: Option<&str>| {
        let mut plan = plan();
        let connector = &mut plan.files[0].connectors[0];
        connector.config = [("connector.class".to_owned(), class.to_owned())].into();
        let slot = slot.map(|slot| ("slot.name".to_owned(), slot.to_owned()));
        connector.config.extend(slot);
        let asked = Connectors {
            platform: "main",
            plan: &plan,
            address: "http://connect:8083".to_owned(),
        };
        let mut facts = healthy();
        facts.connectors = Ok(connectors(json!({"main.shop.sink": {"status": {
            "connector": {"state": "RUNNING"},
            "tasks": [{"id": 0, "state": "FAILED", "trace": "but this is no longer available on the server"}]
        }}})));
        text(&judge(&asked, &Ok(facts)))
    };
    let login = "curl -sS -u \"$API_USER:$API_PASSWORD\"";
    let path = "http://connect:8083/connectors/main.shop.sink";
    let drop =
        "if it is still there, `select pg_drop_replication_slot('main__shop')` at the source; ";
    for (class, slot, drop) in [
        ("postgresql.PostgresConnector", Some("main__shop"), drop),
        ("mysql.MySqlConnector", None, ""),
        ("oracle.OracleConnector", None, ""),
    ] {
        let told = source(&format!("io.debezium.connector.{class}"), slot);
        let remedy = format!(
            "remedy: it takes a new snapshot of everything: `{login} -X PUT '{path}/stop'`; {drop}`{login} -X DELETE \
             '{path}/offsets'`; `{login} -X PUT '{path}/resume'`"
        );
        assert!(told.contains(&remedy), "{told}");
        assert!(!told.contains("it goes on where it stopped"), "{told}");
    }
}

#[test]
fn an_unknown_failure_shows_the_first_line_and_no_more() {
    let told = in_state(
        json!({"connector": {"state": "FAILED", "trace": "a.b.Broken: odd\n\tat row 'Ann'"}, "tasks": []}),
    );
    assert!(told.contains("it is FAILED: a.b.Broken: odd\n"), "{told}");
    assert!(!told.contains("Ann"), "{told}");
}

#[test]
fn a_paused_connector_fails_once() {
    let told = in_state(
        json!({"connector": {"state": "PAUSED"}, "tasks": [{"id": 0, "state": "PAUSED"}]}),
    );
    assert_eq!(told.matches("PAUSED").count(), 1, "{told}");
    assert!(
        told.contains("-X PUT 'http://connect:8083/connectors/main.shop.sink/resume'"),
        "{told}"
    );
}

#[test]
fn a_rebalance_and_a_state_of_a_later_release_are_warnings() {
    for state in ["UNASSIGNED", "RESTARTING", "DREAMING\u{1b}[2J"] {
        let told = in_state(
            json!({"connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": state}]}),
        );
        assert!(
            told.contains("warn connector main.shop.sink: task 0"),
            "{told}"
        );
        assert!(!told.contains('\u{1b}'), "{told}");
    }
}

#[test]
fn a_connector_without_tasks_moves_nothing() {
    let told = in_state(json!({"connector": {"state": "RUNNING"}, "tasks": []}));
    assert!(
        told.contains("fail connector main.shop.sink: it is RUNNING and has no task"),
        "{told}"
    );
}

#[test]
fn an_edit_by_hand_is_told_by_names_never_by_values() {
    let mut facts = healthy();
    facts.connectors = Ok(connectors(json!({"main.shop.sink": {
        "status": {"connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "RUNNING"}]},
        "info": {"config": {"connector.class": CLASS, "tasks.max": "s3cr3t", "by.hand": "s3cr3t", "name": "main.shop.sink"}}
    }, "main.old.sink": {}})));
    let told = text(&judged(facts));
    assert!(
        told.contains(
            "warn connector main.shop.sink: its settings are not the plan's: `by.hand`, `tasks.max`"
        ),
        "{told}"
    );
    assert!(
        told.contains("warn connector main.old.sink: it has a name of platform `main`"),
        "{told}"
    );
    assert!(!told.contains("s3cr3t"), "{told}");
}

#[test]
fn a_missing_connector_and_a_missing_plugin_fail() {
    let mut facts = healthy();
    facts.connectors = Ok(BTreeMap::new());
    facts.plugins = Ok(Vec::new());
    facts.validations.clear();
    let told = text(&judged(facts));
    assert!(
        told.contains(&format!("fail plugin {CLASS}: Kafka Connect lacks it")),
        "{told}"
    );
    assert!(
        told.contains("fail connector main.shop.sink: it does not exist"),
        "{told}"
    );
}

#[test]
fn another_release_of_debezium_is_a_warning() {
    let mut facts = healthy();
    facts.plugins = Ok(vec![Plugin {
        class: CLASS.to_owned(),
        version: Some("3.1.1.Final".to_owned()),
    }]);
    let told = text(&judged(facts));
    assert!(told.contains("warn plugin io.debezium.connector.jdbc.JdbcSinkConnector: version `3.1.1.Final`, the settings were made for 3.6.0.Final"), "{told}");
}

#[test]
fn each_plugin_has_the_release_that_its_settings_were_made_for() {
    let class = "io.debezium.connector.mariadb.MariaDbConnector";
    let mut plan = plan();
    let connector = &mut plan.files[0].connectors[0];
    connector
        .config
        .insert("connector.class".to_owned(), class.to_owned());
    let asked = Connectors {
        platform: "main",
        plan: &plan,
        address: "http://connect:8083".to_owned(),
    };
    for (version, grade) in [("3.5.0.Final", Grade::Pass), ("3.6.0.Final", Grade::Warn)] {
        let mut facts = healthy();
        facts.plugins = Ok(vec![Plugin {
            class: class.to_owned(),
            version: Some(version.to_owned()),
        }]);
        let findings = asked.plugins(&facts);
        let grades: Vec<Grade> = findings.iter().map(|finding| finding.grade).collect();
        assert_eq!(grades, [grade], "{}", text(&findings));
    }
}

#[test]
fn what_a_validation_refuses_fails_and_one_without_an_answer_warns() {
    let mut facts = healthy();
    let errors = [(
        "database.hostname".to_owned(),
        vec!["Connection refused".to_owned()],
    )]
    .into();
    facts.validations = [("main.shop.sink".to_owned(), Ok(Validation { errors }))].into();
    let told = text(&judged(facts));
    assert!(told.contains("fail connector main.shop.sink: Kafka Connect refuses `database.hostname`: Connection refused\n     remedy: start it"), "{told}");
    let mut facts = healthy();
    facts.validations = [(
        "main.shop.sink".to_owned(),
        Err(Trouble::Silent(std::time::Duration::from_secs(20))),
    )]
    .into();
    let told = text(&judged(facts));
    assert!(told.contains("warn connector main.shop.sink: Kafka Connect could not validate its settings: does not answer within 20 s"), "{told}");
}

#[test]
fn one_question_without_an_answer_hides_no_other() {
    let mut facts = healthy();
    facts.plugins = Err(Trouble::Status(500, String::new()));
    let findings = judged(facts);
    let told = text(&findings);
    assert!(
        told.contains("fail kafka-connect http://connect:8083 plugins: answers 500"),
        "{told}"
    );
    assert!(told.contains("pass connector main.shop.sink"), "{told}");
    assert_eq!(crate::doctor::finding::outcome(&findings).code(), 3);
}
