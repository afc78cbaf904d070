//! A platform of its own on a running stack: a model, two databases, connectors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use milepost_dsl::{IntentionGraph, Severity, Sources, check};
use milepost_job_spec::{ModelVersion, Outcome, StreamSpec};
use milepost_platform::plan::{ConnectorPlan, Plan};
use milepost_render::render;
use postgres::{Client, NoTls};
use tempfile::TempDir;

use super::process::run;
use super::{READER, Stack, WRITER};
use crate::{Database, Job, Run};

/// How long a connector may take until it runs.
const RUNNING: Duration = Duration::from_secs(60);

/// A platform with a source database and a platform database that nobody else uses, from the model to merge tables.
///
/// When it is dropped its connectors and its replication slots are removed; the stack goes on.
pub struct Pipeline<'a> {
    stack: &'a Stack,
    /// The platform's name in the model: unique on the stack, and with it every topic, connector and slot.
    pub name: String,
    /// The source, as its superuser.
    pub source: Database,
    /// The platform's database, as its superuser.
    pub platform: Database,
    /// More settings of the platform in the model, as `overrides: {…}`: a line each, taken by [`model`](Self::model).
    pub settings: String,
    order: u64,
    plan: Option<Plan>,
    /// What is rendered.
    rendered: PathBuf,
    /// Where that is, unless somebody else rendered.
    folder: TempDir,
}

impl<'a> Pipeline<'a> {
    /// Two empty databases, and no model yet.
    #[must_use]
    pub fn new(stack: &'a Stack) -> Self {
        let source = stack.source.empty_database();
        let platform = stack.platform.empty_database();
        // Databases of a cluster are numbered.
        let name = platform.name().replace("test_", "p");
        Self::of(stack, &name, source, platform)
    }

    /// A platform of this name with these databases.
    #[must_use]
    pub fn of(stack: &'a Stack, name: &str, source: Database, mut platform: Database) -> Self {
        let (writer, _) = WRITER;
        platform.run(&format!(
            "alter database {} owner to {writer}",
            platform.name()
        ));
        let folder = TempDir::new().expect("the temporary directory is writable");
        Self {
            stack,
            name: name.to_owned(),
            source,
            platform,
            settings: String::new(),
            order: 0,
            plan: None,
            rendered: folder.path().to_owned(),
            folder,
        }
    }

    /// What stands behind `source:` in a datastore of the model: this pipeline's source.
    #[must_use]
    pub fn source_yaml(&self) -> String {
        format!(
            "{{postgres: {{host: 127.0.0.1, port: {}, database: {}, locations: [aws/eu/stockholm]}}}}",
            self.stack.source.port(),
            self.source.name()
        )
    }

    /// Takes a model: the documents of team `europe/sales` and the assignments; what stands above them is made here. In the
    /// text `$SOURCE` stands for [`source_yaml`](Self::source_yaml) and `$PLATFORM` for the platform's name. Called again,
    /// it is the next version of the model. Nothing is applied.
    ///
    /// # Errors
    /// If the model has errors, with all of them.
    pub fn model(&mut self, documents: &str) -> Result<()> {
        let documents = documents
            .replace("$SOURCE", &self.source_yaml())
            .replace("$PLATFORM", &self.name);
        let text = format!("{}---\n{documents}", self.above());
        let sources: Sources = [("model.yaml".to_owned(), text)].into_iter().collect();
        let plan = self.planned(&sources)?;
        self.folder = TempDir::new()?;
        for (path, text) in &render(&plan)? {
            let file = self.folder.path().join(path.as_str());
            std::fs::create_dir_all(file.parent().context("it has a folder")?)?;
            std::fs::write(file, text)?;
        }
        self.rendered = self.folder.path().to_owned();
        self.plan = Some(plan);
        Ok(())
    }

    /// Takes a model from its files by their paths, and the folder in which `milepost render` left what it made of them.
    ///
    /// # Errors
    /// If the model has errors, with all of them.
    pub fn rendered(&mut self, model: Vec<(String, String)>, folder: &Path) -> Result<()> {
        self.plan = Some(self.planned(&model.into_iter().collect())?);
        self.rendered = folder.to_owned();
        Ok(())
    }

