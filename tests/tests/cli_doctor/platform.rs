//! The example model as a platform that runs: published into a database of the test, with a Kafka Connect that is well.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use acceptance::{Cluster, Database, Job};
use milepost_dsl::{IntentionGraph, Sources};
use milepost_job_spec::ModelVersion;
use milepost_platform::kubernetes_postgres::release_of;
use milepost_platform::plan::Plan;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::cli::{self, Model, Run, binaries};
use super::http::{Answer, Request, serve};

/// A password that must not be seen anywhere.
pub(crate) const API_PASSWORD: &str = "c4nary-of-connect";

/// What a test may change of the Kafka Connect.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// What it answers instead, by the beginning of the path.
    pub(crate) instead: BTreeMap<String, Answer>,
    /// Its connectors.
    pub(crate) connectors: BTreeMap<String, Value>,
    /// The plugins' version.
    pub(crate) plugins: BTreeMap<String, String>,
    /// How often it says first that its workers share out their work anew.
    pub(crate) conflicts: u32,
    /// What was asked.
    pub(crate) asked: Vec<Request>,
}

/// A platform that is well until a test changes something.
pub(crate) struct Platform {
    pub(crate) model: Model,
    pub(crate) database: Database,
    pub(crate) connect: Arc<Mutex<Script>>,
    pub(crate) port: u16,
    environment: BTreeMap<String, String>,
}

impl Platform {
    /// Published, and never merged.
    pub(crate) fn new() -> Self {
        let mut platform = Self::unpublished(Cluster::shared().database());
        platform.publish();
        platform
    }

    /// With this database as it is.
    pub(crate) fn unpublished(database: Database) -> Self {
        let connect = Arc::new(Mutex::new(Script::default()));
        let script = Arc::clone(&connect);
        let port = serve(move |request| {
            let mut script = script.lock().expect("no handler panics");
            script.asked.push(request.clone());
            if script.conflicts > 0 {
                script.conflicts -= 1;
                let status = if script.conflicts % 2 == 0 { 409 } else { 500 };
                return Answer::Json(status, json!({"message": "a rebalance is expected"}));
            }
            script.answer(request)
        });
        let model = Model::shop();
        let settings = "platforms/main/platform.yaml";
        model.replace(
            settings,
            "http://connect:8083",
            &format!("http://127.0.0.1:{port}"),
        );
        connect
            .lock()
            .expect("no handler panics")
            .be_well(&plan(&model));
        let environment = [
            ("MILEPOST_DATABASE_URL", database.url()),
            ("CONNECT_API_USER", "ann"),
            ("CONNECT_API_PASSWORD", API_PASSWORD),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            model,
            database,
            connect,
            port,
            environment: environment.into(),
        }
    }

    /// Replaces a text of the model, and lets Kafka Connect run what the model says then.
    pub(crate) fn change(&self, file: &str, old: &str, new: &str) {
        self.model.replace(file, old, new);
        self.script(|script| script.be_well(&plan(&self.model)));
    }

    /// Renders the model and publishes it, as the documentation says.
    pub(crate) fn publish(&mut self) {
        let out = TempDir::new().expect("the temporary directory is writable");
        let folder = out.path().display().to_string();
        let rendered = self.model.run(&["render", "--out", &folder]);
        assert_eq!(rendered.code, 0, "{rendered}");
        Job::new(self.database.url())
            .args(["publish", "--from", &folder])
            .succeed();
    }

    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.environment
            .insert(variable.to_owned(), value.to_owned());
    }

    pub(crate) fn unset(&mut self, variable: &str) {
        self.environment.remove(variable);
    }

    /// Changes what Kafka Connect says.
    pub(crate) fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.connect.lock().expect("no handler panics"));
    }

    pub(crate) fn doctor(&self, arguments: &[&str]) -> Run {
        self.run("doctor", arguments)
    }

    pub(crate) fn status(&self, arguments: &[&str]) -> Run {
        self.run("status", arguments)
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Run {
        let mut milepost = Command::new(binaries().join("milepost"));
        milepost
            .args([command, "--platform", "main"])
            .args(arguments)
            .current_dir(self.model.path())
            // Whatever the tests' own environment says of servers is none of theirs.
            .env_clear()
            .envs(&self.environment);
        cli::run(&mut milepost)
    }
}

impl Script {
    fn be_well(&mut self, plan: &Plan) {
        let connectors = plan.connect.files.iter().flat_map(|file| &file.connectors);
        for connector in connectors {
            let class = connector.config["connector.class"].clone();
            let release = release_of(&class).expect("a plan's plugins have releases");
            self.plugins.insert(class, release.to_owned());
            let mut config = connector.config.clone();
            config.insert("name".to_owned(), connector.name.clone());
            let well = json!({
                "status": {
                    "name": connector.name,
                    "connector": {"state": "RUNNING", "worker_id": "127.0.0.1:8083"},
                    "tasks": [{"id": 0, "state": "RUNNING", "worker_id": "127.0.0.1:8083"}],
                },
                "info": {"name": connector.name, "config": config},
            });
            self.connectors.insert(connector.name.clone(), well);
        }
    }

    /// The only task of a connector fails.
    pub(crate) fn fail(&mut self, connector: &str, trace: &str) {
        let connector = self.connectors.get_mut(connector).expect("the plan has it");
        connector["status"]["tasks"][0] = json!({"id": 0, "state": "FAILED", "trace": trace});
    }

    fn answer(&self, request: &Request) -> Answer {
        let path = request.path.as_str();
        // `/` is asked first, and is the beginning of every path.
        let instead = self
            .instead
            .iter()
            .rev()
            .find(|(beginning, _)| match beginning.as_str() {
                "/" => path == "/",
                beginning => path.starts_with(beginning),
            });
        if let Some((_, answer)) = instead {
            return answer.clone();
        }
        let plugins = || -> Vec<Value> {
            let plugins = self.plugins.iter();
            plugins
                .map(|(class, version)| json!({"class": class, "version": version}))
                .collect()
        };
        Answer::Json(
            200,
            match path {
                "/" => json!({"version": "4.3.0", "commit": "x", "kafka_cluster_id": "y"}),
                "/connector-plugins" => json!(plugins()),
                path if path.ends_with("/validate") => json!({"error_count": 0, "configs": []}),
                path if path.ends_with("/offsets") => json!({"offsets": []}),
                _ => json!(self.connectors),
            },
        )
    }
}

/// The plan of the model's platform, as the command makes it.
fn plan(model: &Model) -> Plan {
    let mut sources = Sources::new();
    for (path, text) in cli::files(model.path()) {
        sources.add(path.display().to_string(), text);
    }
    let model = milepost_dsl::check(&sources)
        .model
        .expect("the example has no error");
    let (platform, _) = model
        .platforms
        .iter()
        .next()
        .expect("the example has a platform");
    let graph = IntentionGraph::build(&model, platform);
    let version = ModelVersion {
        commit: "worktree".to_owned(),
        order: 0,
    };
    milepost_platform::plan(&model, &graph, &version)
        .plan
        .expect("the example can be planned")
}

/// A run ended with this code and said this, in this order of lines or another.
#[track_caller]
pub(crate) fn told(run: &Run, code: i32, parts: &[&str]) {
    for part in parts {
        assert!(
            run.stdout.contains(part) || run.stderr.contains(part),
            "`{part}` is not in:\n{run}"
        );
    }
    assert_eq!(run.code, code, "{run}");
    assert!(!run.stderr.contains("panicked"), "{run}");
}
