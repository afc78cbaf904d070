//! A database with the tables of the merge job and of the floor, filled alike, for runs on the same batches.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use acceptance::Job;
use anyhow::{Context as _, Result, bail, ensure};
use milepost_job_spec::{Strategy, StreamSpec, Versions};
use milepost_merge_job::session::Session;
use milepost_merge_job::{MergeRequest, MergeTarget, Summary, ddl, merge_stream, migrate};
use postgres::Client;
use tokio::runtime::Runtime;

use super::server::Server;
use super::took::{self, Took};
use super::workload::{self, Size};

/// The schema of the merge job's tables.
const ENGINE: &str = "main";
/// How long a connection may take to close.
const DISCONNECT: Duration = Duration::from_millis(20);

/// Whose SQL runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Floor {
    /// As it stands in `benches/floor`.
    Plain,
    /// With the condition that an equal image is left alone, as the merge job must.
    WithEquality,
}

impl Floor {
    pub(crate) const ALL: [Self; 2] = [Self::Plain, Self::WithEquality];

    fn schema(self) -> &'static str {
        match self {
            Self::Plain => "floor",
            Self::WithEquality => "floor_with_equality",
        }
    }
}

pub(crate) struct Arena<'a> {
    server: &'a Server,
    runtime: &'a Runtime,
    database: String,
    client: Client,
    strategy: Strategy,
    spec: StreamSpec,
    pub(crate) size: Size,
    batch: u32,
}

impl<'a> Arena<'a> {
    /// Makes and fills the tables: of the merge job, and of the floors that are to run.
    pub(crate) fn new(
        server: &'a Server,
        runtime: &'a Runtime,
        database: &str,
        strategy: Strategy,
        size: Size,
        floors: &[Floor],
    ) -> Result<Self> {
        server
            .connect("postgres")?
            .batch_execute(&format!("create database {database}"))?;
        let mut client = server.connect(database)?;
        client.batch_execute(
            "create extension pg_stat_statements; create extension pg_prewarm; set maintenance_work_mem = '512MB'",
        )?;
        let config = server.url(database).parse()?;
        runtime.block_on(async {
            let session = Session::connect(&config).await?;
            migrate::migrate(&session).await
        })?;
        let spec = workload::spec(ENGINE, strategy);
        for schema in [ENGINE]
            .into_iter()
            .chain(floors.iter().map(|floor| floor.schema()))
        {
            client.batch_execute(&ddl::ddl(&workload::spec(schema, strategy))?)?;
            client.batch_execute(&workload::fill(schema, strategy.is_milestoned(), &size))?;
        }
        client.batch_execute("vacuum (freeze, analyze)")?;
        let arena = Self {
            server,
            runtime,
            database: database.to_owned(),
            client,
            strategy,
            spec,
            size,
            batch: 0,
        };
        // Nothing is staged yet: this registers the stream.
        let directory = tempfile::TempDir::new()?;
        let file: PathBuf = directory.path().join("spec.json");
        fs::write(&file, arena.spec.to_json())?;
        arena.merge(MergeTarget::Spec(file))?;
        Ok(arena)
    }

    /// Makes the next batch and stages it.
    pub(crate) fn stage(&mut self) -> Result<()> {
        ensure!(
            self.batch < self.size.batches,
            "the keys are shared out among the batches"
        );
        self.client
            .batch_execute(&workload::make_batch(&self.size, self.batch))?;
        self.client
            .batch_execute(&workload::stage(ENGINE, &self.size, self.batch))?;
        self.batch += 1;
        Ok(())
    }

    /// What a merge touches is in memory, and its first touch of a page since the checkpoint writes the whole page.
    fn get_ready(&mut self) -> Result<()> {
        self.client.batch_execute(
            "select pg_prewarm(c.oid::regclass) from pg_class c join pg_namespace n on n.oid = c.relnamespace\n  \
              where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'\n    \
                and (c.relkind = 'i' or c.relkind = 'r' and c.relname !~ '__closed$');\n\
             checkpoint",
        )?;
        took::reset(&mut self.client)
    }

    /// Runs the merge job, as a library, on what is staged.
    pub(crate) fn engine(&mut self) -> Result<(Took, Summary)> {
        self.get_ready()?;
        let before = self.server.cpu_of_ended_sessions()?;
        let summary = self.merge(MergeTarget::Stream(self.spec.stream.clone()))?;
        let cpu = self.server.cpu_of_ended_sessions()? - before;
        ensure!(
            summary.counts.staged == u64::from(self.size.changes),
            "the batch was merged as {summary}"
        );
        Ok((took::of_engine(&mut self.client, cpu)?, summary))
    }

    /// Runs the merge job where nothing is staged.
    pub(crate) fn empty_run(&mut self) -> Result<Summary> {
        self.merge(MergeTarget::Stream(self.spec.stream.clone()))
    }

