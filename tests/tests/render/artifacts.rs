//! What the models of this repository become.

use milepost_dsl::Sources;
use milepost_job_spec::{Digest, PlatformPlan, StreamSpec};
use milepost_platform::plan::{AirflowVersion, Plan};
use milepost_render::{Artifacts, render};
use test_case::test_case;

use crate::{airflow, project, terraform};

const PROJECTS: [&str; 3] = [
    "examples/shop",
    "examples/sources",
    "tests/projects/two-platforms",
];

fn rendered(project: &str) -> Vec<(Plan, Artifacts)> {
    let sources: Sources = project::files(project).into_iter().collect();
    project::plans(&sources)
        .into_iter()
        .map(|plan| {
            let artifacts = render(&plan).expect("the templates are sound");
            (plan, artifacts)
        })
        .collect()
}

/// The whole output as one text, a heading above each file.
fn joined(artifacts: &Artifacts) -> String {
    artifacts
        .iter()
        .map(|(path, text)| format!("=== {path}\n{text}"))
        .collect()
}

#[test_case("examples/shop", "shop"; "the example")]
#[test_case("examples/sources", "sources"; "every source")]
#[test_case("tests/projects/two-platforms", "two-platforms"; "two platforms")]
fn artifacts_are_those_that_were_reviewed(project: &str, name: &str) {
    let artifacts: String = rendered(project)
        .iter()
        .map(|(_, all)| joined(all))
        .collect();
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "../snapshots"}, {
        insta::assert_snapshot!(format!("artifacts-{name}"), artifacts);
    });
}

#[test]
fn json_is_read_back_by_the_types_of_the_merge_job() {
    for (plan, artifacts) in PROJECTS.into_iter().flat_map(rendered) {
        let file = |name: &str| {
            let path = format!("{}/{name}", plan.index.platform);
            let found = artifacts.iter().find(|(own, _)| own.as_str() == path);
            found.unwrap_or_else(|| panic!("{path} is rendered")).1
        };
        let index = PlatformPlan::from_json(file("platform.json")).expect("the index is read");
        assert_eq!(index, plan.index);
        assert_eq!(index.streams.len(), plan.streams.len());
        for entry in &index.streams {
            let text = file(&entry.file);
            assert_eq!(Digest::of(text.as_bytes()), entry.digest);
            let spec = StreamSpec::from_json(text).expect("the spec is read");
            assert_eq!(spec, plan.streams[&entry.file]);
            assert_eq!(spec.stream, entry.stream);
        }
    }
}

#[test_case(AirflowVersion::Two, "2"; "airflow two")]
#[test_case(AirflowVersion::Three, "3"; "airflow three")]
fn every_stream_has_a_dag_with_one_merge_task(version: AirflowVersion, stub: &str) {
    for (mut plan, _) in PROJECTS.into_iter().flat_map(rendered) {
        plan.airflow.version = version;
        let artifacts = render(&plan).expect("the templates are sound");
        let mut arguments = Vec::new();
        for (_, text) in artifacts
            .iter()
            .filter(|(path, _)| path.as_str().ends_with(".py"))
        {
            for dag in airflow::import(text, stub).dags {
                assert_eq!(dag["catchup"], false);
                assert_eq!(dag["max_active_runs"], 1);
                assert_eq!(dag["start_date"], "2026-01-01T00:00:00+00:00");
                let tasks = dag["tasks"].as_array().expect("tasks").clone();
                let [task] = tasks.as_slice() else {
                    panic!("{} has {} tasks", dag["dag_id"], tasks.len());
                };
                check_task(task);
                arguments.push(task["arguments"].clone());
            }
        }
        let expected: Vec<serde_json::Value> = plan
            .streams
            .values()
            .map(|spec| {
                let key = &spec.stream;
                let mut words = vec![
                    "merge".to_owned(),
                    format!("--platform={}", key.platform),
                    format!("--store={}", key.store),
                ];
                words.extend(
                    key.dataset
                        .as_ref()
                        .map(|dataset| format!("--dataset={dataset}")),
                );
                words.into()
            })
            .collect();
        let sorted = |mut all: Vec<serde_json::Value>| {
            all.sort_by_key(ToString::to_string);
            all
        };
        assert_eq!(sorted(arguments), sorted(expected));
    }
}

