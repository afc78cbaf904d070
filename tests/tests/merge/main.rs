//! Merges on a real Postgres by the real binary: real events, random histories, kills, bad input.
//!
//! One test binary, so that one private cluster serves all of it.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use acceptance::tally;
use milepost_job_spec::{Strategy, Versions};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

mod append;
mod bad_input;
mod clock;
mod cluster;
mod compared;
mod concurrent;
mod converted;
mod cost;
mod ends;
mod erase;
mod image;
mod keys;
mod kill;
mod mended;
mod pooler;
mod position;
mod quarantine;
mod random;
mod rebuild;
mod redelivered;
mod reference;
mod resnapshot;
mod resumed;
mod share;
mod shop;
mod signal;
mod superseded;
mod taken;
mod topics;
mod trim;
mod truncate;
mod unused;
mod version_before;
mod wire;

const LIVE: Strategy = Strategy::LiveOnly;
const ALL: Strategy = Strategy::Milestoned {
    versions: Versions::All,
};
const LAST: Strategy = Strategy::Milestoned {
    versions: Versions::LastPerBatch,
};

/// How long a test goes on with new cases: `MILEPOST_TEST_SECONDS`, or so many seconds.
fn budget(seconds: u64) -> Duration {
    let given = std::env::var("MILEPOST_TEST_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(given.unwrap_or(seconds))
}

/// Plays random cases until the time is over, and makes the first that fails smaller.
fn play_random<C: std::fmt::Debug>(
    cases: impl proptest::strategy::Strategy<Value = C>,
    seconds: u64,
    play: impl Fn(&C),
) {
    let budget = budget(seconds);
    let seed = seed();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: 100_000,
        max_shrink_time: 60_000,
        failure_persistence: None,
        ..Config::default()
    };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let started = Instant::now();
    let (played, failed) = (Cell::new(0_usize), Cell::new(false));
    let result = TestRunner::new_with_rng(config, random).run(&cases, |case| {
        // One that failed is tried again, smaller, however late it is.
        if !failed.get() && started.elapsed() > budget {
            return Ok(());
        }
        failed.set(true);
        play(&case);
        failed.set(false);
        played.set(played.get() + 1);
        Ok(())
    });
    if let Err(error) = result {
        panic!("MILEPOST_SEED={seed}: {error}");
    }
    assert!(played.get() > 0);
    tally::count("histories", played.get());
    tally::keep();
}

/// The seed of a test's chances: `MILEPOST_SEED`, or another one every time. Whatever fails prints it.
fn seed() -> u64 {
    let given = std::env::var("MILEPOST_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = given.unwrap_or_else(|| now.map_or(0, |now| u64::from(now.subsec_nanos())));
    tally::seed(seed);
    seed
}