    /// What was decided for the model.
    ///
    /// # Panics
    /// If there is no model yet.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.plan.as_ref().expect("there is a model")
    }

    /// The folder with the rendered files of the platform.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.rendered.join(&self.name)
    }

    /// The specs of all streams.
    #[must_use]
    pub fn streams(&self) -> Vec<&StreamSpec> {
        self.plan().streams.values().collect()
    }

    /// The connectors of all stores, sources before what reads their topics.
    #[must_use]
    pub fn connectors(&self) -> Vec<&ConnectorPlan> {
        let files = &self.plan().connect.files;
        files.iter().flat_map(|file| &file.connectors).collect()
    }

    /// The name of the first source connector, of the first sink, …: whose resource ends like this.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn connector(&self, ending: &str) -> &ConnectorPlan {
        let mut all = self.connectors().into_iter();
        all.find(|connector| connector.name.ends_with(ending))
            .unwrap_or_else(|| panic!("there is a connector `…{ending}`"))
    }

    /// What the source's owner does before connectors come: runs the rendered `prepare.sql`, which makes the publication.
    ///
    /// # Errors
    /// If psql fails.
    pub fn prepare(&self) -> Result<()> {
        self.at_source("prepare.sql")
    }

    /// What the source's owner does when they run: asks for the snapshots of what was added.
    ///
    /// # Errors
    /// If psql fails.
    pub fn snapshot(&self) -> Result<()> {
        self.at_source("snapshot.sql")
    }

    /// Migrates the platform's database and publishes the plan, with the real merge job.
    ///
    /// # Errors
    /// If it refuses.
    pub fn publish(&self) -> Result<()> {
        let from = self.folder().display().to_string();
        for arguments in [&["migrate"] as &[_], &["publish", "--from", &from]] {
            let run = Job::new(&self.url()).args(arguments.iter().copied()).run();
            ensure!(run.code == 0, "merge-job {}: {run}", arguments.join(" "));
        }
        Ok(())
    }

    /// Makes or changes the connectors over REST, removes those that the model no longer has, and waits until all run.
    ///
    /// # Errors
    /// If one of them does not run.
    pub fn apply(&self) -> Result<()> {
        let rest = self.stack.connect.rest();
        let connectors = self.connectors();
        for name in rest.names()? {
            let is_planned = connectors.iter().any(|connector| connector.name == name);
            if self.is_ours(&name) && !is_planned {
                rest.delete(&name)?;
            }
        }
        for connector in &connectors {
            let mut config = connector.config.clone();
            config.insert("name".to_owned(), connector.name.clone());
            rest.put(&connector.name, &config)
                .with_context(|| format!("connector {}", connector.name))?;
        }
        for connector in &connectors {
            rest.wait_until_running(&connector.name, RUNNING)?;
        }
        Ok(())
    }

    /// From the model to running connectors: prepare, publish, apply, snapshot.
    ///
    /// # Errors
    /// If a step fails.
    pub fn begin(&self) -> Result<()> {
        self.prepare().context("prepare")?;
        self.publish().context("publish")?;
        self.apply().context("apply")?;
        self.snapshot().context("snapshot")
    }

    /// Merges every stream with the real merge job until it is caught up.
    ///
    /// # Errors
    /// If a run ends with anything but success.
    pub fn merge(&self) -> Result<()> {
        for spec in self.streams() {
            let run = self.merge_stream(spec);
            ensure!(
                run.code == i32::from(Outcome::Done.code()),
                "merge of {}: {run}",
                spec.stream
            );
        }
        Ok(())
    }

    /// One run of the merge job for a stream.
    #[must_use]
    pub fn merge_stream(&self, spec: &StreamSpec) -> Run {
        Job::merge(&self.url(), spec).run()
    }

    /// Connects anew to both databases, after one of them was gone.
    pub fn reconnect(&mut self) {
        self.source = self.source.again();
        self.platform = self.platform.again();
    }

    /// Cuts the source connectors off from their source. Returns how many it found.
    ///
    /// # Panics
    /// If the source does not answer.
    pub fn kill_walsenders(&mut self) -> usize {
        let slots = self.slots().join("', '");
        let ended = self.source.rows(&format!(
            "select pg_terminate_backend(active_pid) from pg_replication_slots
              where slot_name in ('{slots}') and active_pid is not null"
        ));
        ended.len()
    }

    /// The address of the platform's database for merge jobs, as the user that also writes staging tables.
    #[must_use]
    pub fn url(&self) -> String {
        let (user, password) = WRITER;
        format!(
            "postgres://{user}:{password}@127.0.0.1:{}/{}",
            self.stack.platform.port(),
            self.platform.name()
        )
    }

    /// The stack it runs on.
    #[must_use]
    pub fn stack(&self) -> &'a Stack {
        self.stack
    }

    fn planned(&mut self, sources: &Sources) -> Result<Plan> {
        let checked = check(sources);
        let errors = |found: &[milepost_dsl::Diagnostic]| -> String {
            let errors = found.iter().filter(|each| each.severity == Severity::Error);
            errors.map(|each| each.to_plain(sources)).collect()
        };
        let Some(model) = checked.model else {
            bail!("{}", errors(&checked.diagnostics));
        };
        let platform = model
            .platform_named(&self.name)
            .context("the platform stands above the model")?;
        self.order += 1;
        let version = ModelVersion {
            commit: format!("{:040x}", self.order),
            order: self.order,
        };
        let graph = IntentionGraph::build(&model, platform);
        let planned = milepost_platform::plan(&model, &graph, &version);
        planned.plan.with_context(|| errors(&planned.diagnostics))
    }

    fn at_source(&self, file: &str) -> Result<()> {
        let sources = self.folder().join("sources");
        let mut found = false;
        for store in std::fs::read_dir(&sources).into_iter().flatten() {
            self.psql(&store?.path().join(file))?;
            found = true;
        }
        ensure!(found, "nothing is rendered for the source's owner");
        Ok(())
    }

    fn psql(&self, file: &Path) -> Result<()> {
        let mut psql = self.stack.source.program("psql");
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
            .arg(format!("--set=reader={}", READER.0))
            .arg("--file")
            .arg(file)
            .arg(self.source.url());
        let output = run(&psql).context("psql stands beside postgres")?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {told}", file.display());
        Ok(())
    }

    /// Is this one of the platform's connectors?
    fn is_ours(&self, connector: &str) -> bool {
        connector.starts_with(&format!("{}.", self.name))
    }

    /// Everything in the model that no test is about.
    fn above(&self) -> String {
        let Self { name, platform, .. } = self;
        let (port, connect) = (self.stack.platform.port(), self.stack.connect.url());
        let (database, kafka) = (platform.name(), self.stack.kafka.address());
        let settings: String = self
            .settings
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect();
        format!(
            "\
kind: Ecosystem
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
    kafka: {{bootstrap-servers: \"{kafka}\"}}
    kafka-connect: {{name: connect, host: \"{connect}\", credential: {{name: connect-api, type: username-password}}}}
    postgres: {{host: 127.0.0.1, port: {port}, database: {database}, credential: {{name: warehouse-writer, type: username-password}}}}
    airflow: {{name: airflow, version: 3, credential: {{name: airflow-api, type: username-password}}}}
    image: registry.acme.example/milepost:0.1.0
    git: {{credential: {{name: rendered-push, type: api-token}}, rendered-repository: github:acme/rendered@main}}
    slack: {{channel: \"#data\", credential: {{name: slack-bot, type: api-token}}}}
{settings}"
        )
    }

    /// The replication slots of the source connectors.
    pub(super) fn slots(&self) -> Vec<String> {
        let Some(plan) = &self.plan else {
            return Vec::new();
        };
        let connectors = plan.connect.files.iter().flat_map(|file| &file.connectors);
        connectors
            .filter_map(|connector| connector.config.get("slot.name").cloned())
            .collect()
    }
}

impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        let rest = self.stack.connect.rest();
        for name in rest.names().unwrap_or_default() {
            if self.is_ours(&name) {
                let _ = rest.delete(&name);
            }
        }
        // A slot that is still in use is left: it goes with the source. So is all where the source is gone.
        let Ok(mut source) = Client::connect(self.source.url(), NoTls) else {
            return;
        };
        for slot in self.slots() {
            let _ = source.batch_execute(&format!(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots
                  where slot_name = '{slot}' and not active"
            ));
        }
    }
}
