//! The whole path for real: a source under load, Debezium, Kafka, staging, merges, and every table compared with its source.
//!
//! `make demo-stack` runs it. It starts everything that it needs and ends all of it, whatever happens.

mod bank;
mod board;
mod model;
mod shop;
mod stop;
mod story;
mod truth;

use std::io::Write as _;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use acceptance::stack;
use clap::Parser;
use milepost_job_spec::Outcome;
use tokio::signal::unix::{Signal, SignalKind, signal};

use stop::{Stop, Stopped};

/// How long the story may take to end what it started by itself; guards end the rest.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs the real stack on this machine: PostgreSQL, Debezium, Kafka Connect, Kafka and merges, under load.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit codes:
  0    every merge table equals its source
  1    one does not, or a part of the stack failed
  2    usage
  76   stopped by a signal")]
struct Arguments {
    /// How long the source is under load
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(3..))]
    seconds: u64,

    /// Keep the source under load until Ctrl-C, then compare; Ctrl-C again stops at once
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let stop = Stop::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread needs nothing");
    let code = runtime.block_on(watched(&arguments, &stop));
    ExitCode::from(code)
}

/// The story in a thread of its own, and signals here.
async fn watched(arguments: &Arguments, stop: &Stop) -> u8 {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else {
        tell("error: no signal can be heard here");
        return Outcome::Usage.code();
    };
    let (end, mut ended) = tokio::sync::oneshot::channel();
    let (seconds, keep_going, told) = (arguments.seconds, arguments.keep_going, stop.clone());
    let story = thread::spawn(move || {
        let result = story::tell(seconds, keep_going, &told);
        // Nobody listens any more after a signal.
        let _ = end.send(());
        result
    });
    let mut is_first = true;
    loop {
        tokio::select! {
            // A signal first: whoever sends one waits.
            biased;
            () = any(&mut interrupt, &mut terminate, &mut hangup) => {
                if keep_going && is_first && stop.end_load() {
                    is_first = false;
                    tell("stopping the load; Ctrl-C again stops at once");
                    continue;
                }
                stop.everything();
                stack::interrupt();
                tell("stopped by a signal: ending what was started");
                let begin = Instant::now();
                while !story.is_finished() && begin.elapsed() < PATIENCE {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                return Outcome::Stopped.code();
            }
            _ = &mut ended => {
                return match story.join() {
                    Ok(Ok(())) => Outcome::Done.code(),
                    Ok(Err(error)) if error.is::<Stopped>() => Outcome::Stopped.code(),
                    Ok(Err(error)) => {
                        tell(&format!("error: {error:#}"));
                        Outcome::Findings.code()
                    }
                    // It has said why.
                    Err(_) => 101,
                };
            }
        }
    }
}

async fn any(interrupt: &mut Signal, terminate: &mut Signal, hangup: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// A message to whoever waits.
fn tell(text: &str) {
    // Where nobody reads, nobody is told.
    let _ = writeln!(std::io::stderr(), "{text}");
}
