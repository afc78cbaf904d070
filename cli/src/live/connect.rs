//! What Kafka Connect knows: itself, its plugins, its connectors. Every question is a GET, or a validation that changes
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milepost_platform::plan::{ConnectPlan, ConnectorPlan};
use reqwest::{Client, Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::secret::Login;
use super::{Answer, Trouble, said, tls};

/// A worker that forwards a question to the leader of its group answers within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between questions to a group that has no leader at the moment.
const AGAIN: Duration = Duration::from_millis(500);
/// A validation waits until the connector has reached its source, or has given up.
const VALIDATION_PATIENCE: Duration = Duration::from_secs(20);
/// Validations that run at a time: each opens connections of its own to a source.
const VALIDATIONS_AT_A_TIME: usize = 4;
/// A thousand connectors with their settings are about 5 MB.
const MOST_BYTES: usize = 64 << 20;

/// What is known of a Kafka Connect that answers.
#[derive(Debug)]
pub(crate) struct ConnectFacts {
    pub(crate) server: Server,
    pub(crate) plugins: Answer<Vec<Plugin>>,
    /// By name.
    pub(crate) connectors: Answer<BTreeMap<String, ConnectorFact>>,
    /// What Kafka Connect says of the planned settings, by connector; only where the class is installed.
    pub(crate) validations: BTreeMap<String, Answer<Validation>>,
    /// How far each planned sink that exists has committed.
    pub(crate) offsets: BTreeMap<String, Answer<Vec<Committed>>>,
}

/// `GET /`
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Server {
    pub(crate) version: String,
}

/// A class that Kafka Connect could run.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Plugin {
    pub(crate) class: String,
    pub(crate) version: Option<String>,
}

/// A connector as it is; parts are missing of one that goes or comes at this moment.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ConnectorFact {
    pub(crate) status: Option<ConnectorStatus>,
    pub(crate) info: Option<ConnectorInfo>,
}

/// What a connector and its tasks are at.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ConnectorStatus {
    pub(crate) connector: Part,
    #[serde(default)]
    pub(crate) tasks: Vec<Part>,
}

/// A connector by itself, or one of its tasks.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Part {
    /// The number of a task.
    pub(crate) id: Option<u32>,
    /// `RUNNING`, `FAILED`, `PAUSED`, `STOPPED`, `UNASSIGNED`, `RESTARTING`.
    pub(crate) state: String,
    /// Why it failed: a trace of Java, never to be printed whole.
    #[serde(default)]
    pub(crate) trace: String,
}

/// How a connector is set up.
#[derive(Clone, Deserialize)]
pub(crate) struct ConnectorInfo {
    /// Whoever edits a connector by hand may write a secret here.
    pub(crate) config: BTreeMap<String, Option<String>>,
}

impl std::fmt::Debug for ConnectorInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.config.keys()).finish()
    }
}

/// The settings at which a validation takes offence, each with what is said of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Validation {
    pub(crate) errors: BTreeMap<String, Vec<String>>,
}

/// The offset of a topic partition that a sink would read next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) next: i64,
}

/// Asks all that `doctor` wants to know.
pub(crate) async fn examine(plan: &ConnectPlan) -> Answer<ConnectFacts> {
    let connect = Connect::of(plan)?;
    let server = connect.server().await?;
    let (plugins, connectors) = tokio::join!(connect.plugins(), connect.connectors());
    let planned: Vec<&ConnectorPlan> = plan
        .files
        .iter()
        .flat_map(|file| &file.connectors)
        .collect();
    let installed = |class: &str| match &plugins {
        Ok(plugins) => plugins.iter().any(|plugin| plugin.class == class),
        Err(_) => true,
    };
    let exists = |name: &str| match &connectors {
        Ok(connectors) => connectors.contains_key(name),
        Err(_) => false,
    };
    let (mut validations, mut offsets) = (JoinSet::new(), JoinSet::new());
    let turn = Arc::new(Semaphore::new(VALIDATIONS_AT_A_TIME));
    for planned in planned {
        let name = planned.name.clone();
        if planned
            .config
            .get("connector.class")
            .is_some_and(|class| installed(class))
        {
            let (connect, planned, turn) = (connect.clone(), planned.clone(), Arc::clone(&turn));
            validations.spawn(async move {
                let _turn = turn.acquire_owned().await;
                let answer = connect.validate(&planned).await;
                (planned.name, answer)
            });
        }
        if !planned.arrivals.is_empty() && exists(&name) {
            let connect = connect.clone();
            offsets.spawn(async move {
                let answer = connect.offsets(&name).await;
                (name, answer)
            });
        }
    }
    Ok(ConnectFacts {
        server,
        plugins,
        connectors,
        validations: validations.join_all().await.into_iter().collect(),
        offsets: offsets.join_all().await.into_iter().collect(),
    })
}

/// The connectors as they are, and no more: what `status` wants to know.
pub(crate) async fn states(plan: &ConnectPlan) -> Answer<BTreeMap<String, ConnectorFact>> {
    Connect::of(plan)?.connectors().await
}

/// The address without what is secret in it, for people and for `curl`.
pub(crate) fn address(plan: &ConnectPlan) -> String {
    match Url::parse(&plan.url) {
        Ok(mut url) => {
            // Neither fails for a URL with a host; one without a host holds neither.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.as_str().trim_end_matches('/').to_owned()
        }
        Err(_) => "an address that is no URL".to_owned(),
    }
}

/// The REST interface of a Kafka Connect.
#[derive(Clone)]
struct Connect {
    client: Client,
    base: Url,
    login: Option<Login>,
}

