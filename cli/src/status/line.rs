//! Facts → lines, without any I/O.

use std::collections::BTreeMap;

use milepost_job_spec::{Outcome, StreamKey, StreamSpec};
use milepost_platform::plan::{ConnectorPlan, Plan};

use crate::doctor::cause;
use crate::doctor::system::System;
use crate::live::connect::{ConnectorFact, Part};
use crate::live::secret::Secret;
use crate::live::streams::{Behind, StreamFacts};
use crate::live::{Answer, Trouble, said};

/// How far the streams of a platform are.
pub(super) struct Status {
    pub(super) platform: String,
    /// The database's clock, microseconds since 1970.
    pub(super) now: i64,
    /// In the order of their keys.
    pub(super) lines: Vec<Line>,
    /// Why the states of connectors are not known.
    pub(super) connect: Option<Trouble>,
}

/// A stream and what brings its rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) stream: StreamKey,
    /// As `milepost.stream_status` has it, or `not-published`.
    pub(super) state: String,
    /// None where a staging table did not answer.
    pub(super) behind: Option<Behind>,
    /// Are its tables read whole at each run? Then nothing is staged, and nothing seen to wait.
    pub(super) is_of_images: bool,
    pub(super) batch: Option<Batch>,
    /// The last failure, also where batches have succeeded since.
    pub(super) failure: Option<Failed>,
    /// The connectors of its store.
    pub(super) connectors: Vec<Connector>,
}

/// The last batch that succeeded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) number: i64,
    pub(super) at: i64,
    pub(super) rows: i64,
}

/// A failed batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) at: i64,
    pub(super) in_a_row: i32,
    pub(super) error: String,
    pub(super) hint: Option<String>,
}

/// A connector of the stream's store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Connector {
    pub(super) name: String,
    /// `RUNNING`, `FAILED`, …; `MISSING` where there is none, `UNKNOWN` where Kafka Connect did not tell.
    pub(super) state: String,
    /// Why it failed.
    pub(super) why: Option<String>,
}

impl Status {
    pub(super) fn of(
        plan: &Plan,
        facts: &StreamFacts,
        connectors: &Answer<BTreeMap<String, ConnectorFact>>,
    ) -> Self {
        let mut lines: Vec<Line> = plan
            .streams
            .values()
            .map(|spec| line(plan, spec, facts, connectors))
            .collect();
        lines.sort_by(|a, b| a.stream.cmp(&b.stream));
        Self {
            platform: plan.index.platform.clone(),
            now: facts.now,
            lines,
            connect: connectors.as_ref().err().cloned(),
        }
    }

    /// A failed stream or connector is worse than a warning, and what cannot be reached is worse than both.
    pub(super) fn outcome(&self) -> Outcome {
        let failed = self.lines.iter().any(|line| {
            matches!(line.state.as_str(), "failed" | "not-published")
                || line.connectors.iter().any(Connector::has_failed)
        });
        let found = if failed {
            Outcome::Findings
        } else {
            Outcome::Done
        };
        let asked = self
            .connect
            .as_ref()
            .map_or(Outcome::Done, Trouble::outcome);
        found.max(asked)
    }

    /// The same without any of these values, should a server have repeated one.
    pub(super) fn without(mut self, secrets: &[Secret]) -> Self {
        let hide = |text: &mut String| {
            for secret in secrets {
                if text.contains(secret.reveal()) {
                    *text = text.replace(secret.reveal(), "…");
                }
            }
        };
        for line in &mut self.lines {
            if let Some(failure) = &mut line.failure {
                hide(&mut failure.error);
                failure.hint.iter_mut().for_each(hide);
            }
            for connector in &mut line.connectors {
                connector.why.iter_mut().for_each(hide);
            }
        }
        self
    }
}

impl Connector {
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state.as_str(), "FAILED" | "MISSING")
    }

    pub(super) fn runs(&self) -> bool {
        self.state == "RUNNING"
    }
}

fn line(
    plan: &Plan,
    spec: &StreamSpec,
    facts: &StreamFacts,
    connectors: &Answer<BTreeMap<String, ConnectorFact>>,
) -> Line {
    let stream = facts.streams.get(&spec.stream);
    let of_store = plan
        .connect
        .files
        .iter()
        .filter(|file| file.store == spec.stream.store);
    Line {
        stream: spec.stream.clone(),
        state: stream.map_or_else(
            || "not-published".to_owned(),
            |stream| stream.status.clone(),
        ),
        behind: facts.behind(spec),
        is_of_images: !spec.input.is_events(),
        batch: stream.and_then(|stream| {
            Some(Batch {
                number: stream.batch_number,
                at: stream.batch_time?,
                rows: stream.batch_rows.unwrap_or_default(),
            })
        }),
        failure: stream.and_then(|stream| {
            let failure = stream.failure.as_ref()?;
            Some(Failed {
                at: failure.at,
                in_a_row: stream.consecutive_failures,
                error: said::line(&failure.error),
                hint: failure.hint.as_deref().map(said::line),
            })
        }),
        connectors: of_store
            .flat_map(|file| &file.connectors)
            .map(|planned| connector(planned, connectors))
            .collect(),
    }
}

