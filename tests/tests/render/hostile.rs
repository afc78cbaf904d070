//! A plan whose every text is as hostile as a text can be; no model makes one, and no template may care.

use std::collections::BTreeMap;

use milepost_job_spec::{DatabaseAddress, ModelVersion, PLATFORM_PLAN_VERSION, PlatformPlan};
use milepost_platform::credential::{SecretRef, SecretVariable};
use milepost_platform::plan::{
    AirflowPlan, AirflowVersion, Bounds, ConnectPlan, ConnectorFile, ConnectorPlan,
    ConnectorResources, DagFile, DagPlan, Plan, PodPlan, RetryPlan,
};
use test_case::test_case;

use crate::{airflow, terraform};

pub(crate) const HOSTILE: &str = "a\"b'c\"\"\"'''\\n\n\r\t\u{7}${d} %{e} $${f} $$${g} {{ h }} {% i %} # // /* é漢字\u{202e}😀 \\";

pub(crate) fn text() -> String {
    HOSTILE.to_owned()
}

fn database() -> DatabaseAddress {
    DatabaseAddress {
        host: text(),
        port: 5432,
        database: text(),
        user_variable: text(),
        password_variable: text(),
    }
}

pub(crate) fn plan() -> Plan {
    let bounds = Bounds {
        request: text(),
        limit: text(),
    };
    Plan {
        index: PlatformPlan {
            version: PLATFORM_PLAN_VERSION,
            platform: "main".to_owned(),
            model: ModelVersion {
                commit: text(),
                order: 1,
            },
            database: database(),
            streams: Vec::new(),
            tables: Vec::new(),
            workspaces: Vec::new(),
        },
        streams: BTreeMap::new(),
        airflow: AirflowPlan {
            version: AirflowVersion::Three,
            files: vec![DagFile {
                module: "main__shop".to_owned(),
                platform: text(),
                store: text(),
                owner: text(),
                pod: PodPlan {
                    namespace: text(),
                    image: text(),
                    database: database(),
                    variables: vec![SecretVariable {
                        name: text(),
                        from: SecretRef {
                            secret: text(),
                            key: text(),
                        },
                    }],
                    cpu: bounds.clone(),
                    memory: bounds,
                    retry: RetryPlan {
                        count: 2,
                        delay_seconds: 30,
                        max_delay_seconds: 300,
                    },
                    startup_seconds: 300,
                    run_seconds: 3600,
                    deadline_seconds: 3900,
                    stop_seconds: 60,
                },
                dags: vec![DagPlan {
                    id: text(),
                    description: text(),
                    schedule: text(),
                    pod: text(),
                    label: text(),
                    arguments: vec![text()],
                }],
            }],
        },
        connect: ConnectPlan {
            url: text(),
            login: None,
            resources: ConnectorResources::Terraform,
            files: vec![ConnectorFile {
                name: "store_shop".to_owned(),
                store: text(),
                connectors: vec![ConnectorPlan {
                    resource: "shop_source".to_owned(),
                    name: text(),
                    config: [("topics".to_owned(), text())].into(),
                    arrivals: BTreeMap::new(),
                    protected: true,
                    after: None,
                }],
            }],
        },
        sources: Vec::new(),
    }
}

pub(crate) fn file(name: &str, plan: &Plan) -> String {
    let artifacts = milepost_render::render(plan).expect("the templates are sound");
    let found = artifacts.iter().find(|(path, _)| path.as_str() == name);
    found
        .unwrap_or_else(|| panic!("{name} is rendered"))
        .1
        .clone()
}

#[test_case(AirflowVersion::Two, "2"; "airflow two")]
#[test_case(AirflowVersion::Three, "3"; "airflow three")]
fn python_reads_hostile_texts_back_unchanged(version: AirflowVersion, airflow: &str) {
    let mut plan = plan();
    plan.airflow.version = version;
    let described = airflow::import(&file("main/airflow/main__shop.py", &plan), airflow);
    assert!(described.doc.contains(HOSTILE));
    let dag = &described.dags[0];
    let task = &dag["tasks"][0];
    let secret = task["env_vars"]
        .as_array()
        .and_then(|variables| variables.iter().find(|each| each.get("value").is_none()))
        .expect("a variable from a Secret");
    for value in [
        &dag["dag_id"],
        &dag["description"],
        &dag["schedule"],
        &dag["default_args"]["owner"],
        &task["namespace"],
        &task["image"],
        &task["arguments"][0],
        &secret["name"],
        &secret["value_from"]["secret_key_ref"]["key"],
        &task["container_resources"]["limits"]["memory"],
    ] {
        assert_eq!(value, HOSTILE);
    }
}

#[test]
fn terraform_reads_hostile_texts_back_unchanged() {
    let plan = plan();
    let main = terraform::parse("main.tf", &file("main/terraform/main.tf", &plan));
    assert!(main.blocks().any(|block| block.identifier() == "provider"));
    let store = terraform::parse(
        "store_shop.tf",
        &file("main/terraform/store_shop.tf", &plan),
    );
    let connectors = terraform::connectors(&store);
    assert_eq!(connectors["shop_source"]["name"], HOSTILE);
    assert_eq!(connectors["shop_source"]["topics"], HOSTILE);
}

#[test]
fn json_reads_hostile_texts_back_unchanged() {
    let plan = plan();
    let index = PlatformPlan::from_json(&file("main/platform.json", &plan)).expect("it parses");
    assert_eq!(index, plan.index);
}