impl Connect {
    fn of(plan: &ConnectPlan) -> Answer<Self> {
        let base = Url::parse(&plan.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                Trouble::Unusable("its host is no `http://` or `https://` address".to_owned())
            })?;
        let login = plan
            .login
            .as_ref()
            .map(|login| Login::from_environment(&login.user_variable, &login.password_variable))
            .transpose()?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client("SSL_CERT_FILE")?)
            // A login goes to the host that the model names and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Trouble::Unusable(said::chain(&error)))?;
        Ok(Self {
            client,
            base,
            login,
        })
    }

    async fn server(&self) -> Answer<Server> {
        self.get(&[], &[]).await
    }

    async fn plugins(&self) -> Answer<Vec<Plugin>> {
        self.get(&["connector-plugins"], &[]).await
    }

    async fn connectors(&self) -> Answer<BTreeMap<String, ConnectorFact>> {
        self.get(&["connectors"], &[("expand", "status"), ("expand", "info")])
            .await
    }

    async fn offsets(&self, connector: &str) -> Answer<Vec<Committed>> {
        #[derive(Deserialize)]
        struct Offsets {
            offsets: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            partition: Partition,
            // Null for a partition of which nothing was committed.
            offset: Option<Offset>,
        }
        #[derive(Deserialize)]
        struct Partition {
            kafka_topic: String,
            kafka_partition: i32,
        }
        #[derive(Deserialize)]
        struct Offset {
            kafka_offset: i64,
        }
        let answer: Offsets = self.get(&["connectors", connector, "offsets"], &[]).await?;
        let committed = answer.offsets.into_iter().filter_map(|entry| {
            Some(Committed {
                topic: entry.partition.kafka_topic,
                partition: entry.partition.kafka_partition,
                next: entry.offset?.kafka_offset,
            })
        });
        Ok(committed.collect())
    }

    /// Has Kafka Connect judge settings with the secrets that it alone knows. Its answer repeats every value, secrets
    /// resolved: only names and errors are taken from it.
    async fn validate(&self, connector: &ConnectorPlan) -> Answer<Validation> {
        #[derive(Deserialize)]
        struct Judged {
            configs: Vec<Setting>,
        }
        #[derive(Deserialize)]
        struct Setting {
            value: Value,
        }
        #[derive(Deserialize)]
        struct Value {
            name: String,
            #[serde(default)]
            errors: Vec<String>,
        }
        let mut settings = connector.config.clone();
        settings.insert("name".to_owned(), connector.name.clone());
        let class = settings.get("connector.class").cloned().unwrap_or_default();
        let body = serde_json::to_vec(&settings).expect("settings are texts");
        let path = ["connector-plugins", &class, "config", "validate"];
        let request = self
            .request(Method::PUT, &path, &[])
            .header("content-type", "application/json")
            .timeout(VALIDATION_PATIENCE)
            .body(body);
        let judged: Judged = self.send(request, VALIDATION_PATIENCE).await?;
        let offended = judged.configs.into_iter().filter_map(|setting| {
            let errors: Vec<String> = setting.value.errors.iter().map(|e| said::line(e)).collect();
            (!errors.is_empty()).then_some((setting.value.name, errors))
        });
        Ok(Validation {
            errors: offended.collect(),
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Answer<T> {
        let begun = Instant::now();
        loop {
            let request = self.request(Method::GET, path, query).timeout(PATIENCE);
            match self.send(request, PATIENCE).await {
                Err(trouble) if rebalances(&trouble) && begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(AGAIN).await;
                }
                answer => return answer,
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("the scheme was checked, so the address has a path")
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.client.request(method, url);
        match &self.login {
            Some(login) => request.basic_auth(&login.user, Some(login.password.reveal())),
            None => request,
        }
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        patience: Duration,
    ) -> Answer<T> {
        let lost = |error: reqwest::Error| match error.is_timeout() {
            true => Trouble::Silent(patience),
            // The address may hold a password.
            false => Trouble::Unreachable(said::chain(&error.without_url())),
        };
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        let is_json = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("json"));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return Err(Trouble::Stranger("answers without an end".to_owned()));
            }
        }
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(Trouble::Login(format!("it answers {}", status.as_u16())));
        }
        if !status.is_success() {
            return Err(Trouble::Status(status.as_u16(), refusal(&body)));
        }
        if !is_json {
            return Err(Trouble::Stranger(
                "something answers there that is no Kafka Connect: its answer is no JSON"
                    .to_owned(),
            ));
        }
        // What the parser says quotes the text, which may hold a secret.
        serde_json::from_slice(&body).map_err(|error| {
            Trouble::Stranger(match error.classify() {
                serde_json::error::Category::Eof => "its answer breaks off".to_owned(),
                _ => "its answer is not of the shape that Kafka Connect's have".to_owned(),
            })
        })
    }
}

/// Do the workers share out their work anew? That is soon over. Kafka Connect says 409, or 500 of what it was asked just
/// before.
fn rebalances(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Status(409, _) => true,
        Trouble::Status(_, said) => said.contains("rebalance"),
        _ => false,
    }
}

/// The message of an answer that is an error of Kafka Connect; of any other nothing.
fn refusal(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    serde_json::from_slice(body).map_or_else(
        |_| String::new(),
        |Refusal { message }| said::line(&message),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_login() {
        let plan = |url: &str| ConnectPlan {
            url: url.to_owned(),
            login: None,
            resources: milepost_platform::plan::ConnectorResources::Terraform,
            files: Vec::new(),
        };
        assert_eq!(
            address(&plan("https://ann:s3cr3t@connect:8083/api/?token=s3cr3t")),
            "https://connect:8083/api"
        );
        assert_eq!(
            address(&plan("http://a b:s3cr3t@")),
            "an address that is no URL"
        );
    }
}
