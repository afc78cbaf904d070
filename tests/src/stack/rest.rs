//! The REST interface of a worker.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use reqwest::blocking::Client;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::process::log_end;

/// A client of one worker.
#[derive(Debug)]
pub struct Rest {
    url: String,
    client: Client,
    /// The worker's log, for messages.
    log: PathBuf,
}

/// A connector and its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// The connector's name.
    pub name: String,
    /// The connector itself.
    pub connector: State,
    /// Its tasks.
    pub tasks: Vec<State>,
}

/// `RUNNING`, `FAILED`, …, where, and why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct State {
    /// As Kafka Connect says it.
    pub state: String,
    /// `host:port` of the worker that runs it.
    pub worker_id: String,
    /// Why it failed.
    pub trace: Option<String>,
}

impl Status {
    /// Are the connector and at least one task running, and none not?
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.tasks.is_empty() && self.all().all(|each| each.state == "RUNNING")
    }

    /// Has the connector or a task failed?
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.all().any(|each| each.state == "FAILED")
    }

    fn all(&self) -> impl Iterator<Item = &State> {
        std::iter::once(&self.connector).chain(&self.tasks)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.connector.state)?;
        for task in &self.tasks {
            write!(f, ", a task {} on {}", task.state, task.worker_id)?;
        }
        for trace in self.all().filter_map(|each| each.trace.as_ref()) {
            write!(f, "\n{trace}")?;
        }
        Ok(())
    }
}

impl Rest {
    pub(crate) fn new(port: u16, log: PathBuf) -> Self {
        // Another crate of the workspace gives the client TLS, and leaves it to its user by whose cryptography; it is not used
        // here, and may be installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build();
        Self {
            url: format!("http://127.0.0.1:{port}"),
            client: client.expect("a client without TLS is made of nothing"),
            log,
        }
    }

    /// Makes a connector, or changes its configuration.
    ///
    /// # Errors
    /// If Connect refuses it.
    pub fn put(&self, name: &str, config: &BTreeMap<String, String>) -> Result<()> {
        let path = format!("connectors/{}/config", escaped(name));
        self.send(Method::PUT, &path, Some(&json!(config)))?;
        Ok(())
    }

    /// The configuration as Connect tells it.
    ///
    /// # Errors
    /// If there is no such connector.
    pub fn config(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let answer = self.get(&format!("connectors/{}/config", escaped(name)))?;
        Ok(serde_json::from_value(answer)?)
    }

    /// The names of all connectors.
    ///
    /// # Errors
    /// If Connect does not answer.
    pub fn names(&self) -> Result<Vec<String>> {
        Ok(serde_json::from_value(self.get("connectors")?)?)
    }

    /// Does it answer for its group, be it that it wants a login?
    pub(crate) fn answers(&self) -> bool {
        let answer = self.client.get(format!("{}/connectors", self.url)).send();
        answer.is_ok_and(|answer| {
            let status = answer.status();
            status.is_success() || status == StatusCode::UNAUTHORIZED
        })
    }

    /// How a connector is.
    ///
    /// # Errors
    /// If there is no such connector.
    pub fn status(&self, name: &str) -> Result<Status> {
        let answer = self.get(&format!("connectors/{}/status", escaped(name)))?;
        Ok(serde_json::from_value(answer)?)
    }

    /// Restarts a connector with its tasks.
    ///
    /// # Errors
    /// If Connect refuses.
    pub fn restart(&self, name: &str) -> Result<()> {
        let path = format!("connectors/{}/restart?includeTasks=true", escaped(name));
        self.send(Method::POST, &path, None)?;
        Ok(())
    }

    /// Deletes a connector; its offsets stay.
    ///
    /// # Errors
    /// If Connect refuses.
    pub fn delete(&self, name: &str) -> Result<()> {
        self.send(
            Method::DELETE,
            &format!("connectors/{}", escaped(name)),
            None,
        )?;
        Ok(())
    }

    /// Pauses, resumes or stops a connector: `pause`, `resume`, `stop`. Only of a stopped one can offsets be changed.
    ///
    /// # Errors
    /// If Connect refuses.
    pub fn order(&self, name: &str, order: &str) -> Result<()> {
        self.send(
            Method::PUT,
            &format!("connectors/{}/{order}", escaped(name)),
            None,
        )?;
        Ok(())
    }

    /// How far a connector is, as Connect tells it.
    ///
    /// # Errors
    /// If there is no such connector.
    pub fn offsets(&self, name: &str) -> Result<Value> {
        self.get(&format!("connectors/{}/offsets", escaped(name)))
    }

    /// Sets the offsets of a stopped connector, in the form in which [`offsets`](Self::offsets) gives them.
    ///
    /// # Errors
    /// If Connect refuses.
    pub fn set_offsets(&self, name: &str, offsets: &Value) -> Result<()> {
        let path = format!("connectors/{}/offsets", escaped(name));
        self.send(Method::PATCH, &path, Some(offsets))?;
        Ok(())
    }

