//! A platform on the real stack whose model lies in a folder, as `doctor` wants it.

use std::process::Command;
use std::time::{Duration, Instant};

use acceptance::Database;
use acceptance::stack::{Pipeline, READER, Stack, WRITER};
use tempfile::TempDir;

use super::cli::{self, Run, binaries, milepost};

/// How long a fault may take to show, or to be gone.
const SHOWN: Duration = Duration::from_secs(60);

/// What every source of these tests holds.
const TABLES: &str = "
create table customers (id bigint primary key, name text) partition by range (id);
create table some_customers partition of customers for values from (0) to (10);
create table other_customers partition of customers default;
create table orders (id bigint primary key, customer_id bigint);
insert into customers select n, 'name ' || n from generate_series(1, 20) n;
insert into orders select n, n from generate_series(1, 20) n;";

/// A platform with its model.
pub(crate) struct Examined<'a> {
    pub(crate) pipeline: Pipeline<'a>,
    model: TempDir,
    rendered: TempDir,
}

impl<'a> Examined<'a> {
    /// Running, with its first snapshot merged.
    pub(crate) fn running(stack: &'a Stack) -> Self {
        let mut examined = Self::prepared(stack);
        examined.pipeline.begin().expect("it starts");
        examined.merged();
        examined
    }

    /// With a source and rendered files, and nothing else.
    pub(crate) fn prepared(stack: &'a Stack) -> Self {
        let mut pipeline = Pipeline::new(stack);
        pipeline.source.run(TABLES);
        let port = stack.source.port();
        let text = model(
            &pipeline,
            &stack.connect.url(),
            port,
            pipeline.source.name(),
        );
        let mut examined = Self::of(pipeline, &text);
        examined.take(text);
        examined
    }

    /// With this model, which is not rendered.
    pub(crate) fn of(pipeline: Pipeline<'a>, text: &str) -> Self {
        let folder = || TempDir::new().expect("the temporary directory is writable");
        let (model, rendered) = (folder(), folder());
        std::fs::write(model.path().join("model.yaml"), text).expect("the model is writable");
        Self {
            pipeline,
            model,
            rendered,
        }
    }

    /// Renders a model as its user does.
    pub(crate) fn take(&mut self, text: String) {
        let (model, out) = (self.model.path(), self.rendered.path());
        std::fs::write(model.join("model.yaml"), &text).expect("the model is writable");
        let run = milepost(&[
            "render",
            &model.display().to_string(),
            "--out",
            &out.display().to_string(),
        ]);
        assert_eq!(run.code, 0, "{run}");
        let files = vec![("model.yaml".to_owned(), text)];
        self.pipeline
            .rendered(files, out)
            .expect("the model is sound");
    }

    /// What was committed so far is merged, and equals the source.
    pub(crate) fn merged(&mut self) {
        self.pipeline.quiet().expect("what was committed is staged");
        self.pipeline.merge().expect("it merges");
        self.pipeline.compare().expect("it equals the source");
    }

    pub(crate) fn doctor(&self) -> Run {
        self.run("doctor")
    }

    pub(crate) fn status(&self) -> Run {
        self.run("status")
    }

    fn run(&self, command: &str) -> Run {
        let run = cli::run(
            Command::new(binaries().join("milepost"))
                .args([command, "--platform", &self.pipeline.name])
                .arg(self.model.path())
                .env_clear()
                .envs([
                    ("SHOP_READER_USER", READER.0),
                    ("SHOP_READER_PASSWORD", READER.1),
                    ("WAREHOUSE_WRITER_USER", WRITER.0),
                    ("WAREHOUSE_WRITER_PASSWORD", WRITER.1),
                ]),
        );
        for secret in [READER.1, WRITER.1] {
            assert!(!run.to_string().contains(secret), "{run}");
        }
        run
    }