/// What an operator of a cluster would look for in a task.
fn check_task(task: &serde_json::Value) {
    assert_eq!(task["cmds"], serde_json::json!(["merge-job"]));
    assert_eq!(task["skip_on_exit_code"], serde_json::json!([75]));
    assert_eq!(task["retries"], 2);
    assert_eq!(task["on_finish_action"], "delete_succeeded_pod");
    assert_eq!(task["security_context"]["runAsNonRoot"], true);
    assert_eq!(
        task["container_security_context"]["readOnlyRootFilesystem"],
        true
    );
    assert_eq!(
        task["container_security_context"]["allowPrivilegeEscalation"],
        false
    );
    assert_eq!(task["automount_service_account_token"], false);
    assert_eq!(task["do_xcom_push"], false);
    let deadline = task["active_deadline_seconds"].as_f64().expect("a number");
    assert!(deadline > task["execution_timeout"].as_f64().expect("seconds"));
    let variables = task["env_vars"].as_array().expect("a list");
    let (plain, secret): (Vec<_>, Vec<_>) = variables
        .iter()
        .partition(|variable| variable.get("value").is_some());
    // Plain ones say where the database is and which variables hold its user and password.
    assert!(!plain.is_empty());
    for variable in plain {
        let name = variable["name"].as_str().expect("a name");
        assert!(name.starts_with("MILEPOST_"), "{variable}");
    }
    let keys: Vec<&serde_json::Value> = secret
        .iter()
        .map(|variable| &variable["value_from"]["secret_key_ref"]["key"])
        .collect();
    // A login of the platform's Postgres, and one of a source that the merge reads itself.
    assert!(matches!(keys.len(), 2 | 4), "{keys:?}");
    for login in keys.chunks(2) {
        assert_eq!(login, ["username", "password"]);
    }
}

#[test]
fn connectors_hold_references_to_secrets_only() {
    for (_, artifacts) in PROJECTS.into_iter().flat_map(rendered) {
        for (path, text) in artifacts
            .iter()
            .filter(|(path, _)| path.as_str().ends_with(".tf"))
        {
            let body = terraform::parse(path.as_str(), text);
            for config in terraform::connectors(&body).values() {
                for (key, value) in config {
                    if key.ends_with("password")
                        || key.ends_with("user")
                        || key.ends_with("username")
                    {
                        assert!(
                            value.starts_with("${env:") && value.ends_with('}'),
                            "{key} = {value}"
                        );
                    }
                }
            }
        }
    }
}

/// The settings under which `docs/decisions/0001-staging-contract.md` saw every type arrive are those that are rendered;
/// what names this one store is left out of the comparison, and so is what only a laboratory of one broker needs.
#[test]
fn connectors_are_configured_as_they_were_tried() {
    let own = [
        "name",
        "topics",
        "topic.prefix",
        "slot.name",
        "publication.name",
        "connection.url",
        "connection.username",
        "connection.password",
        "collection.name.format",
        "database.hostname",
        "database.port",
        "database.dbname",
        "database.user",
        "database.password",
        "table.include.list",
        "poll.interval.ms",
        "topic.creation.default.replication.factor",
        "transforms",
        "predicates",
        // False, which is its default; the sink reads it but does not define it.
        "use.reduction.buffer",
    ];
    let (_, artifacts) = rendered("examples/shop").remove(0);
    let (path, text) = artifacts
        .iter()
        .find(|(path, _)| path.as_str() == "main/terraform/store_shop.tf")
        .expect("the store's connectors");
    let connectors = terraform::connectors(&terraform::parse(path.as_str(), text));
    for (resource, tried) in [
        (
            "shop__source",
            include_str!("../../fixtures/debezium-spike/connectors/shop-main-source.json"),
        ),
        (
            "shop__sink",
            include_str!("../../fixtures/debezium-spike/connectors/shop-main-sink.json"),
        ),
        (
            "shop__control",
            include_str!("../../fixtures/debezium-spike/connectors/shop-main-control-sink.json"),
        ),
    ] {
        let tried: serde_json::Value = serde_json::from_str(tried).expect("JSON");
        let tried = tried
            .get("config")
            .unwrap_or(&tried)
            .as_object()
            .expect("settings");
        for (key, value) in tried {
            let of_a_table = ["transforms.text_", "transforms.route", "predicates."];
            if own.contains(&key.as_str()) || of_a_table.iter().any(|start| key.starts_with(start))
            {
                continue;
            }
            let value = value.as_str().expect("a text");
            let rendered = connectors[resource].get(key).map(String::as_str);
            if key == "transforms.unwrap.add.fields" {
                let fields = |text: &str| {
                    let mut fields: Vec<String> = text.split(',').map(str::to_owned).collect();
                    fields.sort();
                    fields
                };
                assert_eq!(rendered.map(fields), Some(fields(value)));
            } else {
                assert_eq!(rendered, Some(value), "{resource}: {key}");
            }
        }
    }
}
