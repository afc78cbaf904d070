//! The figures of each part: ratios only, for seconds say more about the machine.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::arena::Floor;
use super::peers::{self, Peer, Run};
use super::streams::{self, Many};
use super::took::Took;

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

/// The head of a table with a column for each strategy.
fn head(out: &mut String, duels: &[Duel], what: &str) -> fmt::Result {
    row(out, duels, what, |duel| format!("`{}`", duel.name))?;
    row(out, duels, "---", |_| "---".to_owned())
}

fn row(
    out: &mut String,
    duels: &[Duel],
    name: &str,
    cell: impl Fn(&Duel) -> String,
) -> fmt::Result {
    write!(out, "| {name} |")?;
    for duel in duels {
        write!(out, " {} |", cell(duel))?;
    }
    writeln!(out)
}

/// A table for each size of batches.
pub(crate) fn floors(out: &mut String, keys: u32, duels: &[Duel]) -> fmt::Result {
    writeln!(
        out,
        "The floor is 1; all tables begin with {keys} keys. *Pure write* inserts what the batch leaves into empty tables of the same layout."
    )?;
    let sizes = duels.first().map_or(&[][..], |duel| &duel.batches);
    for (place, Batches { changes, rounds }) in sizes.iter().enumerate() {
        writeln!(out)?;
        let what = format!("{changes} changes, {} rounds", rounds.len());
        head(out, duels, &what)?;
        let mut row = |name: &str, floor: Floor, pick: fn(&Took) -> f64| {
            row(out, duels, name, |duel| {
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
    Ok(())
}

/// Where the time of the largest batches goes, and what else a run costs.
pub(crate) fn run(out: &mut String, duels: &[Duel]) -> fmt::Result {
    let sizes = duels.first().map_or(&[][..], |duel| &duel.batches);
    let Some((last, size)) = sizes.iter().enumerate().next_back() else {
        return Ok(());
    };
    let what = format!(
        "steps of {} changes : the floor's merge statements",
        size.changes
    );
    writeln!(out)?;
    head(out, duels, &what)?;
    for step in STEPS {
        row(out, duels, step, |duel| {
            format!("{:.2}", duel.batches[last].step(step))
        })?;
    }
    writeln!(out)?;
    head(out, duels, "a run")?;
    row(out, duels, "client's peak memory : 64 MiB", |duel| {
        format!("{:.2}", f64::from(duel.peak_kib) / f64::from(MEMORY_BOUND))
    })?;
    let starts = "an empty run of the process, without its connection : 50 ms";
    row(out, duels, starts, |duel| {
        let beside = duel.start_up.iter().map(|[process, connection]| {
            process.saturating_sub(*connection).as_secs_f64() / START_BOUND
        });
        format!("{:.2}", median(beside))
    })?;
    row(out, duels, "round trips of a batch (bound 12)", |duel| {
        duel.trips.to_string()
    })?;
    row(
        out,
        duels,
        "round trips of an empty run (bound 4)",
        |duel| duel.idle_trips.to_string(),
    )
}

/// A line for each pair of sizes.
pub(crate) fn scales(out: &mut String, scales: &[Scale]) -> fmt::Result {
    writeln!(
        out,
        "| | merge statements (bound 1.3) | begin to commit | the floor's merge statements |\n|---|---|---|---|"
    )?;
    for scale in scales {
        writeln!(
            out,
            "| {} | {:.2} | {:.2} | {:.2} |",
            scale.what,
            scale.ratio(|pair| pair.engine.merge),
            scale.ratio(|pair| pair.engine.whole),
            scale.ratio(|pair| pair.floor.merge)
        )?;
    }
    Ok(())
}

/// What a stream among many costs.
pub(crate) fn many(out: &mut String, many: &Many, rounds: &[streams::Round]) -> fmt::Result {
    let ratio = |pick: fn(&streams::Round) -> f64| median(rounds.iter().map(pick));
    writeln!(
        out,
        "{} live-only streams of {} keys with {} changes each, as a client measures time, by `merge --shard 1/1`.\n\n\
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

/// A line for each tool and mode.
pub(crate) fn peers(out: &mut String, keys: u32, changes: u32, peers: &[Peer]) -> fmt::Result {
    writeln!(
        out,
        "{changes} changes into {keys} keys, over the merge job on the same batch: `live-only` for a table of live rows, `last-per-batch` for a\n\
         history. Each tool in the configuration that is right on such batches (`benches/peers/README.md`). Its statements are all but `COPY`; in\n\
         the first column they are over the merge statements, in the second over all statements of the merge job. A row is wrong if the\n\
         floor does not have it, or the tool has not.\n\n\
         | | tool | statements : merge statements | : begin to commit | process : process | client's memory | rows that are wrong |\n\
         |---|---|---|---|---|---|---|"
    )?;
    for peer in peers {
        let ratio = |pick: fn(&Run) -> f64, of: fn(&Run) -> f64| {
            let rounds = peer.rounds.iter();
            median(rounds.map(|(engine, peer)| pick(peer) / of(engine)))
        };
        let whole = |run: &Run| run.took.whole;
        let (mode, name) = (peer.mode.name(), &peer.name);
        match peer.wrong {
            None => writeln!(
                out,
                "| {mode} | {name} | no end within {} seconds | | | | |",
                peers::LIMIT.as_secs()
            )?,
            Some(wrong) => writeln!(
                out,
                "| {mode} | {name} | {:.2} | {:.2} | {:.1} | {:.1} | {wrong} |",
                ratio(whole, |run| run.took.merge),
                ratio(whole, whole),
                ratio(|run| run.process, |run| run.process),
                ratio(|run| f64::from(run.peak_kib), |run| f64::from(run.peak_kib)),
            )?,
        }
    }
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
