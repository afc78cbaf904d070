//! One scenario: the clients of the source and the merge jobs run, parts are killed, and at quiet points everything has to
//! be true.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use acceptance::stack::{Audit, Pipeline, Stack};
use acceptance::{Job, Run};
use anyhow::{Context as _, Result, bail, ensure};
use milepost_job_spec::{Outcome, StreamSpec};
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};

use crate::merges::Merges;
use crate::model;
use crate::truth::{self, Compared};
use crate::workload::Workload;

/// Concurrent clients of the source.
const CLIENTS: usize = 3;
/// Concurrent loops of merge jobs.
const MERGES: usize = 2;
/// So long a dead run's lock may hold its stream.
const PATIENCE: Duration = Duration::from_secs(90);
/// So long a part may take to come back.
pub(crate) const BACK: Duration = Duration::from_secs(90);

/// The scenario.
pub(crate) struct Chaos<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) pipeline: Pipeline<'a>,
    pub(crate) rng: StdRng,
    audit: Audit,
    begin: Instant,
    log: String,
    /// Where the next big transaction's keys begin.
    pub(crate) next_big: u32,
}

/// Who works meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    pub(crate) workload: Workload,
    pub(crate) merges: Merges,
}

impl<'a> Chaos<'a> {
    /// Both stores up to running connectors, their snapshots merged and compared.
    pub(crate) fn begin(stack: &'a Stack, rng: StdRng) -> Result<Self> {
        let begin = Instant::now();
        let mut pipeline = Pipeline::new(stack);
        pipeline.settings = format!("overrides: {}", model::overrides());
        model::make_tables(&mut pipeline.source);
        pipeline.model(&model::model())?;
        let audit = Audit::begin(&mut pipeline);
        pipeline.begin()?;
        let mut chaos = Self {
            stack,
            pipeline,
            rng,
            audit,
            begin,
            log: String::new(),
            next_big: 100_000,
        };
        chaos.check("the snapshot")?;
        Ok(chaos)
    }