    /// Asks until it says all of this and ends so.
    #[track_caller]
    pub(crate) fn says(&self, code: i32, parts: &[&str]) -> Run {
        let begin = Instant::now();
        loop {
            let run = self.doctor();
            let missing = parts.iter().find(|part| !run.stdout.contains(*part));
            if missing.is_none() && run.code == code {
                return run;
            }
            assert!(
                begin.elapsed() < SHOWN,
                "wanted exit {code} and `{}`:\n{run}",
                missing.unwrap_or(&"")
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Asks until nothing is wrong.
    #[track_caller]
    pub(crate) fn is_well(&self) -> Run {
        self.says(0, &[" 0 warnings, 0 failed\n"])
    }

    /// Types every line for a shell that the remedies with this text hold; again where Connect answers that it rebalances, as
    /// it does while another test's connectors come and go.
    pub(crate) fn type_remedies(&self, run: &Run, text: &str) {
        let quoted = run.stdout.split('`');
        let lines: Vec<&str> = quoted
            .filter(|quoted| quoted.starts_with("curl ") && quoted.contains(text))
            .collect();
        assert!(!lines.is_empty(), "no line to type with `{text}`:\n{run}");
        for line in lines {
            let begin = Instant::now();
            loop {
                let typed = Command::new("sh").args(["-c", line]).output();
                let typed = typed.expect("a shell is there");
                assert!(typed.status.success(), "{line}: {typed:?}");
                let answer = String::from_utf8_lossy(&typed.stdout);
                if !answer.contains("\"error_code\"") {
                    break;
                }
                let rebalances = answer.contains("\"error_code\":409");
                assert!(rebalances && begin.elapsed() < SHOWN, "{line}: {answer}");
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    }

    /// The name of a connector by its ending.
    pub(crate) fn connector(&self, ending: &str) -> String {
        self.pipeline.connector(ending).name.clone()
    }
}

/// A model of two tables of one source.
pub(crate) fn model(pipeline: &Pipeline<'_>, connect: &str, port: u16, database: &str) -> String {
    let name = &pipeline.name;
    let (warehouse, kafka) = (pipeline.platform.name(), pipeline.stack().kafka.address());
    let warehouse_port = pipeline.stack().platform.port();
    format!(
        r#"kind: Ecosystem
name: acme
language: 1
repository: github:acme/model@ecosystem
live: github:acme/model@main
vendors: {{aws: {{documentation: Amazon, locations: {{eu: {{locations: {{stockholm: {{}}}}}}}}}}}}
zones: {{europe: github:acme/model@europe}}
platforms: {{{name}: github:acme/platform@main}}
---
kind: GovernanceZone
name: europe
teams: {{sales: github:acme/sales@main}}
---
kind: Team
name: europe/sales
---
kind: Platform
name: {name}
implementation:
  kubernetes-postgres:
    namespace: acme-data
    kafka: {{bootstrap-servers: "{kafka}"}}
    kafka-connect: {{name: connect, host: "{connect}"}}
    postgres: {{host: 127.0.0.1, port: {warehouse_port}, database: {warehouse}, credential: {{name: warehouse-writer, type: username-password}}}}
    image: registry.acme.example/milepost:0.1.0
---
kind: Datastore
name: shop
team: europe/sales
ingestion:
  cdc:
    source:
      postgres: {{host: 127.0.0.1, port: {port}, database: {database}, locations: [aws/eu/stockholm]}}
    credential: {{name: shop-reader, type: username-password}}
    consistency: multi-dataset
datasets:
  - name: customers
    from: public.customers
    key: [id]
    columns: [{{name: id, type: bigint}}, {{name: name, type: text, nullable: true}}]
  - name: orders
    from: public.orders
    key: [id]
    columns: [{{name: id, type: bigint}}, {{name: customer_id, type: bigint, nullable: true}}]
---
kind: Workspace
name: risk
team: europe/sales
groups:
  - name: exposure
    retention: {{live-only: {{}}}}
    latency: 5m
    sinks: [shop#customers, shop#orders]
---
kind: Assignment
platform: {name}
workspace: risk
group: exposure
"#
    )
}

/// A database of another server with the tables of these tests and a reader who may read them.
pub(crate) fn other_source(cluster: &acceptance::Cluster) -> Database {
    let mut database = cluster.empty_database();
    let (user, password) = READER;
    database.run(TABLES);
    database.run(&format!(
        "create role {user} login replication password '{password}'; grant select on customers, orders to {user}"
    ));
    database
}