    /// Sends a sink back in its topic: stops it, sets the offset that it reads next, and lets it run again.
    ///
    /// # Errors
    /// If a step fails.
    pub fn rewind(&self, name: &str, topic: &str, offset: i64) -> Result<()> {
        const STEP: Duration = Duration::from_secs(60);
        self.order(name, "stop")?;
        self.wait_until_stopped(name, STEP)?;
        let offsets = json!({"offsets": [{
            "partition": {"kafka_topic": topic, "kafka_partition": 0},
            "offset": {"kafka_offset": offset},
        }]});
        self.set_offsets(name, &offsets)?;
        self.order(name, "resume")?;
        self.wait_until_running(name, STEP)
    }

    /// Forgets the offsets of a stopped connector.
    ///
    /// # Errors
    /// If Connect refuses.
    pub fn forget_offsets(&self, name: &str) -> Result<()> {
        self.send(
            Method::DELETE,
            &format!("connectors/{}/offsets", escaped(name)),
            None,
        )?;
        Ok(())
    }

    /// Classes of connectors with their versions.
    ///
    /// # Errors
    /// If Connect does not answer.
    pub fn plugins(&self) -> Result<BTreeMap<String, String>> {
        let answer = self.get("connector-plugins")?;
        let plugins = answer.as_array().context("plugins are a list")?;
        let pair = |plugin: &Value| {
            let text = |key: &str| plugin[key].as_str().unwrap_or_default().to_owned();
            (text("class"), text("version"))
        };
        Ok(plugins.iter().map(pair).collect())
    }

    /// What is wrong with a configuration by its settings; nothing if Connect takes it.
    ///
    /// # Errors
    /// If Connect does not answer, or does not have the plugin.
    pub fn validate(
        &self,
        config: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, Vec<String>>> {
        let class = config
            .get("connector.class")
            .context("a configuration names its class")?;
        let path = format!("connector-plugins/{}/config/validate", escaped(class));
        let answer = self.send(Method::PUT, &path, Some(&json!(config)))?;
        let configs = answer["configs"]
            .as_array()
            .context("settings are a list")?;
        let wrong = configs.iter().filter_map(|each| {
            let value = &each["value"];
            let errors: Vec<String> = serde_json::from_value(value["errors"].clone()).ok()?;
            let name = value["name"].as_str()?.to_owned();
            (!errors.is_empty()).then_some((name, errors))
        });
        Ok(wrong.collect())
    }

    /// Waits until a connector and all its tasks run.
    ///
    /// # Errors
    /// If one of them fails, or it takes too long: with the trace and the end of the worker's log.
    pub fn wait_until_running(&self, name: &str, within: Duration) -> Result<()> {
        self.wait(name, "RUNNING", within, |status| {
            if status.has_failed() {
                bail!(
                    "{status}\nthe end of the worker's log:\n{}",
                    log_end(&self.log)
                );
            }
            Ok(status.is_running())
        })
    }

    /// Waits until a connector or a task of it has failed, and says how.
    ///
    /// # Errors
    /// If it takes too long.
    pub fn wait_until_failed(&self, name: &str, within: Duration) -> Result<Status> {
        self.wait(name, "FAILED", within, |status| Ok(status.has_failed()))?;
        self.status(name)
    }

    /// Waits until a connector is stopped and has no task.
    ///
    /// # Errors
    /// If it takes too long.
    pub fn wait_until_stopped(&self, name: &str, within: Duration) -> Result<()> {
        self.wait(name, "STOPPED", within, |status| {
            Ok(status.connector.state == "STOPPED" && status.tasks.is_empty())
        })
    }

    fn wait(
        &self,
        name: &str,
        state: &str,
        within: Duration,
        is_so: impl Fn(&Status) -> Result<bool>,
    ) -> Result<()> {
        let begin = Instant::now();
        loop {
            // A connector that was made a moment ago has no status for another moment.
            let status = self.status(name);
            if let Ok(status) = &status
                && is_so(status)?
            {
                return Ok(());
            }
            if begin.elapsed() > within {
                let told = match status {
                    Ok(status) => status.to_string(),
                    Err(error) => format!("{name}: {error:#}"),
                };
                bail!(
                    "not {state} within {within:?}: {told}\nthe end of the worker's log:\n{}",
                    log_end(&self.log)
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks for anything by its path.
    ///
    /// # Errors
    /// If Connect does not answer with success.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None)
    }

    fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let begin = Instant::now();
        loop {
            let mut request = self
                .client
                .request(method.clone(), format!("{}/{path}", self.url));
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = request.send().with_context(|| format!("{method} {path}"))?;
            let status = answer.status();
            let text = answer.text()?;
            if status.is_success() {
                return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
            }
            // A group that is being rebalanced refuses every change, and says 500 of what it was asked just before.
            let rebalances =
                status == StatusCode::CONFLICT || text.contains("rebalance is expected");
            if !rebalances || begin.elapsed() > Duration::from_secs(30) {
                bail!("{method} {path}: {status} {text}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A name in a path.
fn escaped(name: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let escape = |c: char| {
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).bytes();
        bytes.map(|byte| format!("%{byte:02X}")).collect::<String>()
    };
    name.chars()
        .map(|c| if legal(c) { c.to_string() } else { escape(c) })
        .collect()
}
