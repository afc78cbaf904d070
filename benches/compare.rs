//! What a comparison with the source costs: `merge-job resync` (its plan, with nothing to wait for) against what reads no less.
//!
//!     cargo bench -p acceptance --bench compare              # 1M and 4M rows; about five minutes
//!     cargo bench -p acceptance --bench compare -- --quick   # 100,000 and 400,000 rows
//!
//! Source and platform are databases of one PostgreSQL, which syncs. The floor sums up the rows of both sides, at the same time,
//! as one hash each; the peer sends all rows of both sides in key order to the client, as whoever compares row by row has to.
//! A ratio is the median of those of the rounds. Nothing is written; the figures are printed.

#[expect(dead_code, reason = "time is measured at the client")]
#[path = "merge/server.rs"]
mod server;
#[expect(dead_code, reason = "only tables are made with it")]
#[path = "merge/workload.rs"]
mod workload;

use std::io::{Read as _, Write as _};
use std::time::Instant;

use acceptance::{Job, Run};
use anyhow::{Context as _, Result, ensure};
use milepost_job_spec::{Strategy, StreamSpec, Versions};
use milepost_merge_job::batch::Missing;
use milepost_merge_job::session::Session;
use milepost_merge_job::{MergeRequest, MergeTarget, ddl, merge_stream, migrate};
use postgres::Client;
use tokio::runtime::Runtime;

use server::Server;
use workload::Size;

const ROUNDS: usize = 3;
/// Rows that differ where some do: a third of each kind.
const DIFFERENT: u32 = 300;

/// A source and a platform with the same rows.
struct Pair<'a> {
    server: &'a Server,
    platform: Client,
    source: Client,
    names: [String; 2],
    rows: u32,
}

fn spec() -> StreamSpec {
    workload::spec(
        "main",
        Strategy::Milestoned {
            versions: Versions::All,
        },
    )
}

impl<'a> Pair<'a> {
    fn new(server: &'a Server, runtime: &Runtime, rows: u32) -> Result<Self> {
        let names = ["platform", "source"].map(|name| format!("{name}_{rows}"));
        for name in &names {
            server
                .connect("postgres")?
                .batch_execute(&format!("create database {name}"))?;
        }
        let mut platform = server.connect(&names[0])?;
        let mut source = server.connect(&names[1])?;
        let config = server.url(&names[0]).parse()?;
        runtime.block_on(async {
            let session = Session::connect(&config).await?;
            migrate::migrate(&session).await
        })?;
        let spec = spec();
        let size = Size {
            keys: rows,
            versions: 1,
            batches: 1,
        };
        platform.batch_execute(&ddl::ddl(&spec)?)?;
        platform.batch_execute(&workload::fill("main.customers", true, &size))?;
        // Nothing is staged: this registers the stream.
        let directory = tempfile::TempDir::new()?;
        let file = directory.path().join("spec.json");
        std::fs::write(&file, spec.to_json())?;
        let request = MergeRequest {
            target: MergeTarget::Spec(file),
            truncate: None,
            missing: Missing::Guarded,
        };
        runtime.block_on(merge_stream(&request, &config))?;
        platform.batch_execute(
            "insert into milepost.positions (platform, store, dataset, topic, partition, watermark)
             select platform, store, dataset, 't', 0, 1 from milepost.datasets",
        )?;
        // The same statement fills the source's table, whose columns are those of the merge table.
        let fill = workload::fill("public.customers", false, &size);
        source.batch_execute(
            "create table customers (id bigint primary key, t1 text, t2 text, t3 text, t4 text, n1 numeric(12,2), n2 numeric(12,2),
                ts timestamptz, b boolean, j jsonb)",
        )?;
        source.batch_execute(&fill)?;
        for client in [&mut platform, &mut source] {
            client.batch_execute("vacuum (freeze, analyze)")?;
            client.batch_execute("checkpoint")?;
        }
        Ok(Self {
            server,
            platform,
            source,
            names,
            rows,
        })
    }

    fn resync(&self, more: &[&str]) -> Result<(f64, Run)> {
        let begun = Instant::now();
        let run = Job::new(&self.server.url(&self.names[0]))
            .args([
                "resync",
                "--platform",
                "main",
                "--store",
                "shop",
                "--settle",
                "0",
            ])
            .args(more.iter().copied())
            .env("MILEPOST_SOURCE_URL", &self.server.url(&self.names[1]))
            .run();
        ensure!(run.code == 0, "{run}");
        Ok((begun.elapsed().as_secs_f64(), run))
    }

    /// Both sides at once.
    fn both(&mut self, read: impl Fn(&mut Client, &str) -> Result<()> + Sync) -> Result<f64> {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let here = scope.spawn(|| read(&mut self.platform, "main.customers__live"));
            let there = read(&mut self.source, "customers");
            here.join().expect("a reader does not panic").and(there)
        })?;
        Ok(begun.elapsed().as_secs_f64())
    }

    fn floor(&mut self) -> Result<f64> {
        let columns = workload::columns();
        self.both(|client, table| {
            let sql = format!(
                "select count(*), sum(hashtextextended(row({columns})::text, 0))::text from {table}"
            );
            client.query_one(&sql, &[])?;
            Ok(())
        })
    }

    fn row_by_row(&mut self) -> Result<f64> {
        let columns = workload::columns();
        self.both(|client, table| {
            let sql = format!("copy (select {columns} from {table} order by id) to stdout");
            let mut rows = client.copy_out(&sql)?;
            let mut buffer = vec![0; 1 << 16];
            while rows.read(&mut buffer)? > 0 {}
            Ok(())
        })
    }

    /// Makes rows differ, spread over all keys.
    fn diverge(&mut self) -> Result<()> {
        let step = self.rows / DIFFERENT;
        self.source.batch_execute(&format!(
            "update customers set t1 = 'lost' where id % {step} = 1 and id / {step} % 3 = 0;
             delete from customers where id % {step} = 1 and id / {step} % 3 = 1"
        ))?;
        self.platform.batch_execute(&format!(
            "delete from main.customers__live where id % {step} = 1 and id / {step} % 3 = 2"
        ))?;
        Ok(())
    }
}

