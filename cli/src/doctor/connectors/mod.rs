//! Kafka Connect: itself, its plugins, and every connector against the plan.

use std::collections::{BTreeMap, BTreeSet};

use milepost_platform::kubernetes_postgres::release_of;
use milepost_platform::plan::{ConnectPlan, ConnectorPlan, ConnectorResources};

use super::cause::{self, Cause, Remedy};
use super::finding::{Finding, some};
use super::system::System;
use crate::live::connect::{ConnectFacts, ConnectorFact, Part};
use crate::live::said;
use crate::live::{Answer, Trouble};

/// The plan of connectors, and how an operator reaches Kafka Connect.
pub(super) struct Connectors<'a> {
    pub(super) platform: &'a str,
    pub(super) plan: &'a ConnectPlan,
    /// Without a login in it.
    pub(super) address: String,
}

/// Everything that is to be said about Kafka Connect.
pub(super) fn judge(asked: &Connectors<'_>, facts: &Answer<ConnectFacts>) -> Vec<Finding> {
    let what = format!("kafka-connect {}", asked.address);
    let facts = match facts {
        Ok(facts) => facts,
        Err(trouble) => return vec![Finding::trouble(&what, trouble, door(asked, trouble))],
    };
    let mut findings = vec![Finding::pass(
        &what,
        format!("version {}", said::line(&facts.server.version)),
    )];
    findings.extend(asked.plugins(facts));
    match &facts.connectors {
        Ok(connectors) => {
            for connector in asked.planned() {
                findings.extend(asked.connector(connector, facts, connectors.get(&connector.name)));
            }
            findings.extend(asked.strangers(connectors));
        }
        Err(trouble) => findings.push(Finding::trouble(
            &format!("{what} connectors"),
            trouble,
            "look into the log of Kafka Connect's workers",
        )),
    }
    findings
}

/// What to do where Kafka Connect lets nobody in.
fn door(asked: &Connectors<'_>, trouble: &Trouble) -> String {
    match trouble {
        Trouble::Unconfigured(_) => {
            "set them to the login of Kafka Connect's REST interface".to_owned()
        }
        Trouble::Login(_) => match &asked.plan.login {
            Some(login) => format!(
                "`{}` and `{}` must hold a login that Kafka Connect accepts",
                login.user_variable, login.password_variable
            ),
            None => "name its credential in the model: `kafka-connect: {credential: …}`".to_owned(),
        },
        Trouble::Unusable(_) => {
            "see to `kafka-connect: {host: …}` in the model, and to SSL_CERT_FILE".to_owned()
        }
        Trouble::Unreachable(_)
        | Trouble::Silent(_)
        | Trouble::Status(..)
        | Trouble::Stranger(_)
        | Trouble::Refused(_) => format!(
            "from where this runs, `{}` has to show the version of Kafka Connect; start its workers, or see to \
             `kafka-connect: {{host: …}}` in the model",
            asked.curl("GET", "")
        ),
    }
}