fn connector(
    planned: &ConnectorPlan,
    connectors: &Answer<BTreeMap<String, ConnectorFact>>,
) -> Connector {
    let class = planned.config.get("connector.class");
    let system = class.and_then(|class| System::of(class));
    let (state, why) = match connectors {
        Err(_) => ("UNKNOWN".to_owned(), None),
        Ok(connectors) => match connectors.get(&planned.name) {
            None => ("MISSING".to_owned(), None),
            Some(fact) => fact.status.as_ref().map_or_else(
                || ("UNKNOWN".to_owned(), None),
                |status| worst(system, &status.connector, &status.tasks),
            ),
        },
    };
    Connector {
        name: planned.name.clone(),
        state,
        why,
    }
}

/// A connector is as well as the worst of its tasks; without one it moves nothing.
fn worst(system: Option<System>, connector: &Part, tasks: &[Part]) -> (String, Option<String>) {
    let mut parts = std::iter::once(connector).chain(tasks);
    let failed = parts.clone().find(|part| part.state == "FAILED");
    if let Some(part) = failed {
        let why = cause::known(system, &part.trace)
            .map_or_else(|| said::line(&part.trace), |cause| cause.what);
        return ("FAILED".to_owned(), Some(why));
    }
    let state = parts
        .find(|part| part.state != "RUNNING")
        .map_or("RUNNING", |part| part.state.as_str());
    match (state, tasks) {
        ("RUNNING", []) => ("UNASSIGNED".to_owned(), Some("it has no task".to_owned())),
        (state, _) => (said::line(state), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(state: &str, trace: &str) -> Part {
        Part {
            id: None,
            state: state.to_owned(),
            trace: trace.to_owned(),
        }
    }

    #[test]
    fn a_connector_is_as_well_as_its_worst_part() {
        let running = part("RUNNING", "");
        let state =
            |connector: &Part, tasks: &[Part]| worst(Some(System::Postgres), connector, tasks);
        assert_eq!(state(&running, &[part("RUNNING", "")]).0, "RUNNING");
        assert_eq!(state(&running, &[]).0, "UNASSIGNED");
        assert_eq!(
            state(&part("PAUSED", ""), &[part("PAUSED", "")]).0,
            "PAUSED"
        );
        let failed = part("FAILED", "a.b.Odd: first line\n\tat row 'Ann'");
        assert_eq!(
            state(&running, &[part("RUNNING", ""), failed]),
            ("FAILED".to_owned(), Some("a.b.Odd: first line".to_owned()))
        );
        let known = part("FAILED", "ERROR: permission denied for table x");
        assert_eq!(
            state(&running, &[known]).1.as_deref(),
            Some("the database's role may not use a table")
        );
    }

    #[test]
    fn how_the_command_ends() {
        let status = |state: &str, connector: &str, connect: Option<Trouble>| Status {
            platform: "main".to_owned(),
            now: 0,
            lines: vec![Line {
                stream: StreamKey {
                    platform: "main".to_owned(),
                    store: "shop".to_owned(),
                    dataset: None,
                },
                state: state.to_owned(),
                behind: None,
                is_of_images: false,
                batch: None,
                failure: None,
                connectors: vec![Connector {
                    name: "main.shop.sink".to_owned(),
                    state: connector.to_owned(),
                    why: None,
                }],
            }],
            connect,
        };
        let code = |state, connector, connect| status(state, connector, connect).outcome().code();
        assert_eq!(code("healthy", "RUNNING", None), 0);
        assert_eq!(code("waiting", "PAUSED", None), 0);
        assert_eq!(code("failed", "RUNNING", None), 1);
        assert_eq!(code("not-published", "RUNNING", None), 1);
        assert_eq!(code("healthy", "FAILED", None), 1);
        assert_eq!(code("healthy", "MISSING", None), 1);
        let down = Trouble::Unreachable("connection refused".to_owned());
        assert_eq!(code("failed", "UNKNOWN", Some(down)), 3);
    }
}
