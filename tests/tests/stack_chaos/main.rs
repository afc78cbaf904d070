//! Nothing is lost, doubled or out of order, whatever is killed: the real stack under load, fault after fault.
//!
//! `MILEPOST_SEED` repeats the chances of a run (the moments differ all the same), `MILEPOST_TEST_SECONDS` goes on with
//! faults by chance for so long.

mod chaos;
mod faults;
mod gate;
mod merges;
mod model;
mod truth;
mod workload;

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use acceptance::stack::Stack;
use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use chaos::{Busy, Chaos, told};
use faults::{FAULTS, Fault};

#[test]
fn whatever_is_killed_every_table_equals_its_source_and_its_history() {
    let seed = seed();
    let rng = StdRng::seed_from_u64(seed);
    let mut chaos = Chaos::begin(Stack::shared(), rng).expect("the stores begin");
    let result = chaos.while_busy(all_faults);
    match result {
        Ok(busy) => say(&format!(
            "MILEPOST_SEED={seed}\n{}{}\n",
            chaos.log(),
            told(&busy)
        )),
        Err(error) => panic!("{error:#}\n{}", chaos.account(seed)),
    }
}

/// Every fault once in an order of chance, then others while there is time; a quiet point after each.
fn all_faults(chaos: &mut Chaos<'_>, busy: &Busy) -> Result<()> {
    let until = Instant::now() + more_time();
    let mut faults: Vec<&Fault> = FAULTS.iter().filter(|(name, _)| is_wanted(name)).collect();
    faults.shuffle(&mut chaos.rng);
    let mut next = faults.clone().into_iter();
    loop {
        let (name, fault) = match next.next() {
            Some(fault) => fault,
            None if Instant::now() < until => faults[chaos.rng.random_range(0..faults.len())],
            None => return Ok(()),
        };
        chaos.note(name);
        fault(chaos).with_context(|| (*name).to_owned())?;
        chaos.quiet_point(busy, name)?;
    }
}

/// Only the faults whose names contain `MILEPOST_FAULTS`, for whoever looks for a cause.
fn is_wanted(name: &str) -> bool {
    std::env::var("MILEPOST_FAULTS").is_ok_and(|part| name.contains(&part))
        || std::env::var_os("MILEPOST_FAULTS").is_none()
}

/// The seed of the test's chances: `MILEPOST_SEED`, or another one every time.
fn seed() -> u64 {
    let given = std::env::var("MILEPOST_SEED").ok();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    given
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| now.map_or(0, |now| u64::from(now.subsec_nanos())))
}

/// How long faults go on after the first time round.
fn more_time() -> Duration {
    let given = std::env::var("MILEPOST_TEST_SECONDS").ok();
    Duration::from_secs(given.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// To the test's output, where `--nocapture` or a failure shows it.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
