//! The story, step by step.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use acceptance::stack::{ConnectSettings, Downloads, Pipeline, Stack, Terraform};
use anyhow::{Context as _, Result, ensure};

use crate::board::{self, Board};
use crate::stop::Stop;
use crate::truth::{look_back, quiet_point};
use crate::{bank, model, shop};

/// How often everything is merged.
const MERGE_EVERY: Duration = Duration::from_secs(3);
/// The load pauses for a comparison this often, …
const QUIET_POINTS: u32 = 3;
/// … or where it has no end, after so long.
const LOADED: Duration = Duration::from_secs(20);
/// Of a load without end the last quiet points are kept.
const KEPT: usize = 10;
const SHOP_CLIENTS: i64 = 3;

/// Starts everything, loads the source, merges, compares, and ends what it started.
pub(crate) fn tell(seconds: u64, keep_going: bool, stop: &Stop) -> Result<()> {
    let mut board = Board::new();
    board.say("what the stack is made of: scripts/stack.sh");
    Downloads::get();
    stop.check()?;

    board.say("starting Kafka, Kafka Connect and two PostgreSQL");
    let stack = Stack::start(ConnectSettings::default())?;
    for (part, time) in &stack.started {
        board.say(&format!(
            "{part} answered after {:.1} s",
            time.as_secs_f64()
        ));
    }
    stop.check()?;

    let mut source = stack.source.named_database("shop");
    let platform = stack.platform.named_database("warehouse");
    board.say("tables of the shop, and of pgbench");
    source.run(shop::TABLES);
    bank::create(&stack, &mut source)?;
    let mut pipeline = Pipeline::of(&stack, model::PLATFORM, source, platform);
    stop.check()?;
    connect(&mut pipeline, &mut board, stop)?;

    let phase = match keep_going {
        true => LOADED,
        false => Duration::from_secs(seconds) / QUIET_POINTS,
    };
    let seed = shop::seed();
    board.say(&format!(
        "load: {SHOP_CLIENTS} clients of the shop (seed {seed}) and pgbench; a merge every {} s",
        MERGE_EVERY.as_secs()
    ));
    let mut points = Vec::new();
    for number in 0.. {
        loaded(&mut pipeline, phase, seed + number, &mut board, stop)?;
        stop.check()?;
        board.say("the load pauses: what is committed arrives, is merged and compared");
        points.push(quiet_point(&mut pipeline, &mut board)?);
        if points.len() > KEPT {
            points.remove(0);
        }
        let is_last = match keep_going {
            true => stop.has_no_load(),
            false => number + 1 == u64::from(QUIET_POINTS),
        };
        if is_last {
            break;
        }
    }
    look_back(&mut pipeline, &points, &mut board)?;
    board.say("every merge table equals its source; ending what was started");
    Ok(())
}

/// From the model to running connectors, with the real programs.
fn connect(pipeline: &mut Pipeline<'_>, board: &mut Board, stop: &Stop) -> Result<()> {
    let target = target()?;
    let (folder, rendered) = (target.join("model"), target.join("rendered"));
    let files = model::write(
        &folder,
        pipeline.stack(),
        &pipeline.source,
        &pipeline.platform,
    )?;
    board.say(&format!("milepost render {}", folder.display()));
    let milepost = beside_us("milepost")?;
    let run = Command::new(milepost)
        .arg("render")
        .arg(&folder)
        .arg("--out")
        .arg(&rendered)
        .env("NO_COLOR", "1")
        .output()?;
    let told = String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "milepost render: {told}");
    pipeline.rendered(files, &rendered)?;

    board.say("prepare.sql at the source, merge-job migrate and publish at the platform");
    pipeline.prepare()?;
    pipeline.publish()?;
    stop.check()?;
    board.say("terraform init and apply, until every connector runs");
    let terraform = Terraform::of(
        &pipeline.folder().join("terraform"),
        &pipeline.stack().connect.url(),
    )?;
    terraform.apply()?;
    stop.check()?;
    board.say("snapshot.sql at the source; then the first snapshot arrives and is merged");
    pipeline.snapshot()?;
    quiet_point(pipeline, board)?;
    Ok(())
}

/// The source under load for a time, and merges.
fn loaded(
    pipeline: &mut Pipeline<'_>,
    time: Duration,
    seed: u64,
    board: &mut Board,
    stop: &Stop,
) -> Result<()> {
    let end = Instant::now() + time;
    let pgbench = bank::load(pipeline.stack(), &pipeline.source, time, &target()?)?;
    stop.loaded();
    let clients: Vec<_> = (1..=SHOP_CLIENTS)
        .map(|number| (number, pipeline.source.again()))
        .collect();
    let changes = thread::scope(|scope| -> Result<u64> {
        let clients: Vec<_> = clients
            .into_iter()
            .map(|(number, source)| {
                scope.spawn(move || shop::client(source, number, seed, shop::until(end, stop)))
            })
            .collect();
        let merged = merge_until(end, pipeline, board, stop);
        let mut changes = 0;
        for client in clients {
            changes += client.join().ok().context("a client of the shop failed")?;
        }
        merged?;
        Ok(changes)
    })?;
    // It ends at the same time, or is ended where a signal came.
    if !stop.has_no_load() {
        ensure!(
            pgbench.ends_within(Duration::from_secs(30)),
            "pgbench does not end"
        );
    }
    drop(pgbench);
    bank::ended(&mut pipeline.source)?;
    board.say(&format!(
        "{changes} transactions of the shop, and those of pgbench"
    ));
    Ok(())
}

fn merge_until(
    end: Instant,
    pipeline: &mut Pipeline<'_>,
    board: &mut Board,
    stop: &Stop,
) -> Result<()> {
    while Instant::now() < end && !stop.has_no_load() {
        stop.wait_until((Instant::now() + MERGE_EVERY).min(end));
        stop.check()?;
        pipeline.merge()?;
        bank::check(pipeline)?;
        board.show(&board::progress(pipeline));
    }
    Ok(())
}

/// A program that was built together with this one.
fn beside_us(name: &str) -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(name);
    ensure!(
        program.is_file(),
        "there is no `{name}` beside this program: build it with `make demo-stack`"
    );
    Ok(program)
}

/// Where model and artifacts stay, to be looked at.
fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let profile = program.parent().context("a program is in a folder")?;
    Ok(profile
        .parent()
        .unwrap_or(Path::new("."))
        .join("demo-stack"))
}
