//! Writes `docs/proof.md` to standard output from what `make prove` counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use acceptance::tally::Tally;
use anyhow::{Context as _, Result, ensure};

/// What stands first, in this order; the rest follows by name.
const FIRST: [&str; 5] = [
    "histories",
    "kills of the process",
    "kills of the server",
    "lost or refused statements",
    "batches",
];

#[expect(clippy::print_stdout, reason = "the page is what it is for")]
fn main() -> Result<()> {
    let file = std::env::args()
        .nth(1)
        .context("name the file of counts: `proof target/tally.jsonl`")?;
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("failed to read `{file}`"))?;
    let tallies = text
        .lines()
        .map(|line| serde_json::from_str(line).context("a line is no count of a test"))
        .collect::<Result<Vec<Tally>>>()?;
    ensure!(!tallies.is_empty(), "`{file}` has no counts");
    print!("{}", page(&tallies, &commit()?)?);
    Ok(())
}

/// The commit that the tests ran on.
fn commit() -> Result<String> {
    let output = Command::new("git")
        .args(["describe", "--always", "--abbrev=12", "--dirty=, changed"])
        .output()
        .context("failed to run git")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn page(tallies: &[Tally], commit: &str) -> Result<String> {
    let mut servers: BTreeMap<&str, BTreeMap<&str, Tally>> = BTreeMap::new();
    for tally in tallies {
        let tests = servers.entry(&tally.server).or_default();
        let sum = tests.entry(&tally.test).or_default();
        sum.seeds.extend(&tally.seeds);
        add(&mut sum.counts, &tally.counts);
    }
    let mut text = String::new();
    write!(
        text,
        "# What was proved\n\n\
         Generated from what tests counted that go on with random histories, kills and faults, as `make prove` has them do for longer\n\
         than `make test`; do not edit.\n\
         Of commit {commit}, {date}, on {cores} cores.\n\n\
         Every test below passed: it compares each batch with the reference merge (`tests/src/reference_merge.rs`), or the end with that\n\
         of an undisturbed run. `MILEPOST_SEED` with a seed repeats the chances of a test, though not the moments of kills. What is known\n\
         to go wrong elsewhere, and the tests for it, is in [known failures](known-failures.md).\n",
        date = chrono::Utc::now().format("%Y-%m-%d"),
        cores = std::thread::available_parallelism()?,
    )?;
    for (server, tests) in &servers {
        let mut sum = BTreeMap::new();
        for tally in tests.values() {
            add(&mut sum, &tally.counts);
        }
        write!(
            text,
            "\n## PostgreSQL {server}\n\nIn all: {}.\n\n| test | counts | seeds |\n|---|---|---|\n",
            list(&sum)
        )?;
        for (test, tally) in tests {
            let seeds: Vec<String> = tally.seeds.iter().map(u64::to_string).collect();
            writeln!(
                text,
                "| `{test}` | {} | {} |",
                list(&tally.counts),
                seeds.join(", ")
            )?;
        }
    }
    Ok(text)
}

fn add(sum: &mut BTreeMap<String, u64>, counts: &BTreeMap<String, u64>) {
    for (what, count) in counts {
        *sum.entry(what.clone()).or_default() += count;
    }
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    let place = |what: &str| FIRST.iter().position(|first| *first == what);
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    counts.sort_by_key(|(what, _)| (place(what).unwrap_or(FIRST.len()), *what));
    counts
        .iter()
        .map(|(what, count)| format!("{what}: {count}"))
        .collect::<Vec<_>>()
        .join(", ")
}