    /// Does `body` while clients and merge jobs work.
    pub(crate) fn while_busy(
        &mut self,
        body: impl FnOnce(&mut Self, &Busy) -> Result<()>,
    ) -> Result<Busy> {
        let busy = Busy::default();
        let source = self.pipeline.source.url().to_owned();
        let platform = self.pipeline.url();
        let specs: Vec<StreamSpec> = self.pipeline.streams().into_iter().cloned().collect();
        let result = std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                let rng = StdRng::seed_from_u64(self.rng.next_u64());
                scope.spawn(|| busy.workload.client(&source, rng));
            }
            for _ in 0..MERGES {
                let rng = StdRng::seed_from_u64(self.rng.next_u64());
                scope.spawn(|| busy.merges.keep_running(&platform, &specs, rng));
            }
            // Whatever happens to the body, the others end.
            let body = std::panic::AssertUnwindSafe(|| body(self, &busy));
            let result = std::panic::catch_unwind(body);
            busy.workload.gate.end();
            busy.merges.gate.end();
            result
        });
        match result {
            Ok(result) => result.map(|()| busy),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Notes what is done to which part.
    pub(crate) fn note(&mut self, what: &str) {
        let _ = writeln!(
            self.log,
            "{:7.2} {what}",
            self.begin.elapsed().as_secs_f64()
        );
    }

    /// Everybody rests; then everything has to be true. The work goes on after it.
    pub(crate) fn quiet_point(&mut self, busy: &Busy, after: &str) -> Result<()> {
        let begin = Instant::now();
        let clients = busy.workload.gate.close();
        let merges = busy.merges.gate.close();
        let wrong = busy.merges.wrong();
        ensure!(wrong.is_empty(), "merge jobs failed:\n{}", wrong.join("\n"));
        let compared = self.check(after)?;
        drop((clients, merges));
        self.note(&format!(
            "true after {after}: {compared} ({:.1} s)",
            begin.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// Waits until what the source committed is staged and merged, and compares all of it. Nobody else works.
    pub(crate) fn check(&mut self, when: &str) -> Result<Compared> {
        self.pipeline.reconnect();
        self.running()
            .with_context(|| format!("{when}: connectors come back"))?;
        self.pipeline
            .quiet()
            .with_context(|| format!("{when}: changes arrive"))?;
        self.caught_up()
            .with_context(|| format!("{when}: changes are merged"))?;
        let live = self
            .pipeline
            .compare()
            .with_context(|| format!("{when}: live rows"))?;
        self.audit
            .check(&mut self.pipeline)
            .with_context(|| format!("{when}: history"))?;
        truth::check(&mut self.pipeline, &live).with_context(|| when.to_owned())
    }

    /// Waits until every connector and its tasks run.
    pub(crate) fn running(&self) -> Result<()> {
        for connector in self.pipeline.connectors() {
            self.stack
                .connect
                .rest()
                .wait_until_running(&connector.name, BACK)?;
        }
        Ok(())
    }

    /// Merges every stream until nothing is left.
    fn caught_up(&self) -> Result<()> {
        for spec in self.pipeline.streams() {
            let begin = Instant::now();
            loop {
                let run = self.pipeline.merge_stream(spec);
                if is_caught_up(&run) {
                    break;
                }
                let held = run.code == i32::from(Outcome::Held.code());
                ensure!(held && begin.elapsed() < PATIENCE, "{}: {run}", spec.stream);
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }

    /// Connectors by the end of their names.
    pub(crate) fn names(&self, ending: &str) -> Vec<String> {
        let all = self.pipeline.connectors().into_iter();
        all.map(|connector| connector.name.clone())
            .filter(|name| name.ends_with(ending))
            .collect()
    }

    /// The records of all topics.
    pub(crate) fn arrived(&self) -> Result<i64> {
        let mut sum = 0;
        for connector in self.pipeline.connectors() {
            for topic in connector.arrivals.keys() {
                sum += self.stack.kafka.end_offset(topic, 0)?.unwrap_or(0);
            }
        }
        Ok(sum)
    }

    /// Waits until so many more records are in topics.
    pub(crate) fn wait_for_records(&self, more: i64) -> Result<()> {
        let begin = Instant::now();
        let first = self.arrived()?;
        while self.arrived()? < first + more {
            if begin.elapsed() > BACK {
                bail!(
                    "only {} of {more} more records arrive in topics; the end of the worker's log:\n{}",
                    self.arrived()? - first,
                    self.stack.connect.log_end()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// What happened so far, and where the tables are that a failure left.
    pub(crate) fn account(&mut self, seed: u64) -> String {
        let folder = self.evidence(seed);
        format!(
            "MILEPOST_SEED={seed}\n{}tables and logs: {}\nthe end of the worker's log:\n{}",
            self.log,
            folder.map_or_else(
                |error| format!("{error:#}"),
                |folder| folder.display().to_string()
            ),
            self.stack.connect.log_end()
        )
    }

    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    /// Writes staging, merge and audit tables and the logs to a folder beside cargo's other files.
    fn evidence(&mut self, seed: u64) -> Result<PathBuf> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("stack-chaos-{seed}"));
        std::fs::create_dir_all(&folder)?;
        self.pipeline.reconnect();
        let write = |name: String, text: &str| std::fs::write(folder.join(name), text);
        write("connect.log".to_owned(), &self.stack.connect.log())?;
        write("source.log".to_owned(), &self.stack.source.log())?;
        write("platform.log".to_owned(), &self.stack.platform.log())?;
        let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let control = [
            "streams",
            "positions",
            "batches",
            "batch_datasets",
            "quarantine",
        ];
        let control = control.map(|name| format!("milepost.{name}"));
        tables.insert("platform", control.into());
        for spec in self.pipeline.streams() {
            let own = tables.entry("platform").or_default();
            own.extend(spec.transactions.as_ref().map(ToString::to_string));
            for dataset in &spec.datasets {
                own.extend([dataset.staging.to_string(), dataset.merge.to_string()]);
            }
        }
        let audit = "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'audit'";
        let audit = self
            .pipeline
            .source
            .rows(audit)
            .into_iter()
            .flatten()
            .flatten();
        tables.insert("source", audit.collect());
        for (side, names) in tables {
            for name in names {
                let sql = format!("copy (select * from {name}) to stdout (format csv, header)");
                let text = match side {
                    "source" => self.pipeline.source.copy_out(&sql),
                    _ => self.pipeline.platform.copy_out(&sql),
                };
                write(format!("{}.csv", name.replace('"', "")), &text)?;
            }
        }
        Ok(folder)
    }
}

fn is_caught_up(run: &Run) -> bool {
    run.code == i32::from(Outcome::Done.code()) && !run.stdout.contains("waiting")
}

/// `merge-job verify` of everything.
pub(crate) fn verify(pipeline: &Pipeline<'_>) -> Result<()> {
    let run = Job::new(&pipeline.url())
        .args(["verify", "--platform", &pipeline.name])
        .run();
    ensure!(
        run.code == i32::from(Outcome::Done.code()),
        "merge-job verify: {run}"
    );
    Ok(())
}

/// What everybody did.
pub(crate) fn told(busy: &Busy) -> String {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let Busy { workload, merges } = busy;
    format!(
        "source: {} transactions committed, {} undone by an error, {} connections lost; merge jobs: {} done, {} waited, \
         {} met another, {} killed, {} without a server",
        count(&workload.committed),
        count(&workload.rolled_back),
        count(&workload.disconnected),
        count(&merges.done),
        count(&merges.waiting),
        count(&merges.held),
        count(&merges.killed),
        count(&merges.unreachable),
    )
}
