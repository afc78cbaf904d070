//! The whole path on this machine: lint, render, publish, stage, merge, look.
//!
//! Changes come from the simulator, which also knows the truth: after every round the live rows have to equal it, and at
//! the end the history has to equal what it was after each round. Everything runs against a [`Cluster`]
//! that this command made and removes.

mod binaries;
mod database;
mod job;
mod postgres;
mod show;
mod table;
mod truth;

use std::path::Path;
use std::time::Instant;

use milepost_job_spec::{Outcome, PlatformPlan, StreamSpec};
use milepost_simulator::{History, Truth, copy};

use crate::args::DemoArgs;
use crate::failure::{Failure, chain};
use crate::inspect::inspect;
use crate::write::Target;
use crate::{output, report, version};
use database::Database;
use job::MergeJob;
use postgres::Cluster;

const ROUNDS: usize = 3;
/// Enough for collisions of keys, few enough to look at.
const TRANSACTIONS: usize = 40;

/// Runs the demo, and removes its server whatever happens.
pub(crate) fn run(args: &DemoArgs) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("the runtime does not start: {error}")))?;
    runtime.block_on(async {
        let mut cluster = None;
        let outcome = tokio::select! {
            // A signal first: whoever sends one waits.
            biased;
            () = stopped() => {
                output::message("stopped by a signal; the private Postgres is removed");
                Ok(Outcome::Stopped)
            }
            outcome = tell(args, &mut cluster) => outcome,
        };
        match cluster {
            Some(cluster) if args.keep && matches!(outcome, Ok(Outcome::Done)) => {
                output::data(&cluster.keep());
            }
            // Dropped, and with it the server.
            _ => {}
        }
        outcome
    })
}

/// Ready when somebody asks us to stop.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ];
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = kinds.map(signal) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// A stream with its source.
struct Stream {
    spec: StreamSpec,
    history: History,
}

/// The story, step by step.
async fn tell(args: &DemoArgs, cluster: &mut Option<Cluster>) -> Result<Outcome, Failure> {
    let job = MergeJob::beside_us()?;

    announce("lint");
    let inspection = inspect(&args.model)?;
    let Some(sound) = inspection.sound(None)? else {
        report::refuse(&inspection, "the demo needs a model without errors");
        return Ok(Outcome::Findings);
    };
    say(&format!(
        "{}: {}",
        args.model.display(),
        report::summary(&inspection)
    ));

    announce("render");
    // Nobody publishes after us, so a checkout that does not know its version will do.
    let current = version::of(&args.model).unwrap_or_else(|_| version::unversioned());
    let artifacts = sound.artifacts(|_| current.clone(), None)?;
    let target = Target::compare(&args.out, &artifacts, true)?;
    target.write()?;
    say(&format!("{}: {target}", args.out.display()));
    let mut streams = streams(&args.out, args.seed, target.platforms())?;

    announce("postgres");
    let cluster = cluster.insert(Cluster::start().await?);
    say(&cluster.to_string());
    let database = Database::connect(cluster.url()).await?;

    announce("migrate");
    say(&job.run(cluster.url(), &["migrate"]).await?);
    announce("publish");
    let from = args.out.display().to_string();
    let said = job
        .run(cluster.url(), &["publish", "--from", &from])
        .await?;
    // The rest names every table and view.
    say(said.lines().next().unwrap_or_default());

    let mut past = Vec::new();
    for round in 1..=ROUNDS {
        announce(&format!("round {round} of {ROUNDS}"));
        past.push(play(&mut streams, &database, &job, cluster.url()).await?);
    }
    let specs: Vec<&StreamSpec> = streams.iter().map(|stream| &stream.spec).collect();
    announce("as of every round");
    for moment in &past {
        for (spec, truth) in specs.iter().zip(&moment.truths) {
            truth::check_as_of(&database, spec, truth, &moment.time).await?;
        }
    }
    say("the history, read as of the end of each round, equals the truth of that round");

    if let Some(first) = past.first() {
        output::data(&show::all(&database, &specs, &first.time).await?);
    }
    output::data(&format!("\nartifacts: {}\n", args.out.display()));
    Ok(Outcome::Done)
}

/// What the sources held at the end of a round, and when that was.
struct Moment {
    time: String,
    truths: Vec<Truth>,
}

/// Stages changes of every stream, merges them, and demands that live rows are true.
async fn play(
    streams: &mut [Stream],
    database: &Database,
    job: &MergeJob,
    url: &str,
) -> Result<Moment, Failure> {
    let mut truths = Vec::new();
    for stream in streams {
        let spec = &stream.spec;
        let round = stream.history.round(TRANSACTIONS);
        for (place, dataset) in spec.datasets.iter().enumerate() {
            let rows = round.rows.iter().filter(|row| row.dataset == place);
            database
                .copy_in(&copy::copy_statement(dataset), copy::csv(rows))
                .await?;
        }
        if let Some(table) = &spec.transactions {
            database
                .execute(&copy::insert_ends(table, &round.ends))
                .await?;
        }
        say(&format!(
            "{}: staged {} rows of {TRANSACTIONS} transactions",
            spec.stream,
            round.rows.len()
        ));
        let key = &spec.stream;
        let mut arguments = vec!["merge", "--platform", &key.platform, "--store", &key.store];
        if let Some(dataset) = &key.dataset {
            arguments.extend(["--dataset", dataset]);
        }
        let started = Instant::now();
        let said = job.run(url, &arguments).await?;
        say(&format!("{said} ({} ms)", started.elapsed().as_millis()));
        let live = truth::check_live(database, spec, &round.truth).await?;
        say(&format!("live rows equal the source's: {live}"));
        truths.push(round.truth);
    }
    let time = database
        .text("select max(batch_time)::text from milepost.batches")
        .await?;
    Ok(Moment { time, truths })
}

/// The streams that were rendered, each with a history of its own.
fn streams<'a>(
    out: &Path,
    seed: u64,
    platforms: impl Iterator<Item = &'a str>,
) -> Result<Vec<Stream>, Failure> {
    let mut streams = Vec::new();
    for platform in platforms {
        let folder = out.join(platform);
        let plan = PlatformPlan::from_json(&read(&folder.join("platform.json"))?)
            .map_err(|error| Failure::usage(chain(&error)))?;
        for (entry, seed) in plan.streams.iter().zip(seed..) {
            let spec = StreamSpec::from_json(&read(&folder.join(&entry.file))?)
                .map_err(|error| Failure::usage(chain(&error)))?;
            let history = History::new(&spec, seed);
            streams.push(Stream { spec, history });
        }
    }
    if streams.is_empty() {
        return Err(Failure::usage("the model asks for no stream")
            .with_help("assign a group of a workspace to a platform of kind kubernetes-postgres"));
    }
    Ok(streams)
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read `{}`: {error}", path.display())))
}

/// Names the step that begins.
fn announce(name: &str) {
    output::data(&format!("\n== {name}\n"));
}

/// A line of what a step did.
fn say(line: &str) {
    output::data(&format!("   {}\n", line.trim_end().replace('\n', "\n   ")));
}