impl Connectors<'_> {
    fn planned(&self) -> impl Iterator<Item = &ConnectorPlan> {
        self.plan.files.iter().flat_map(|file| &file.connectors)
    }

    /// A line for a shell; the login comes from the environment.
    fn curl(&self, method: &str, path: &str) -> String {
        let login = self.plan.login.as_ref().map_or_else(String::new, |login| {
            format!(
                " -u \"${}:${}\"",
                login.user_variable, login.password_variable
            )
        });
        let method = match method {
            "GET" => String::new(),
            method => format!(" -X {method}"),
        };
        format!("curl -sS{login}{method} '{}{path}'", self.address)
    }

    /// Every class that the plan needs.
    fn plugins(&self, facts: &ConnectFacts) -> Vec<Finding> {
        let plugins = match &facts.plugins {
            Ok(plugins) => plugins,
            Err(trouble) => {
                let what = format!("kafka-connect {} plugins", self.address);
                let remedy = "look into the log of Kafka Connect's workers";
                return vec![Finding::trouble(&what, trouble, remedy)];
            }
        };
        let classes: BTreeSet<&str> = self.planned().filter_map(class).collect();
        let finding = |(class, release): (&str, &str)| {
            let what = format!("plugin {class}");
            let versions: BTreeSet<String> = plugins
                .iter()
                .filter(|plugin| plugin.class == class)
                .map(|plugin| said::line(plugin.version.as_deref().unwrap_or("without a version")))
                .collect();
            let install = format!(
                "install release {release} of Debezium on the `plugin.path` of every worker, and restart them"
            );
            if versions.is_empty() {
                Finding::fail(&what, "Kafka Connect lacks it", install)
            } else if versions.iter().any(|version| version != release) {
                let finding = format!(
                    "version {}, the settings were made for {release}",
                    some(&versions)
                );
                Finding::warn(&what, finding, install)
            } else {
                Finding::pass(&what, format!("version {release}"))
            }
        };
        let released = |class| Some((class, release_of(class)?));
        classes
            .into_iter()
            .filter_map(released)
            .map(finding)
            .collect()
    }

    /// Is it there, as planned, and at work? One line where all is well, else a line per fault.
    fn connector(
        &self,
        planned: &ConnectorPlan,
        facts: &ConnectFacts,
        found: Option<&ConnectorFact>,
    ) -> Vec<Finding> {
        let what = format!("connector {}", planned.name);
        let mut findings = Vec::new();
        match found {
            None => findings.push(Finding::fail(
                &what,
                "it does not exist",
                format!("`milepost render`, then {}, which makes it", self.apply()),
            )),
            Some(found) => {
                findings.extend(edited(&what, self.apply(), planned, found));
                findings.extend(self.at_work(&what, planned, found));
            }
        }
        findings.extend(self.validated(&what, planned, facts));
        if findings.is_empty() {
            let tasks = found
                .and_then(|found| found.status.as_ref())
                .map_or(0, |status| status.tasks.len());
            let plural = if tasks == 1 { "" } else { "s" };
            findings.push(Finding::pass(
                &what,
                format!(
                    "RUNNING with {tasks} task{plural}, as planned, and its settings are valid"
                ),
            ));
        }
        findings
    }

    fn at_work(&self, what: &str, planned: &ConnectorPlan, found: &ConnectorFact) -> Vec<Finding> {
        let Some(status) = &found.status else {
            return vec![Finding::warn(
                what,
                "it has no status yet",
                "ask again in a minute; if it stays so, restart a worker",
            )];
        };
        let parts = std::iter::once(&status.connector).chain(&status.tasks);
        let mut findings: Vec<Finding> = parts
            .filter_map(|part| self.part(what, planned, part))
            .collect();
        if findings.is_empty() && status.tasks.is_empty() {
            findings.push(Finding::fail(
                what,
                "it is RUNNING and has no task, so nothing moves",
                format!(
                    "if it stays so, a source waits for its replication slot: see the line of the slot; for all else {}",
                    self.restart(planned)
                ),
            ));
        }
        findings
    }

    /// The connector by itself or one of its tasks; nothing where it runs.
    fn part(&self, what: &str, planned: &ConnectorPlan, part: &Part) -> Option<Finding> {
        let who = part
            .id
            .map_or_else(|| "it".to_owned(), |id| format!("task {id}"));
        let path = |action: &str| format!("/connectors/{}/{action}", planned.name);
        Some(match part.state.as_str() {
            "RUNNING" => return None,
            // Its tasks say the same; once is enough.
            "PAUSED" | "STOPPED" if part.id.is_some() => return None,
            "PAUSED" | "STOPPED" => Finding::fail(
                what,
                format!("somebody made it {}", part.state),
                format!(
                    "`{}`; it goes on where it stopped",
                    self.curl("PUT", &path("resume"))
                ),
            ),
            "FAILED" => {
                let (why, remedy) = match cause::known(system(planned), &part.trace) {
                    Some(cause) => (cause.what, self.remedy(planned, &cause.remedy)),
                    None => (
                        said::line(&part.trace),
                        format!(
                            "the whole trace: `{}`; then {}",
                            self.curl("GET", &path("status")),
                            self.restart(planned)
                        ),
                    ),
                };
                Finding::fail(what, format!("{who} is FAILED: {why}"), remedy)
            }
            "UNASSIGNED" | "RESTARTING" => Finding::warn(
                what,
                format!(
                    "{who} is {}: the workers share out their work anew",
                    part.state
                ),
                "ask again in a minute; if it stays so, look whether every worker lives",
            ),
            other => Finding::warn(
                what,
                format!(
                    "{who} is in a state that this release does not know: {}",
                    said::line(other)
                ),
                "look into the log of Kafka Connect's workers",
            ),
        })
    }

    /// What brings connectors to where the plan has them.
    const fn apply(&self) -> &'static str {
        match &self.plan.resources {
            ConnectorResources::Terraform => "`terraform apply`",
            ConnectorResources::Strimzi { .. } => "`kubectl apply` of `strimzi/`",
        }
    }

    /// What to do until a connector that failed runs again.
    fn remedy(&self, planned: &ConnectorPlan, remedy: &Remedy) -> String {
        match remedy {
            Remedy::First(first) => format!("{first}; then {}", self.restart(planned)),
            Remedy::Anew => {
                let curl = |method, action: &str| {
                    self.curl(method, &format!("/connectors/{}/{action}", planned.name))
                };
                // A source without a slot has nothing there that has to go.
                let slot = planned.config.get("slot.name").map_or_else(String::new, |slot| {
                    format!("if it is still there, `select pg_drop_replication_slot('{slot}')` at the source; ")
                });
                format!(
                    "it takes a new snapshot of everything: `{}`; {slot}`{}`; `{}`. What that does not bring back: \
                     docs/changing-streams.md",
                    curl("PUT", "stop"),
                    curl("DELETE", "offsets"),
                    curl("PUT", "resume")
                )
            }
        }
    }

    fn restart(&self, planned: &ConnectorPlan) -> String {
        let path = format!("/connectors/{}/restart?includeTasks=true", planned.name);
        format!(
            "`{}`; it goes on where it stopped",
            self.curl("POST", &path)
        )
    }

    /// What Kafka Connect says of the planned settings, having tried them with its own secrets.
    fn validated(&self, what: &str, planned: &ConnectorPlan, facts: &ConnectFacts) -> Vec<Finding> {
        match facts.validations.get(&planned.name) {
            // Its class is missing, which has its own line.
            None => Vec::new(),
            Some(Err(trouble)) => vec![Finding::warn(
                what,
                format!("Kafka Connect could not validate its settings: {trouble}"),
                "a source that does not answer lets a validation wait: see whether the workers reach it",
            )],
            Some(Ok(validation)) => validation
                .errors
                .iter()
                .flat_map(|(setting, errors)| errors.iter().map(move |error| (setting, error)))
                .map(|(setting, error)| {
                    let setting = said::line(setting);
                    let remedy = match cause::known(system(planned), error) {
                        Some(Cause { remedy: Remedy::First(first), .. }) => first,
                        Some(Cause { remedy: Remedy::Anew, .. }) => self.remedy(planned, &Remedy::Anew),
                        None => "mend what it names, in the model or at the source; the secrets it uses are in the \
                                 environment of Kafka Connect's workers"
                            .to_owned(),
                    };
                    Finding::fail(what, format!("Kafka Connect refuses `{setting}`: {error}"), remedy)
                })
                .collect(),
        }
    }

    /// Connectors that have our names and are not in the plan.
    fn strangers(&self, connectors: &BTreeMap<String, ConnectorFact>) -> Vec<Finding> {
        let planned: BTreeSet<&str> = self
            .planned()
            .map(|planned| planned.name.as_str())
            .collect();
        let prefix = format!("{}.", self.platform);
        let strangers = connectors
            .keys()
            .filter(|name| name.starts_with(&prefix) && !planned.contains(name.as_str()));
        strangers
            .map(|name| {
                let name = said::line(name);
                Finding::warn(
                    &format!("connector {name}"),
                    format!("it has a name of platform `{}` and is not in the plan", self.platform),
                    format!(
                        "if its store left the model: {} removes its sinks; how a source goes is in \
                         docs/changing-streams.md",
                        self.apply()
                    ),
                )
            })
            .collect()
    }
}

fn class(connector: &ConnectorPlan) -> Option<&str> {
    connector.config.get("connector.class").map(String::as_str)
}

fn system(connector: &ConnectorPlan) -> Option<System> {
    System::of(class(connector)?)
}

/// Settings that are not the plan's: names only, a value may be a secret.
fn edited(
    what: &str,
    apply: &str,
    planned: &ConnectorPlan,
    found: &ConnectorFact,
) -> Option<Finding> {
    let actual = &found.info.as_ref()?.config;
    let name = ("name", planned.name.as_str());
    let settings = planned
        .config
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let wanted: BTreeMap<&str, &str> = settings.chain([name]).collect();
    let keys: BTreeSet<&str> = wanted
        .keys()
        .copied()
        .chain(actual.keys().map(String::as_str))
        .collect();
    let differing: Vec<String> = keys
        .into_iter()
        .filter(|&key| wanted.get(key).copied() != actual.get(key).and_then(Option::as_deref))
        .map(said::line)
        .collect();
    (!differing.is_empty()).then(|| {
        Finding::warn(
            what,
            format!("its settings are not the plan's: {}", some(differing)),
            format!("`milepost render`, then {apply}, which makes them the plan's"),
        )
    })
}

#[cfg(test)]
mod tests;
