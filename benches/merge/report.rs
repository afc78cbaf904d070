//! The figures, for the terminal and for `docs/performance.md`: ratios only, for seconds say more about the machine.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::arena::Floor;
use super::peers::{Peer, Run};
use super::streams::{self, Many};
use super::took::Took;

/// How many changes the steps are shown for.
const USUAL_CHANGES: u32 = 100_000;

/// The bound of the client's memory, in KiB.
const MEMORY_BOUND: u32 = 64 * 1024;
/// The bound of the merge statements over the floor.
const FLOOR_BOUND: f64 = 1.1;
/// The bound from the start of the process to its first merge statement, beside the connection, in seconds.
const START_BOUND: f64 = 0.05;
/// The steps in their order.
const STEPS: [&str; 9] = [
    "cut", "read", "survey", "reduce", "count", "close", "apply", "record", "other",
];

/// Merge job against floors with one strategy.
pub(crate) struct Duel {
    pub(crate) name: &'static str,
    pub(crate) batches: Vec<Batches>,
    pub(crate) peak_kib: u32,
    pub(crate) trips: u64,
    pub(crate) idle_trips: u64,
    /// An empty run of the process, and as many round trips on a connection.
    pub(crate) start_up: Vec<[Duration; 2]>,
}

/// Batches of one size.
pub(crate) struct Batches {
    pub(crate) changes: u32,
    /// The merge job, and the floors as in [`Floor::ALL`].
    pub(crate) rounds: Vec<(Took, Vec<Took>)>,
}

/// The merge job on two sizes.
pub(crate) struct Scale {
    pub(crate) what: String,
    /// Small, large.
    pub(crate) rounds: Vec<[Pair; 2]>,
}

/// Both on one batch.
pub(crate) struct Pair {
    pub(crate) engine: Took,
    pub(crate) floor: Took,
}

pub(crate) struct Report {
    server: String,
    keys: u32,
    pub(crate) duels: Vec<Duel>,
    pub(crate) scales: Vec<Scale>,
    pub(crate) streams: Option<(Many, Vec<streams::Round>)>,
    pub(crate) peers: Vec<Peer>,
}

impl Batches {
    /// The median over the rounds of merge job over floor.
    fn ratio(&self, floor: Floor, pick: fn(&Took) -> f64) -> f64 {
        let place = Floor::ALL.iter().position(|own| *own == floor);
        let place = place.unwrap_or_default();
        median(
            self.rounds
                .iter()
                .map(|(engine, floors)| pick(engine) / pick(&floors[place])),
        )
    }

    fn step(&self, step: &str) -> f64 {
        median(self.rounds.iter().map(|(engine, floors)| {
            engine.steps.get(step).copied().unwrap_or(0.0) / floors[0].merge
        }))
    }
}

impl Scale {
    fn ratio(&self, pick: fn(&Pair) -> f64) -> f64 {
        median(
            self.rounds
                .iter()
                .map(|[small, large]| pick(large) / pick(small)),
        )
    }
}

impl Report {
    pub(crate) fn new(server: String, keys: u32) -> Self {
        Self {
            server,
            keys,
            duels: Vec::new(),
            scales: Vec::new(),
            streams: None,
            peers: Vec::new(),
        }
    }

    fn head(&self, out: &mut String, what: &str) -> fmt::Result {
        self.row(out, what, |duel| format!("`{}`", duel.name))?;
        self.row(out, "---", |_| "---".to_owned())
    }

    fn row(&self, out: &mut String, name: &str, cell: impl Fn(&Duel) -> String) -> fmt::Result {
        write!(out, "| {name} |")?;
        for duel in &self.duels {
            write!(out, " {} |", cell(duel))?;
        }
        writeln!(out)
    }

    fn tables(&self, out: &mut String) -> fmt::Result {
        self.floors(out)?;
        self.run(out)?;
        writeln!(
            out,
            "\n## With size\n\n\
             | | merge statements (bound 1.3) | begin to commit | the floor's merge statements |\n|---|---|---|---|"
        )?;
        for scale in &self.scales {
            writeln!(
                out,
                "| {} | {:.2} | {:.2} | {:.2} |",
                scale.what,
                scale.ratio(|pair| pair.engine.merge),
                scale.ratio(|pair| pair.engine.whole),
                scale.ratio(|pair| pair.floor.merge)
            )?;
        }
        if let Some((many, rounds)) = &self.streams {
            streams_table(out, many, rounds)?;
        }
        if self.peers.is_empty() {
            return Ok(());
        }
        peers_table(out, &self.peers)
    }

    fn floors(&self, out: &mut String) -> fmt::Result {
        writeln!(
            out,
            "## Against the floor\n\nThe floor is 1; all tables begin with {} keys.",
            self.keys
        )?;
        let sizes = self.duels.first().map_or(&[][..], |duel| &duel.batches);
        for (place, Batches { changes, rounds }) in sizes.iter().enumerate() {
            writeln!(out)?;
            self.head(out, &format!("{changes} changes, {} rounds", rounds.len()))?;
            let mut row = |name: &str, floor: Floor, pick: fn(&Took) -> f64| {
                self.row(out, name, |duel| {
                    format!("{:.2}", duel.batches[place].ratio(floor, pick))
                })
            };
            let bounded = format!("merge statements : floor with equality (bound {FLOOR_BOUND})");
            row(&bounded, Floor::WithEquality, |took| took.merge)?;
            row("merge statements : floor", Floor::Plain, |took| took.merge)?;
            row("begin to commit : floor", Floor::Plain, |took| took.whole)?;
            row("begin to commit : pure write", Floor::PureWrite, |took| {
                took.whole
            })?;
            row(
                "server CPU, connect to disconnect : floor",
                Floor::Plain,
                |took| took.cpu,
            )?;
        }
        let usual = sizes.iter().position(|own| own.changes == USUAL_CHANGES);
        let usual = usual.unwrap_or_default();
        writeln!(
            out,
            "\n## Where a batch's time goes\n\nEach step over the floor's merge statements.\n"
        )?;
        let changes = sizes.get(usual).map_or(0, |own| own.changes);
        self.head(out, &format!("{changes} changes"))?;
        for step in STEPS {
            self.row(out, step, |duel| {
                format!("{:.2}", duel.batches[usual].step(step))
            })?;
        }
        Ok(())
    }