    fn merge(&self, target: MergeTarget) -> Result<Summary> {
        let config = self.server.url(&self.database).parse()?;
        let request = MergeRequest {
            target,
            truncate: None,
            missing: milepost_merge_job::batch::Missing::Guarded,
        };
        let summary = self.runtime.block_on(merge_stream(&request, &config))?;
        // The connection is closed by a task, which runs only while the runtime does.
        self.runtime
            .block_on(async { tokio::time::sleep(DISCONNECT).await });
        Ok(summary)
    }

    /// Runs the merge job as a process of its own on what is staged; returns the most memory that it had, in KiB.
    pub(crate) fn engine_process(&mut self) -> Result<u32> {
        let url = self.server.url(&self.database);
        let mut process = Job::merge(&url, &self.spec).spawn();
        let status = format!("/proc/{}/status", process.id());
        let mut peak = 0;
        while process.try_wait()?.is_none() {
            // Gone in the last moment: then the value before counts.
            let text = fs::read_to_string(&status).unwrap_or_default();
            let found = text.lines().find_map(|line| {
                let value = line.strip_prefix("VmHWM:")?;
                value.trim().strip_suffix(" kB")?.parse().ok()
            });
            peak = found.unwrap_or(peak);
            sleep(Duration::from_millis(2));
        }
        let ended = process.wait()?;
        ensure!(ended.success() && peak > 0, "merge-job ended with {ended}");
        Ok(peak)
    }

    /// Runs a floor on the batch in `stg`, in a session of its own.
    pub(crate) fn floor(&mut self, floor: Floor) -> Result<Took> {
        let statements = self.floor_statements(floor)?;
        self.get_ready()?;
        let before = self.server.cpu_of_ended_sessions()?;
        let mut session = self.server.connect(&self.database)?;
        session.batch_execute("set jit = off; set work_mem = '256MB'")?;
        for statement in &statements {
            session.batch_execute(statement)?;
        }
        session.close()?;
        let cpu = self.server.cpu_of_ended_sessions()? - before;
        took::of_floor(&mut self.client, cpu)
    }

    fn floor_statements(&self, floor: Floor) -> Result<Vec<String>> {
        let text = match self.strategy {
            Strategy::LiveOnly => include_str!("../floor/live-only.sql"),
            Strategy::Milestoned {
                versions: Versions::LastPerBatch,
            } => include_str!("../floor/last-per-batch.sql"),
            Strategy::Milestoned {
                versions: Versions::All,
            } => include_str!("../floor/all.sql"),
            Strategy::Append => unreachable!("no floor is measured for appending"),
        };
        let mut text = text.replace("floor.", &format!("{}.", floor.schema()));
        if floor == Floor::WithEquality {
            let prefixed = |prefix: &str| {
                let columns = workload::columns();
                columns
                    .split(", ")
                    .map(|column| format!("{prefix}.{column}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let plain = "WHEN MATCHED THEN UPDATE";
            ensure!(text.contains(plain), "the floor has such an update");
            let differs = format!(
                "WHEN MATCHED AND record_image_ne(row({}), row({})) THEN UPDATE",
                prefixed("s"),
                prefixed("t")
            );
            text = text.replace(plain, &differs);
        }
        let code: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("--"))
            .collect();
        Ok(code
            .join("\n")
            .split_terminator(';')
            .map(|statement| statement.trim().to_owned())
            .filter(|statement| !statement.is_empty())
            .collect())
    }

    /// Fails unless merge job and floors hold the same live rows, and as many closed ones.
    pub(crate) fn compare(&mut self, floors: &[Floor]) -> Result<()> {
        let mut states = Vec::new();
        for schema in [ENGINE]
            .into_iter()
            .chain(floors.iter().map(|floor| floor.schema()))
        {
            let (live, closed) = if self.strategy.is_milestoned() {
                (
                    "__live",
                    format!("(select count(*) from {schema}.customers__closed)"),
                )
            } else {
                ("", "0::bigint".to_owned())
            };
            let row = self.client.query_one(
                &format!(
                    "select count(*), sum(hashtextextended(row({columns})::text, 0)::numeric)::text, {closed}\n  \
                       from {schema}.customers{live}",
                    columns = workload::columns()
                ),
                &[],
            )?;
            states.push((
                schema,
                (
                    row.get::<_, i64>(0),
                    row.get::<_, Option<String>>(1),
                    row.get::<_, i64>(2),
                ),
            ));
        }
        let (_, first) = states.first().context("the merge job has a state")?;
        if states.iter().any(|(_, state)| state != first) {
            bail!("merge job and floor disagree: {states:?}");
        }
        Ok(())
    }
}
