//! A database with the tables of the merge job and of the floor, filled alike, for runs on the same batches.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use acceptance::Job;
use anyhow::{Context as _, Result, bail, ensure};
use milepost_job_spec::{Strategy, StreamSpec, Versions};
use milepost_merge_job::session::Session;
use milepost_merge_job::{MergeRequest, MergeTarget, Summary, ddl, merge_stream, migrate};
use postgres::Client;
use tokio::runtime::Runtime;

use super::peers::Run;
use super::server::Server;
use super::took::{self, Took};
use super::workload::{self, BATCHES_BEGIN, Batch, Size};

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
    /// Nothing is merged: what a batch leaves is inserted into empty tables.
    PureWrite,
}

impl Floor {
    /// In their order: pure writes are those of the plain floor.
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::WithEquality, Self::PureWrite];

    pub(crate) fn schema(self) -> &'static str {
        match self {
            Self::Plain => "floor",
            Self::WithEquality => "floor_with_equality",
            Self::PureWrite => "floor_pure_write",
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
    size: Size,
    /// The batch that is staged, or the one before the first.
    batch: Option<Batch>,
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
            if schema != Floor::PureWrite.schema() {
                let table = format!("{schema}.customers");
                client.batch_execute(&workload::fill(&table, strategy.is_milestoned(), &size))?;
            }
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
            batch: None,
        };
        // Nothing is staged yet: this registers the stream.
        let directory = tempfile::TempDir::new()?;
        let file: PathBuf = directory.path().join("spec.json");
        fs::write(&file, arena.spec.to_json())?;
        arena.merge(MergeTarget::Spec(file))?;
        Ok(arena)
    }

    /// Makes the next batch, of so many rows, and stages it.
    pub(crate) fn stage(&mut self, changes: u32) -> Result<()> {
        let batch = self.batch.map_or(
            Batch {
                number: 0,
                before: 0,
                changes,
            },
            |last| Batch {
                number: last.number + 1,
                before: last.before + u64::from(last.changes),
                changes,
            },
        );
        self.client
            .batch_execute(&workload::make_batch(&self.size, &batch))?;
        let staging = format!("{ENGINE}_staging.customers");
        self.client
            .batch_execute(&workload::stage(&staging, &batch))?;
        self.client.batch_execute(&format!("analyze {staging}"))?;
        self.batch = Some(batch);
        Ok(())
    }

    fn staged(&self) -> Result<Batch> {
        self.batch.context("a batch is staged")
    }

    /// What a merge touches is in memory, and its first touch of a page since the checkpoint writes the whole page.
    pub(crate) fn get_ready(&mut self) -> Result<()> {
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
        let changes = self.staged()?.changes;
        self.get_ready()?;
        let before = self.server.cpu_of_ended_sessions()?;
        let summary = self.merge(MergeTarget::Stream(self.spec.stream.clone()))?;
        let cpu = self.server.cpu_of_ended_sessions()? - before;
        ensure!(
            summary.counts.staged == u64::from(changes),
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

    /// Runs the merge job as a process of its own on what is staged.
    pub(crate) fn engine_as_process(&mut self) -> Result<Run> {
        self.get_ready()?;
        let begun = Instant::now();
        let url = self.server.url(&self.database);
        let mut process = Job::merge(&url, &self.spec).spawn();
        let status = format!("/proc/{}/status", process.id());
        let mut peak_kib = 0;
        while process.try_wait()?.is_none() {
            // Gone in the last moment: then the value before counts.
            let text = fs::read_to_string(&status).unwrap_or_default();
            let found = text.lines().find_map(|line| {
                let value = line.strip_prefix("VmHWM:")?;
                value.trim().strip_suffix(" kB")?.parse().ok()
            });
            peak_kib = found.unwrap_or(peak_kib);
            sleep(Duration::from_millis(2));
        }
        let ended = process.wait()?;
        ensure!(
            ended.success() && peak_kib > 0,
            "merge-job ended with {ended}"
        );
        Ok(Run {
            process: begun.elapsed().as_secs_f64(),
            took: took::of_engine(&mut self.client, 0)?,
            peak_kib,
        })
    }

    /// How long the merge job takes as a process where nothing is staged, and how long a connection with as many round trips.
    pub(crate) fn start_up(&mut self) -> Result<[Duration; 2]> {
        let trips = self.empty_run()?.round_trips;
        let url = self.server.url(&self.database);
        let begun = Instant::now();
        let run = Job::merge(&url, &self.spec).run();
        let process = begun.elapsed();
        ensure!(run.code == 0, "{run}");
        let begun = Instant::now();
        let mut client = self.server.connect(&self.database)?;
        for _ in 0..trips {
            client.batch_execute("select")?;
        }
        client.close()?;
        Ok([process, begun.elapsed()])
    }

    /// Runs a floor on the batch in `stg`, in a session of its own.
    pub(crate) fn floor(&mut self, floor: Floor) -> Result<Took> {
        let statements = match floor {
            Floor::Plain | Floor::WithEquality => self.floor_statements(floor)?,
            Floor::PureWrite => self.pure_writes()?,
        };
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
        Ok(statements(&text))
    }

    /// Puts what the staged batch left in the plain floor's tables aside, and returns the statements that write it to empty ones.
    fn pure_writes(&mut self) -> Result<Vec<String>> {
        let [from, to] = [Floor::Plain, Floor::PureWrite].map(Floor::schema);
        let number = self.staged()?.number;
        // What a batch closed ends later than all before: at the time of an event, or at that of the transaction.
        let begun = format!("timestamptz '{BATCHES_BEGIN}' + {number} * interval '1 hour'");
        let closed = match self.strategy {
            Strategy::LiveOnly | Strategy::Append => None,
            Strategy::Milestoned {
                versions: Versions::All,
            } => Some(format!("dp_out > {begun}")),
            Strategy::Milestoned {
                versions: Versions::LastPerBatch,
            } => Some(format!(
                "dp_out = (select max(dp_out) from {from}.customers__closed)"
            )),
        };
        let is_hit = "id in (select id from stg)".to_owned();
        let tables = match closed {
            None => vec![("customers", is_hit)],
            Some(closed) => vec![("customers__live", is_hit), ("customers__closed", closed)],
        };
        let mut statements = vec!["begin".to_owned()];
        for (table, of_the_batch) in tables {
            self.client.batch_execute(&format!(
                "truncate {to}.{table}; drop table if exists left_{table};\n\
                 create unlogged table left_{table} as select * from {from}.{table} where {of_the_batch}"
            ))?;
            statements.push(format!(
                "insert into {to}.{table} select * from left_{table}"
            ));
        }
        statements.push("commit".to_owned());
        Ok(statements)
    }

    /// Copies the plain floor's live rows to a table in `public`; `more` names columns beside those of the dataset.
    pub(crate) fn copy_live(&mut self, table: &str, more: &str) -> Result<()> {
        let from = self.live_of(Floor::Plain);
        let columns = workload::columns();
        Ok(self.client.batch_execute(&format!(
            "drop table if exists {table};\n\
             create unlogged table {table} as select {columns}{more} from {from};\n\
             analyze {table}"
        ))?)
    }

    fn live_of(&self, floor: Floor) -> String {
        let suffix = if self.strategy.is_milestoned() {
            "__live"
        } else {
            ""
        };
        format!("{}.customers{suffix}", floor.schema())
    }

    /// Removes the database, which may be large.
    pub(crate) fn remove(self) -> Result<()> {
        let drop = format!("drop database {} with (force)", self.database);
        Ok(self.server.connect("postgres")?.batch_execute(&drop)?)
    }

    /// Ends what goes on in the database in other sessions.
    pub(crate) fn disconnect_others(&mut self) -> Result<()> {
        Ok(self.client.batch_execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
        )?)
    }

    /// Lets the planner know all tables.
    pub(crate) fn analyze(&mut self) -> Result<()> {
        Ok(self.client.batch_execute("vacuum (analyze)")?)
    }

    /// What a tool's statements took since the last [`get_ready`](Self::get_ready).
    pub(crate) fn took_of_peer(&mut self) -> Result<Took> {
        took::of_peer(&mut self.client)
    }

    /// How many rows of a tool are not as the floor's: live rows by their values, closed ones by their number.
    pub(crate) fn wrong(&mut self, live: &str, closed: Option<&str>) -> Result<u64> {
        let right = format!(
            "select {} from {}",
            workload::columns(),
            self.live_of(Floor::Plain)
        );
        let mut count =
            |sql: &str| -> Result<i64> { Ok(self.client.query_one(sql, &[])?.try_get(0)?) };
        let mut wrong = count(&format!(
            "select count(*) from ((({live}) except all ({right})) union all (({right}) except all ({live}))) x"
        ))?;
        if let Some(closed) = closed {
            let floor = Floor::Plain.schema();
            let right = count(&format!("select count(*) from {floor}.customers__closed"))?;
            wrong += (right - count(closed)?).abs();
        }
        Ok(u64::try_from(wrong)?)
    }

    /// Fails unless merge job and floors hold the same live rows, and as many closed ones.
    pub(crate) fn compare(&mut self, floors: &[Floor]) -> Result<()> {
        let mut states = Vec::new();
        for schema in [ENGINE].into_iter().chain(
            floors
                .iter()
                .filter(|floor| **floor != Floor::PureWrite)
                .map(|floor| floor.schema()),
        ) {
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

/// The statements of a file, without its comments.
pub(crate) fn statements(text: &str) -> Vec<String> {
    let code: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("--"))
        .collect();
    code.join("\n")
        .split_terminator(';')
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect()
}