    fn run(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\n## A run\n")?;
        self.head(out, "")?;
        self.row(out, "client's peak memory : 64 MiB", |duel| {
            format!("{:.2}", f64::from(duel.peak_kib) / f64::from(MEMORY_BOUND))
        })?;
        self.row(
            out,
            "an empty run of the process, without its connection : 50 ms",
            |duel| {
                let beside = duel.start_up.iter().map(|[process, connection]| {
                    process.saturating_sub(*connection).as_secs_f64() / START_BOUND
                });
                format!("{:.2}", median(beside))
            },
        )?;
        self.row(out, "round trips of a batch (bound 12)", |duel| {
            duel.trips.to_string()
        })?;
        self.row(out, "round trips of an empty run (bound 4)", |duel| {
            duel.idle_trips.to_string()
        })
    }

    /// Writes `docs/performance.md`.
    pub(crate) fn write(&self) -> Result<()> {
        let Self { server, .. } = self;
        let cores = std::thread::available_parallelism()?;
        let date = chrono::Utc::now().format("%Y-%m-%d");
        let mut text = format!(
            "# What a merge costs\n\n\
             Generated by `cargo bench -p acceptance --bench merge`; do not edit. Measured {date} with {server} on a shared machine of {cores} cores.\n\n\
             All figures are ratios. Merge job and floor (`benches/floor/README.md`) take turns on the same batches, each on tables of its own with the\n\
             same layout and constraints; each run starts after a checkpoint with the tables in memory; fsync and synchronous_commit are on. A figure is the\n\
             median of the ratios of the rounds. Times are those of the server's statements (`pg_stat_statements`, planning included); the flush of a\n\
             commit is in neither. At the end the live rows of\n\
             all sides are compared and must be equal. The workload: 10 columns, 70 % updates, 20 % creates, 10 % deletes, every tenth key hit two or three times,\n\
             spread over all keys. Batches hit keys of their own; those that are too large for that hit the same keys in other ways.\n\n\
             *Merge statements* are those that reduce the events to changes and write them: `reduce`, `close` and `apply` of the merge job; dedup and merge of the\n\
             floor. The floor reads typed, trusted rows; reading staging, casts, replays, quarantine, counts and metrics are the merge job's alone. *Pure write*\n\
             inserts what the batch leaves into empty tables of the same layout, and does nothing else.\n\n"
        );
        self.tables(&mut text)?;
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
        fs::write(place, text)?;
        Ok(())
    }
}

fn streams_table(out: &mut String, many: &Many, rounds: &[streams::Round]) -> fmt::Result {
    let ratio = |pick: fn(&streams::Round) -> f64| median(rounds.iter().map(pick));
    writeln!(
        out,
        "\n## Many streams\n\n\
         {} live-only streams of {} keys with {} changes each, as a client measures time, by `merge --shard 1/1`.\n\n\
         | for a stream | |\n|---|---|\n\
         | in a process for all : the floor, a transaction for each stream in one session | {:.2} |\n\
         | in a process for all : a process for each | {:.2} |\n\
         | in a process for all : its share of one stream of as many rows and changes | {:.2} |\n\
         | with nothing staged : with changes, in a process for all | {:.2} |",
        many.streams,
        many.keys,
        many.changes,
        ratio(|round| round.shard / round.floor),
        ratio(|round| round.shard / round.alone),
        ratio(|round| round.shard / round.one),
        ratio(|round| round.idle / round.shard),
    )
}

fn peers_table(out: &mut String, peers: &[Peer]) -> fmt::Result {
    writeln!(
        out,
        "\n## Against other tools\n\n\
         Each in the configuration that is right on such batches (`benches/peers/README.md`), over the merge job on the same batch: `live-only`\n\
         for a table of live rows, `last-per-batch` for a history. The statements of a tool are all but `COPY`; in the first column they\n\
         are over the merge statements, in the second over all statements of the merge job. A row is wrong if the floor does not have it,\n\
         or the tool has not.\n\n\
         | | tool | statements : merge statements | : begin to commit | process : process | client's memory | rows that are wrong |\n\
         |---|---|---|---|---|---|---|"
    )?;
    for Peer {
        name,
        mode,
        rounds,
        wrong,
    } in peers
    {
        let ratio = |pick: fn(&Run) -> f64, of: fn(&Run) -> f64| {
            median(rounds.iter().map(|(engine, peer)| pick(peer) / of(engine)))
        };
        let whole = |run: &Run| run.took.whole;
        writeln!(
            out,
            "| {} | {name} | {:.2} | {:.2} | {:.1} | {:.1} | {wrong} |",
            mode.name(),
            ratio(whole, |run| run.took.merge),
            ratio(whole, whole),
            ratio(|run| run.process, |run| run.process),
            ratio(|run| f64::from(run.peak_kib), |run| f64::from(run.peak_kib)),
        )?;
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.tables(&mut text)?;
        f.write_str(text.trim_end())
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
