//! Rendered Terraform with the real provider on the real stack: what it makes, mends and refuses.
//!
//! Every test has a platform of its own. The workers of this stack sign in to both databases with passwords that no other
//! run has, so that a password that is found anywhere was leaked by this one.

mod mended;
mod refused;
mod secret;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;

use acceptance::Run;
use acceptance::stack::{ConnectSettings, Pipeline, READER, Stack, Terraform, WRITER};

const MODEL: &str = "
kind: Datastore
name: shop
team: europe/sales
ingestion:
  cdc:
    source: $SOURCE
    credential: {name: shop-reader, type: username-password}
    consistency: multi-dataset
datasets:
  - name: orders
    from: public.orders
    key: [id]
    columns:
      - {name: id, type: bigint}
      - {name: status, type: text, nullable: true}
---
kind: Workspace
name: risk
team: europe/sales
groups:
  - name: exposure
    retention: {live-only: {}}
    latency: 5m
    sinks: [shop#orders]
---
kind: Assignment
platform: $PLATFORM
workspace: risk
group: exposure
";

/// The connectors of the model, by their resources, in the order in which they are made.
const CONNECTORS: [&str; 3] = ["shop__source", "shop__sink", "shop__control"];

/// A word that nobody has said before.
fn random_word(prefix: &str) -> String {
    format!("{prefix}-{:016x}", RandomState::new().hash_one(prefix))
}

/// The passwords of the databases: the source's and the platform's.
fn passwords() -> &'static [String; 2] {
    static PASSWORDS: OnceLock<[String; 2]> = OnceLock::new();
    PASSWORDS.get_or_init(|| [random_word("canary-source"), random_word("canary-platform")])
}

fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| {
        let [source, platform] = passwords();
        let environment = [
            ("SHOP_READER_USER", "canary_reader"),
            ("SHOP_READER_PASSWORD", source),
            ("WAREHOUSE_WRITER_USER", "canary_writer"),
            ("WAREHOUSE_WRITER_PASSWORD", platform),
        ];
        let stack = Stack::start(ConnectSettings {
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..ConnectSettings::default()
        })
        .expect("the stack starts");
        stack.source.empty_database().run(&format!(
            "create role canary_reader login replication password '{source}' in role {}",
            READER.0
        ));
        stack.platform.empty_database().run(&format!(
            "create role canary_writer login password '{platform}' in role {}",
            WRITER.0
        ));
        stack
    })
}

/// A platform with everything that stands before `terraform apply`.
fn published() -> Pipeline<'static> {
    let mut pipeline = Pipeline::new(stack());
    pipeline
        .source
        .run("create table public.orders (id bigint primary key, status text)");
    pipeline.model(MODEL).expect("the model is sound");
    pipeline.prepare().expect("the source is prepared");
    pipeline.publish().expect("the plan is published");
    pipeline
}

/// The rendered folder after `terraform init`, for the Kafka Connect at an address.
fn initialised(pipeline: &Pipeline<'_>, url: &str) -> Terraform {
    let rendered = pipeline.folder().join("terraform");
    let terraform = Terraform::of(&rendered, url).expect("Terraform's files are rendered");
    ends(&terraform, 0, &["init"]);
    terraform
}

/// Runs Terraform, holds its exit code, and returns all that it said, in one line.
fn ends(terraform: &Terraform, code: i32, arguments: &[&str]) -> String {
    let run = terraform.run(arguments).expect("there is a Terraform");
    told(run, code, arguments)
}

/// The same with more variables in its environment.
fn ends_with(
    terraform: &Terraform,
    code: i32,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> String {
    let output = terraform
        .command(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("there is a Terraform");
    let run = Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    told(run, code, arguments)
}

/// Terraform breaks and frames its lines; what it says is compared without that.
fn told(run: Run, code: i32, arguments: &[&str]) -> String {
    assert_eq!(run.code, code, "terraform {arguments:?}: {run}");
    let text = format!("{} {}", run.stdout, run.stderr).replace('│', " ");
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// `terraform plan`: 0 where there is nothing to do, 2 where there is.
fn plan(terraform: &Terraform, code: i32) -> String {
    ends(terraform, code, &["plan", "-detailed-exitcode"])
}

fn apply(terraform: &Terraform) -> String {
    ends(terraform, 0, &["apply", "-auto-approve"])
}

/// The connectors in Terraform's state, by their resources.
fn known(terraform: &Terraform) -> Vec<String> {
    let listed = ends(terraform, 0, &["state", "list"]);
    let resources = listed.split_whitespace();
    resources
        .filter_map(|resource| resource.strip_prefix("kafka-connect_connector."))
        .map(ToOwned::to_owned)
        .collect()
}

fn address(resource: &str) -> String {
    format!("kafka-connect_connector.{resource}")
}

/// The configuration of a connector as Kafka Connect has it, with its name.
fn running(pipeline: &Pipeline<'_>, ending: &str) -> (String, BTreeMap<String, String>) {
    let name = pipeline.connector(ending).name.clone();
    let config = stack().connect.rest().config(&name);
    (name, config.expect("Kafka Connect has it"))
}

/// The names of the platform's connectors in Kafka Connect.
fn connectors(pipeline: &Pipeline<'_>) -> Vec<String> {
    let names = stack().connect.rest().names().expect("Connect answers");
    let prefix = format!("{}.", pipeline.name);
    let mut ours: Vec<String> = names
        .into_iter()
        .filter(|name| name.starts_with(&prefix))
        .collect();
    ours.sort();
    ours
}
