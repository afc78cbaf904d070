//! Workers of Kafka Connect.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::directory::Directory;
use super::downloads::Downloads;
use super::jvm;
use super::process::{Process, log_end};
use super::rest::Rest;
use crate::port;

/// How a worker differs from the usual one.
#[derive(Debug, Clone)]
pub struct ConnectSettings {
    /// Workers of one group share their connectors.
    pub group: String,
    /// Folders of plugins, one below another or archives; none: what `scripts/stack.sh` fetched.
    pub plugin_path: Option<PathBuf>,
    /// Variables of its environment, for `${env:…}`.
    pub environment: BTreeMap<String, String>,
    /// Settings of the worker over the usual ones.
    pub settings: BTreeMap<String, String>,
}

impl Default for ConnectSettings {
    fn default() -> Self {
        Self {
            group: "stack".to_owned(),
            plugin_path: None,
            environment: BTreeMap::new(),
            settings: BTreeMap::new(),
        }
    }
}

/// A worker with its REST interface.
#[derive(Debug)]
pub struct Worker {
    port: u16,
    log: PathBuf,
    rest: Rest,
    environment: BTreeMap<String, String>,
    settings: Vec<(String, String)>,
    process: Mutex<Option<Process>>,
    directory: Directory,
}

impl Worker {
    /// Starts a worker, and does not wait for it.
    pub(crate) fn start_one(kafka: &str, settings: ConnectSettings) -> Result<Self> {
        let directory = Directory::new()?;
        let port = port::free();
        let log = directory.path().join("log");
        let group = &settings.group;
        let plugins = settings
            .plugin_path
            .unwrap_or_else(|| Downloads::get().path("CONNECT_PLUGINS").to_owned());
        let mut all: BTreeMap<String, String> = USUAL
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        all.extend(
            [
                ("bootstrap.servers", kafka.to_owned()),
                ("group.id", group.clone()),
                ("listeners", format!("http://127.0.0.1:{port}")),
                ("config.storage.topic", format!("{group}-configs")),
                ("offset.storage.topic", format!("{group}-offsets")),
                ("status.storage.topic", format!("{group}-status")),
                ("plugin.path", plugins.display().to_string()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        all.extend(settings.settings);
        let worker = Self {
            port,
            rest: Rest::new(port, log.clone()),
            log,
            environment: settings.environment,
            settings: all.into_iter().collect(),
            process: Mutex::new(None),
            directory,
        };
        worker.start()?;
        Ok(worker)
    }

    /// Starts it after it was killed or stopped: same port, same group. Does not wait.
    ///
    /// # Errors
    /// If there is no Java.
    pub fn start(&self) -> Result<()> {
        let mut command = jvm::command(
            "org.apache.kafka.connect.cli.ConnectDistributed",
            "768m",
            self.directory.path(),
            &self.settings,
        )?;
        command.envs(&self.environment);
        *self.process() = Some(Process::start("Kafka Connect", &command, &self.log)?);
        Ok(())
    }

    /// Waits until its REST interface answers for the group: it has joined and read what is configured.
    ///
    /// # Errors
    /// If it ends, or takes too long; with the end of its log.
    pub fn wait(&self, within: Duration) -> Result<()> {
        let begin = Instant::now();
        loop {
            if self.rest.answers() {
                return Ok(());
            }
            let ended = self.process().as_ref().is_none_or(Process::has_ended);
            if ended || begin.elapsed() > within {
                bail!("Kafka Connect does not start:\n{}", self.log_end());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills it (SIGKILL): it commits no offset and says goodbye to nobody.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// Ends it (SIGTERM): it leaves the group and commits its offsets.
    ///
    /// # Errors
    /// If it takes more than 30 seconds.
    pub fn stop(&self) -> Result<()> {
        let process = self.process().take();
        process.map_or(Ok(()), |process| process.stop(Duration::from_secs(30)))
    }

    /// Stops its clock (SIGSTOP): for the others it is dead, and does not know it.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// If it does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Its REST interface.
    #[must_use]
    pub fn rest(&self) -> &Rest {
        &self.rest
    }

    /// The address of its REST interface.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where it looks for plugins.
    #[must_use]
    pub fn plugin_path(&self) -> PathBuf {
        let path = self.settings.iter().find(|(key, _)| key == "plugin.path");
        path.map(|(_, path)| path.into()).unwrap_or_default()
    }

    /// What it wrote to its log since its first start.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_end(&self) -> String {
        log_end(&self.log)
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process().as_ref().map(Process::id)
    }

    fn signal(&self, signal: &str) -> Result<()> {
        match self.process().as_mut() {
            Some(process) => process.signal(signal),
            None => bail!("this worker does not run"),
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Worker {
    /// Before its directory goes.
    fn drop(&mut self) {
        self.kill();
    }
}

/// Short times: whoever is gone is missed soon, and what is read is remembered soon.
const USUAL: &[(&str, &str)] = &[
    ("rest.advertised.host.name", "127.0.0.1"),
    (
        "key.converter",
        "org.apache.kafka.connect.json.JsonConverter",
    ),
    (
        "value.converter",
        "org.apache.kafka.connect.json.JsonConverter",
    ),
    ("config.storage.replication.factor", "1"),
    ("offset.storage.replication.factor", "1"),
    ("offset.storage.partitions", "1"),
    ("status.storage.replication.factor", "1"),
    ("status.storage.partitions", "1"),
    ("offset.flush.interval.ms", "500"),
    ("session.timeout.ms", "6000"),
    ("heartbeat.interval.ms", "1000"),
    ("rebalance.timeout.ms", "10000"),
    // A sink waits until the consumer of the worker that was killed is missed.
    ("consumer.session.timeout.ms", "6000"),
    ("consumer.heartbeat.interval.ms", "1000"),
    ("scheduled.rebalance.max.delay.ms", "0"),
    ("task.shutdown.graceful.timeout.ms", "2000"),
    ("topic.creation.enable", "true"),
    ("connector.client.config.override.policy", "All"),
    // Reads manifests instead of every class of every plugin.
    ("plugin.discovery", "service_load"),
    ("config.providers", "env"),
    (
        "config.providers.env.class",
        "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
    ),
];
