//! What a merge costs: the merge job against the fastest hand-written SQL for the same work (`benches/floor`), as ratios.
//!
//!     cargo bench -p acceptance --bench merge                # 1M keys, 10,000 to 1M changes, and 10M keys; about 40 minutes
//!     cargo bench -p acceptance --bench merge -- --quick     # 100,000 keys, 10,000 changes; about two minutes; no other tools
//!     cargo bench -p acceptance --bench merge -- --quick --peers
//!
//! Starts a PostgreSQL of its own, which syncs. Merge job and floor take turns on the same batches, each on tables of its
//! own; at the end both must hold the same rows. A ratio is the median of the ratios of the rounds, so that what else the
//! machine does hits both sides. Writes `docs/performance.md`, except with `--quick`.

#[path = "merge/arena.rs"]
mod arena;
#[path = "merge/peers.rs"]
mod peers;
#[path = "merge/report.rs"]
mod report;
#[path = "merge/server.rs"]
mod server;
#[path = "merge/streams.rs"]
mod streams;
#[path = "merge/took.rs"]
mod took;
#[path = "merge/workload.rs"]
mod workload;

use std::io::Write as _;

use anyhow::Result;
use milepost_job_spec::{Strategy, Versions};
use tokio::runtime::{Builder, Runtime};

use arena::{Arena, Floor};
use report::{Batches, Duel, Pair, Report, Scale};
use server::Server;
use streams::Many;
use workload::Size;

/// The strategies and what they are called.
const STRATEGIES: [(&str, Strategy); 3] = [
    ("live-only", Strategy::LiveOnly),
    ("last-per-batch", LAST_PER_BATCH),
    (
        "all",
        Strategy::Milestoned {
            versions: Versions::All,
        },
    ),
];

const LAST_PER_BATCH: Strategy = Strategy::Milestoned {
    versions: Versions::LastPerBatch,
};

/// How big the comparisons are.
struct Plan {
    keys: u32,
    /// Against the floors: changes of a batch, and rounds.
    batches: &'static [(u32, u32)],
    /// One version against a hundred, in this many rounds.
    long_keys: u32,
    long_changes: u32,
    /// One size of table against ten times as many keys: changes.
    large: Option<u32>,
    rounds: u32,
    many: Many,
}

const QUICK: Plan = Plan {
    keys: 100_000,
    batches: &[(10_000, 3)],
    long_keys: 10_000,
    long_changes: 1_000,
    large: None,
    rounds: 3,
    many: Many {
        streams: 100,
        keys: 1_000,
        changes: 100,
        rounds: 1,
    },
};

const FULL: Plan = Plan {
    keys: 1_000_000,
    batches: &[(10_000, 5), (100_000, 5), (1_000_000, 3)],
    long_keys: 50_000,
    long_changes: 5_000,
    large: Some(100_000),
    rounds: 5,
    many: Many {
        streams: 1_000,
        keys: 1_000,
        changes: 100,
        rounds: 3,
    },
};

/// How often start-up is measured.
const STARTS: u32 = 9;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| arguments.iter().any(|argument| argument == name);
    let quick = asked("--quick");
    let plan = if quick { QUICK } else { FULL };
    let server = Server::start()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::new(server.version()?, plan.keys);
    for (name, strategy) in STRATEGIES {
        say(&format!("{name}: against the floor"))?;
        report
            .duels
            .push(duel(&server, &runtime, name, strategy, &plan)?);
    }
    say("1 version per key and 100")?;
    let Plan {
        rounds,
        long_keys,
        long_changes,
        ..
    } = plan;
    let size = |keys, versions| Size {
        keys,
        versions,
        batches: rounds + 1,
    };
    let sizes = [size(long_keys, 1), size(long_keys, 100)];
    report.scales.push(Scale {
        what: format!(
            "100 versions per key : 1 version ({long_keys} keys, {long_changes} changes, `versions: all`)"
        ),
        rounds: compare(&server, &runtime, STRATEGIES[2].1, sizes, long_changes)?,
    });
    if let Some(changes) = plan.large {
        let keys = plan.keys;
        for (name, strategy) in [STRATEGIES[0], STRATEGIES[2]] {
            say(&format!("{name}: {keys} keys and ten times as many"))?;
            let sizes = [size(keys, 1), size(10 * keys, 1)];
            report.scales.push(Scale {
                what: format!(
                    "{} keys : {keys} keys ({changes} changes, `{name}`)",
                    10 * keys
                ),
                rounds: compare(&server, &runtime, strategy, sizes, changes)?,
            });
        }
    }
    say(&format!("{} streams", plan.many.streams))?;
    report.streams = Some((plan.many, streams::measure(&server, &plan.many)?));
    if !quick || asked("--peers") {
        say("other tools")?;
        let Plan { keys, rounds, .. } = plan;
        report.peers = peers::measure(&server, &runtime, keys, keys / 10, rounds)?;
    }
    say(&report.to_string())?;
    if !quick {
        report.write()?;
    }
    Ok(())
}

