//! What a merge costs: the merge job against the fastest hand-written SQL for the same work (`benches/floor`), as ratios.
//!
//!     cargo bench -p acceptance --bench merge                # 1M keys, 100,000 changes; about ten minutes
//!     cargo bench -p acceptance --bench merge -- --quick     # 100,000 keys, 10,000 changes; about a minute
//!     cargo bench -p acceptance --bench merge -- --large     # also 10M keys against 1M
//!
//! Starts a PostgreSQL of its own, which syncs. Merge job and floor take turns on the same batches, each on tables of its
//! own; at the end both must hold the same rows. A ratio is the median of the ratios of the rounds, so that what else the
//! machine does hits both sides. Writes `docs/performance.md`, except with `--quick`.

#[path = "merge/arena.rs"]
mod arena;
#[path = "merge/report.rs"]
mod report;
#[path = "merge/server.rs"]
mod server;
#[path = "merge/took.rs"]
mod took;
#[path = "merge/workload.rs"]
mod workload;

use std::io::Write as _;

use anyhow::Result;
use milepost_job_spec::{Strategy, Versions};
use tokio::runtime::{Builder, Runtime};

use arena::{Arena, Floor};
use report::{Duel, Report, Scale};
use server::Server;
use took::Took;
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
    rounds: u32,
    /// Against the floor.
    keys: u32,
    changes: u32,
    /// One version against a hundred.
    long_keys: u32,
    long_changes: u32,
    /// Ten times the keys.
    large: bool,
}

const QUICK: Plan = Plan {
    rounds: 3,
    keys: 100_000,
    changes: 10_000,
    long_keys: 10_000,
    long_changes: 1_000,
    large: false,
};

const FULL: Plan = Plan {
    rounds: 5,
    keys: 1_000_000,
    changes: 100_000,
    long_keys: 50_000,
    long_changes: 5_000,
    large: false,
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| arguments.iter().any(|argument| argument == name);
    let quick = asked("--quick");
    let plan = Plan {
        large: asked("--large"),
        ..if quick { QUICK } else { FULL }
    };
    let server = Server::start()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::new(server.version()?, plan.keys, plan.changes, plan.rounds);
    for (name, strategy) in STRATEGIES {
        say(&format!("{name}: against the floor"))?;
        report
            .duels
            .push(duel(&server, &runtime, name, strategy, &plan)?);
    }
    say("1 version per key and 100")?;
    let size = |keys, versions, changes| Size {
        keys,
        versions,
        changes,
        batches: plan.rounds + 1,
    };
    report.scales.push(Scale {
        what: format!(
            "100 versions per key : 1 version ({} keys, {} changes, `versions: all`)",
            plan.long_keys, plan.long_changes
        ),
        bound: 1.3,
        rounds: compare(
            &server,
            &runtime,
            STRATEGIES[2].1,
            [
                size(plan.long_keys, 1, plan.long_changes),
                size(plan.long_keys, 100, plan.long_changes),
            ],
        )?,
    });
    if plan.large {
        for (name, strategy) in [STRATEGIES[0], STRATEGIES[2]] {
            say(&format!("{name}: {} keys and ten times as many", plan.keys))?;
            report.scales.push(Scale {
                what: format!(
                    "{} keys : {} keys ({} changes, {name})",
                    10 * plan.keys,
                    plan.keys,
                    plan.changes
                ),
                bound: 1.3,
                rounds: compare(
                    &server,
                    &runtime,
                    strategy,
                    [
                        size(plan.keys, 1, plan.changes),
                        size(10 * plan.keys, 1, plan.changes),
                    ],
                )?,
            });
        }
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
        changes: plan.changes,
        batches: plan.rounds + 1,
    };
    let database = format!("duel_{}", name.replace('-', "_"));
    let mut arena = Arena::new(server, runtime, &database, strategy, size, &Floor::ALL)?;
    // The first batch warms up, and is merged by the binary, whose memory counts.
    arena.stage()?;
    let peak_kib = arena.engine_process()?;
    for floor in Floor::ALL {
        arena.floor(floor)?;
    }
    let mut rounds = Vec::new();
    let (mut trips, mut idle_trips) = (0, 0);
    for round in 0..plan.rounds {
        arena.stage()?;
        let floor_first = round % 2 == 0;
        let mut floors = Vec::new();
        if floor_first {
            for floor in Floor::ALL {
                floors.push(arena.floor(floor)?);
            }
        }
        let (engine, summary) = arena.engine()?;
        trips = summary.round_trips;
        idle_trips = arena.empty_run()?.round_trips;
        if !floor_first {
            for floor in Floor::ALL {
                floors.push(arena.floor(floor)?);
            }
        }
        rounds.push((engine, floors));
    }
    arena.compare(&Floor::ALL)?;
    Ok(Duel {
        name,
        rounds,
        peak_kib,
        trips,
        idle_trips,
    })
}

/// The merge job on two sizes, in turns; each pair is small, large.
fn compare(
    server: &Server,
    runtime: &Runtime,
    strategy: Strategy,
    sizes: [Size; 2],
) -> Result<Vec<[Took; 2]>> {
    let mut arenas = Vec::new();
    for (size, which) in sizes.into_iter().zip(["small", "large"]) {
        let milestoned = if strategy.is_milestoned() {
            "history"
        } else {
            "live"
        };
        let database = format!("{which}_{milestoned}_{}_{}", size.keys, size.versions);
        let mut arena = Arena::new(server, runtime, &database, strategy, size, &[])?;
        arena.stage()?;
        arena.engine()?;
        arenas.push(arena);
    }
    let mut rounds = Vec::new();
    for _ in 1..sizes[0].batches {
        let mut pair = Vec::new();
        for arena in &mut arenas {
            arena.stage()?;
            pair.push(arena.engine()?.0);
        }
        if let Ok(pair) = pair.try_into() {
            rounds.push(pair);
        }
    }
    Ok(rounds)
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}