fn main() -> Result<()> {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let small = if is_quick { 100_000 } else { 1_000_000 };
    let server = Server::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut pairs = Vec::new();
    for rows in [small, 4 * small] {
        say(&format!("filling {rows} rows"))?;
        pairs.push(Pair::new(&server, &runtime, rows)?);
    }
    let (mut to_floor, mut to_peer, mut to_small, mut different, mut repair) =
        (vec![], vec![], vec![], vec![], vec![]);
    for pair in &mut pairs {
        pair.resync(&[])?;
    }
    for _ in 0..ROUNDS {
        let mut equal = Vec::new();
        for pair in &mut pairs {
            let (took, run) = pair.resync(&[])?;
            ensure!(run.stdout.contains(": equal"), "{run}");
            to_floor.push(took / pair.floor()?);
            to_peer.push(took / pair.row_by_row()?);
            equal.push(took);
        }
        to_small.push(equal[1] / equal[0]);
        let mut executed = Vec::new();
        for (pair, equal) in pairs.iter_mut().zip(&equal) {
            pair.diverge()?;
            let (took, run) = pair.resync(&[])?;
            different.push(took / equal);
            let digest = run
                .stdout
                .split("--execute ")
                .nth(1)
                .and_then(|rest| rest.split('`').next());
            let digest = digest.context("a plan")?.to_owned();
            let (all, run) = pair.resync(&["--execute", &digest, "--allow-missing"])?;
            ensure!(run.stdout.contains("batch "), "{run}");
            executed.push(all - took);
            let (_, run) = pair.resync(&[])?;
            ensure!(run.stdout.contains(": equal"), "{run}");
        }
        repair.push(executed[1] / executed[0]);
    }
    for (what, ratios) in [
        ("comparison : both sides summed up", to_floor),
        ("comparison : both sides sent row by row", to_peer),
        ("comparison of 4 times the rows : of the rows", to_small),
        (
            "comparison with 300 rows that differ : with none",
            different,
        ),
        (
            "repair of 300 rows in 4 times the rows : in the rows",
            repair,
        ),
    ] {
        say(&format!("{what}: {:.2}", median(ratios)))?;
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}