/// Merge job and floors, round by round on the same batches.
fn duel(
    server: &Server,
    runtime: &Runtime,
    name: &'static str,
    strategy: Strategy,
    plan: &Plan,
) -> Result<Duel> {
    let size = Size {
        keys: plan.keys,
        versions: 1,
        batches: 1 + plan.batches.iter().map(|(_, rounds)| rounds).sum::<u32>(),
    };
    let database = format!("duel_{}", name.replace('-', "_"));
    let mut arena = Arena::new(server, runtime, &database, strategy, size, &Floor::ALL)?;
    // The first batch warms up, and is merged by the binary, whose memory counts.
    arena.stage(plan.keys / 10)?;
    let peak_kib = arena.engine_as_process()?.peak_kib;
    for floor in Floor::ALL {
        arena.floor(floor)?;
    }
    let mut duel = Duel {
        name,
        batches: Vec::new(),
        peak_kib,
        trips: 0,
        idle_trips: 0,
        start_up: Vec::new(),
    };
    for _ in 0..STARTS {
        duel.start_up.push(arena.start_up()?);
    }
    for &(changes, rounds) in plan.batches {
        let mut batches = Batches {
            changes,
            rounds: Vec::new(),
        };
        for round in 0..rounds {
            arena.stage(changes)?;
            let floor_first = round % 2 == 0;
            let mut floors = Vec::new();
            if floor_first {
                for floor in Floor::ALL {
                    floors.push(arena.floor(floor)?);
                }
            }
            let (engine, summary) = arena.engine()?;
            duel.trips = summary.round_trips;
            duel.idle_trips = arena.empty_run()?.round_trips;
            if !floor_first {
                for floor in Floor::ALL {
                    floors.push(arena.floor(floor)?);
                }
            }
            batches.rounds.push((engine, floors));
        }
        duel.batches.push(batches);
    }
    arena.compare(&Floor::ALL)?;
    arena.remove()?;
    Ok(duel)
}

/// Merge job and floor on two sizes, in turns.
fn compare(
    server: &Server,
    runtime: &Runtime,
    strategy: Strategy,
    sizes: [Size; 2],
    changes: u32,
) -> Result<Vec<[Pair; 2]>> {
    let mut arenas = Vec::new();
    for (size, which) in sizes.into_iter().zip(["small", "large"]) {
        let milestoned = if strategy.is_milestoned() {
            "history"
        } else {
            "live"
        };
        let database = format!("{which}_{milestoned}_{}_{}", size.keys, size.versions);
        let floors = [Floor::Plain];
        arenas.push(Arena::new(
            server, runtime, &database, strategy, size, &floors,
        )?);
    }
    let mut rounds = Vec::new();
    for round in 0..sizes[0].batches {
        let mut pair = Vec::new();
        for arena in &mut arenas {
            arena.stage(changes)?;
            pair.push(Pair {
                engine: arena.engine()?.0,
                floor: arena.floor(Floor::Plain)?,
            });
        }
        // The first round warms up.
        if let (Ok(pair), true) = (pair.try_into(), round > 0) {
            rounds.push(pair);
        }
    }
    for mut arena in arenas {
        arena.compare(&[Floor::Plain])?;
        arena.remove()?;
    }
    Ok(rounds)
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}
