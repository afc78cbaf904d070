//! What a merge costs: the merge job against the fastest hand-written SQL for the same work (`benches/floor`), as ratios.
//!
//!     cargo bench -p acceptance --bench merge                # all parts: 1M and 10M keys, 10,000 to 1M changes; about an hour
//!     cargo bench -p acceptance --bench merge -- floor peers # some of them: floor, large-batches, history, large-tables, streams, peers
//!     cargo bench -p acceptance --bench merge -- --quick     # all or some, of a tenth of the size; nothing is written
//!
//! Starts a PostgreSQL of its own, which syncs. Merge job and floor take turns on the same batches, each on tables of its
//! own; at the end both must hold the same rows. A ratio is the median of the ratios of the rounds, so that what else the
//! machine does hits both sides. Each part is
//! written to `docs/performance.md` as soon as it is measured, except with `--quick`.

#[path = "merge/arena.rs"]
mod arena;
#[path = "merge/page.rs"]
mod page;
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
use report::{Batches, Duel, Pair, Scale};
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

/// A part of the benchmark, and of the page with its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Floor,
    LargeBatches,
    History,
    LargeTables,
    Streams,
    Peers,
}

impl Part {
    const ALL: [Self; 6] = [
        Self::Floor,
        Self::LargeBatches,
        Self::History,
        Self::LargeTables,
        Self::Streams,
        Self::Peers,
    ];

    /// As an argument.
    const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::LargeBatches => "large-batches",
            Self::History => "history",
            Self::LargeTables => "large-tables",
            Self::Streams => "streams",
            Self::Peers => "peers",
        }
    }

    /// On the page.
    const fn title(self) -> &'static str {
        match self {
            Self::Floor => "Against the floor",
            Self::LargeBatches => "Batches as large as the table",
            Self::History => "Long histories",
            Self::LargeTables => "Tables ten times as large",
            Self::Streams => "Many streams",
            Self::Peers => "Against other tools",
        }
    }
}

/// How big the comparisons are.
struct Plan {
    keys: u32,
    /// Against the floors: changes of a batch, and rounds.
    batches: &'static [(u32, u32)],
    large_batches: &'static [(u32, u32)],
    /// One version against a hundred, in this many rounds.
    long_keys: u32,
    long_changes: u32,
    /// One size of table against ten times as many keys.
    changes: u32,
    rounds: u32,
    many: Many,
}

const QUICK: Plan = Plan {
    keys: 100_000,
    batches: &[(10_000, 3)],
    large_batches: &[(100_000, 2)],
    long_keys: 10_000,
    long_changes: 1_000,
    changes: 10_000,
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
    batches: &[(10_000, 5), (100_000, 5)],
    large_batches: &[(1_000_000, 3)],
    long_keys: 50_000,
    long_changes: 5_000,
    changes: 100_000,
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
    let is_asked = |name: &str| arguments.iter().any(|argument| argument == name);
    let is_quick = is_asked("--quick");
    let plan = if is_quick { QUICK } else { FULL };
    let mut parts = Part::ALL.to_vec();
    if parts.iter().any(|part| is_asked(part.name())) {
        parts.retain(|part| is_asked(part.name()));
    }
    let server = Server::start()?;
    let version = server.version()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    for part in parts {
        let text = measure(part, &server, &runtime, &plan)?;
        say(&format!("## {}\n\n{}\n", part.title(), text.trim_end()))?;
        // At once: a later part may fail.
        if !is_quick {
            page::write(part, &version, &text)?;
        }
    }
    Ok(())
}

/// Measures a part, and returns its figures.
fn measure(part: Part, server: &Server, runtime: &Runtime, plan: &Plan) -> Result<String> {
    let Plan {
        keys,
        changes,
        rounds,
        long_keys,
        long_changes,
        ..
    } = *plan;
    let size = |keys, versions| Size {
        keys,
        versions,
        batches: rounds + 1,
    };
    let mut text = String::new();
    match part {
        Part::Floor => {
            let duels = duels(server, runtime, keys, plan.batches)?;
            report::floors(&mut text, keys, &duels)?;
            report::run(&mut text, &duels)?;
        }
        Part::LargeBatches => {
            let duels = duels(server, runtime, keys, plan.large_batches)?;
            report::floors(&mut text, keys, &duels)?;
        }
        Part::History => {
            let (name, strategy) = STRATEGIES[2];
            let sizes = [size(long_keys, 1), size(long_keys, 100)];
            let scale = Scale {
                what: format!(
                    "100 versions per key : 1 version ({long_keys} keys, {long_changes} changes, `{name}`)"
                ),
                rounds: compare(server, runtime, strategy, sizes, long_changes)?,
            };
            report::scales(&mut text, &[scale])?;
        }
        Part::LargeTables => {
            let mut scales = Vec::new();
            for (name, strategy) in [STRATEGIES[0], STRATEGIES[2]] {
                let sizes = [size(keys, 1), size(10 * keys, 1)];
                scales.push(Scale {
                    what: format!(
                        "{} keys : {keys} keys ({changes} changes, `{name}`)",
                        10 * keys
                    ),
                    rounds: compare(server, runtime, strategy, sizes, changes)?,
                });
            }
            report::scales(&mut text, &scales)?;
        }
        Part::Streams => {
            let found = streams::measure(server, &plan.many)?;
            report::many(&mut text, &plan.many, &found)?;
        }
        Part::Peers => {
            let found = peers::measure(server, runtime, keys, changes, rounds)?;
            report::peers(&mut text, keys, changes, &found)?;
        }
    }
    Ok(text)
}

/// Merge job and floors with each strategy.
fn duels(
    server: &Server,
    runtime: &Runtime,
    keys: u32,
    batches: &[(u32, u32)],
) -> Result<Vec<Duel>> {
    STRATEGIES
        .into_iter()
        .map(|(name, strategy)| duel(server, runtime, name, strategy, keys, batches))
        .collect()
}

/// Merge job and floors, round by round on the same batches.
fn duel(
    server: &Server,
    runtime: &Runtime,
    name: &'static str,
    strategy: Strategy,
    keys: u32,
    batches: &[(u32, u32)],
) -> Result<Duel> {
    let size = Size {
        keys,
        versions: 1,
        batches: 1 + batches.iter().map(|(_, rounds)| rounds).sum::<u32>(),
    };
    let database = format!("duel_{}", name.replace('-', "_"));
    let mut arena = Arena::new(server, runtime, &database, strategy, size, &Floor::ALL)?;
    // The first batch warms up, and is merged by the binary, whose memory counts.
    arena.stage(keys / 10)?;
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
    for &(changes, rounds) in batches {
        let mut own = Batches {
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
            own.rounds.push((engine, floors));
        }
        duel.batches.push(own);
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
