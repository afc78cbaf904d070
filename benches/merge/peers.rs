//! Other tools on the same batches: each in the configuration that `benches/peers/README.md` gives reasons for, its rows compared
//! with those of the floor.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use milepost_job_spec::Strategy;
use serde::Deserialize;
use tokio::runtime::Runtime;

use super::arena::{Arena, Floor};
use super::server::Server;
use super::took::Took;
use super::workload::Size;

/// A run that takes longer has no end, as far as anybody waits for it.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// The tools: their names, and what `scripts/peers.sh` calls their interpreters.
const PEERS: [(&str, &str); 3] = [("dlt", "DLT"), ("dbt", "DBT"), ("sqlmesh", "SQLMESH")];

/// What a tool and the merge job do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A row for each live key.
    Live,
    /// One version for each key and batch.
    History,
}

impl Mode {
    pub(crate) const ALL: [Self; 2] = [Self::Live, Self::History];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::History => "history",
        }
    }

    const fn strategy(self) -> Strategy {
        match self {
            Self::Live => Strategy::LiveOnly,
            Self::History => super::LAST_PER_BATCH,
        }
    }
}

/// What a run of a tool says.
#[derive(Debug, Deserialize)]
struct Answer {
    version: String,
    /// The query of the live rows.
    live: String,
    /// The query of the number of closed versions.
    closed: Option<String>,
    client_peak_kib: u32,
}

/// A run, of the merge job or of a tool.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) took: Took,
    /// Seconds of the whole process.
    pub(crate) process: f64,
    pub(crate) peak_kib: u32,
}

/// A tool in one mode.
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    /// Each with the merge job's run on the same batch.
    pub(crate) rounds: Vec<(Run, Run)>,
    /// Live rows and closed versions that are not as they should be, after the last batch; none where a run had no end.
    pub(crate) wrong: Option<u64>,
}

/// Runs all tools in both modes.
pub(crate) fn measure(
    server: &Server,
    runtime: &Runtime,
    keys: u32,
    changes: u32,
    rounds: u32,
) -> Result<Vec<Peer>> {
    let interpreters = interpreters()?;
    let mut peers = Vec::new();
    for mode in Mode::ALL {
        let size = Size {
            keys,
            versions: 1,
            batches: rounds + 1,
        };
        let database = format!("peers_{}", mode.name());
        let floors = [Floor::Plain];
        let mut arena = Arena::new(server, runtime, &database, mode.strategy(), size, &floors)?;
        let state = tempfile::TempDir::new()?;
        let url = server.url(&database);
        arena.copy_live("initial", "")?;
        let tools: Vec<Tool<'_>> = PEERS
            .iter()
            .zip(&interpreters)
            .map(|((name, _), python)| Tool {
                name,
                python,
                mode,
                url: &url,
                state: state.path(),
            })
            .collect();
        let mut own: Vec<Peer> = Vec::new();
        for tool in &tools {
            let Some(answer) = tool.run("load")? else {
                bail!("{} does not load its table in time", tool.name);
            };
            own.push(Peer {
                name: format!("{} {}", tool.name, answer.version),
                mode,
                rounds: Vec::new(),
                wrong: Some(0),
            });
        }
        arena.analyze()?;
        for round in 0..=rounds {
            arena.stage(changes)?;
            let engine = arena.engine_as_process()?;
            arena.floor(Floor::Plain)?;
            let changed = match mode {
                Mode::Live => "",
                Mode::History => ", dp_source_ts as updated_at",
            };
            arena.copy_live("snapshot", changed)?;
            for (tool, peer) in tools.iter().zip(&mut own) {
                if peer.wrong.is_none() {
                    continue;
                }
                arena.get_ready()?;
                let begun = Instant::now();
                let Some(answer) = tool.run("merge")? else {
                    arena.disconnect_others()?;
                    peer.wrong = None;
                    continue;
                };
                let process = begun.elapsed().as_secs_f64();
                let run = Run {
                    took: arena.took_of_peer()?,
                    process,
                    peak_kib: answer.client_peak_kib,
                };
                // The first round warms up.
                if round > 0 {
                    peer.rounds.push((engine.clone(), run));
                }
                peer.wrong = Some(arena.wrong(&answer.live, answer.closed.as_deref())?);
            }
        }
        arena.compare(&floors)?;
        arena.remove()?;
        peers.extend(own);
    }
    Ok(peers)
}

/// A tool with what it needs to run.
struct Tool<'a> {
    name: &'a str,
    python: &'a Path,
    mode: Mode,
    url: &'a str,
    state: &'a Path,
}

impl Tool<'_> {
    /// Nothing where it has no end in time.
    fn run(&self, verb: &str) -> Result<Option<Answer>> {
        let Self {
            name,
            python,
            mode,
            url,
            state,
        } = self;
        let script = root().join(format!("benches/peers/run_{name}.py"));
        let schema = format!("peer_{name}");
        let [mut output, mut errors] = [tempfile::tempfile()?, tempfile::tempfile()?];
        let mut process = Command::new(python)
            .arg(script)
            .args([verb, "--url", url, "--mode", mode.name()])
            .args(["--schema", &schema, "--state"])
            .arg(state.join(name))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(errors.try_clone()?)
            .spawn()
            .with_context(|| format!("failed to start {}", python.display()))?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = process.try_wait()? {
                break status;
            }
            if begun.elapsed() > LIMIT {
                process.kill()?;
                process.wait()?;
                return Ok(None);
            }
            sleep(Duration::from_millis(5));
        };
        let text = read(&mut output)?;
        ensure!(
            status.success(),
            "{name} {verb} failed: {}",
            read(&mut errors)?
        );
        let line = text.lines().last().unwrap_or_default();
        let answer = serde_json::from_str(line);
        answer.with_context(|| format!("{name} {verb} answered `{line}`"))
    }
}

fn read(file: &mut File) -> Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The interpreters of the tools, which a script installs.
fn interpreters() -> Result<Vec<PathBuf>> {
    let output = Command::new("scripts/peers.sh")
        .current_dir(root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("failed to run scripts/peers.sh")?;
    ensure!(output.status.success(), "scripts/peers.sh failed");
    let text = String::from_utf8_lossy(&output.stdout);
    PEERS
        .iter()
        .map(|(_, variable)| {
            let found = text.lines().find_map(|line| {
                let value = line.strip_prefix(variable)?;
                value.strip_prefix('=')
            });
            found
                .map(PathBuf::from)
                .with_context(|| format!("scripts/peers.sh names no {variable}"))
        })
        .collect()
}
