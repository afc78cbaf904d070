//! Many small streams: one process that works them off, against the floor in one session, a process for each stream, and one
//! stream of as many rows.

use std::time::Instant;

use acceptance::{Database, Job, publish};
use anyhow::{Result, ensure};
use milepost_job_spec::{Strategy, StreamSpec};
use postgres::Client;

use super::arena::statements;
use super::server::Server;
use super::workload::{self, Batch, Size};

/// The database of the many streams, and that of the one.
const DATABASES: [&str; 2] = ["many", "one"];
const PLATFORM: &str = "main";
/// So many streams are merged by a process each: enough to know what one costs.
const ALONE: usize = 50;

/// How many streams there are, and how big they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Many {
    pub(crate) streams: u32,
    pub(crate) keys: u32,
    pub(crate) changes: u32,
    pub(crate) rounds: u32,
}

/// Seconds for a stream, as a client measures them.
pub(crate) struct Round {
    /// Of one process that merges them all.
    pub(crate) shard: f64,
    /// Of the same process where nothing is staged.
    pub(crate) idle: f64,
    /// Of hand-written SQL, a transaction for each stream, in one session.
    pub(crate) floor: f64,
    /// Of a process for each.
    pub(crate) alone: f64,
    /// Of one stream of as many rows as all have together, shared out among them.
    pub(crate) one: f64,
}

/// Measures live-only streams.
pub(crate) fn measure(server: &Server, many: &Many) -> Result<Vec<Round>> {
    let names: Vec<String> = (1..=many.streams).map(|n| format!("s{n:04}")).collect();
    let (mut client, specs) = publish_streams(server, DATABASES[0], &names)?;
    let (mut large, one) = publish_streams(server, DATABASES[1], &["customers".to_owned()])?;
    let size = |times: u32| Size {
        keys: many.keys * times,
        versions: 1,
        batches: many.rounds + 1,
    };
    client.batch_execute("create schema floor")?;
    for name in &names {
        let table = format!("{PLATFORM}.{name}");
        client.batch_execute(&workload::fill(&table, false, &size(1)))?;
        client.batch_execute(&format!(
            "create table floor.{name} (like {table} including all) with (fillfactor = 85);\n\
             insert into floor.{name} table {table}"
        ))?;
    }
    let table = format!("{PLATFORM}.customers");
    large.batch_execute(&workload::fill(&table, false, &size(many.streams)))?;
    for client in [&mut client, &mut large] {
        client.batch_execute("vacuum (freeze, analyze)")?;
    }
    let all = f64::from(many.streams);
    let mut rounds = Vec::new();
    for number in 0..=many.rounds {
        stage(&mut client, &names, &size(1), number, many.changes)?;
        stage(
            &mut large,
            &["customers".to_owned()],
            &size(many.streams),
            number,
            many.changes * many.streams,
        )?;
        client.batch_execute("checkpoint")?;
        let (some, others) = specs.split_at(ALONE.min(specs.len() / 2));
        let alone = seconds(|| {
            some.iter()
                .try_for_each(|spec| run(Job::merge(&server.url(DATABASES[0]), spec)))
        })?;
        let shard = seconds(|| run(merge_all(server)))?;
        let idle = seconds(|| run(merge_all(server)))?;
        let floor = floor_of_all(server, &names)?;
        let one = seconds(|| run(Job::merge(&server.url(DATABASES[1]), &one[0])))?;
        compare(&mut client, &names)?;
        // The first round warms up.
        if number > 0 {
            rounds.push(Round {
                shard: shard / count(others),
                idle: idle / all,
                floor: floor / all,
                alone: alone / count(some),
                one: one / all,
            });
        }
    }
    Ok(rounds)
}

fn count(specs: &[StreamSpec]) -> f64 {
    u32::try_from(specs.len()).map_or(f64::NAN, f64::from)
}

/// A database with the tables of published streams.
fn publish_streams(
    server: &Server,
    database: &str,
    names: &[String],
) -> Result<(Client, Vec<StreamSpec>)> {
    server
        .connect("postgres")?
        .batch_execute(&format!("create database {database}"))?;
    let specs: Vec<StreamSpec> = names
        .iter()
        .map(|name| workload::stream(PLATFORM, name, Strategy::LiveOnly))
        .collect();
    let url = server.url(database);
    run(Job::new(&url).args(["migrate"]))?;
    publish(&Database::connect(&url), &specs);
    Ok((server.connect(database)?, specs))
}

/// The same batch into each stream's staging.
fn stage(
    client: &mut Client,
    names: &[String],
    size: &Size,
    number: u32,
    changes: u32,
) -> Result<()> {
    let batch = Batch {
        number,
        before: u64::from(number) * u64::from(changes),
        changes,
    };
    client.batch_execute(&workload::make_batch(size, &batch))?;
    for name in names {
        let staging = format!("{PLATFORM}_staging.{name}");
        client.batch_execute(&workload::stage(&staging, &batch))?;
        client.batch_execute(&format!("analyze {staging}"))?;
    }
    Ok(())
}

fn merge_all(server: &Server) -> Job {
    Job::new(&server.url(DATABASES[0])).args(["merge", "--platform", PLATFORM, "--shard", "1/1"])
}

fn run(job: Job) -> Result<()> {
    let run = job.run();
    ensure!(run.code == 0, "{run}");
    Ok(())
}

fn floor_of_all(server: &Server, names: &[String]) -> Result<f64> {
    let text = include_str!("../floor/live-only.sql");
    let all: Vec<Vec<String>> = names
        .iter()
        .map(|name| statements(&text.replace("floor.customers", &format!("floor.{name}"))))
        .collect();
    seconds(|| {
        let mut session = server.connect(DATABASES[0])?;
        session.batch_execute("set jit = off; set work_mem = '256MB'")?;
        for statement in all.iter().flatten() {
            session.batch_execute(statement)?;
        }
        Ok(session.close()?)
    })
}

/// Fails unless every stream's table is the floor's.
fn compare(client: &mut Client, names: &[String]) -> Result<()> {
    for name in names {
        let [own, floor] =
            [PLATFORM, "floor"].map(|schema| format!("select * from {schema}.{name}"));
        let row = client.query_one(
            &format!(
                "select exists (({own}) except ({floor})) or exists (({floor}) except ({own}))"
            ),
            &[],
        )?;
        ensure!(
            !row.get::<_, bool>(0),
            "stream {name} and the floor disagree"
        );
    }
    Ok(())
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}
