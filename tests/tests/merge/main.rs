//! Merges on a real Postgres by the real binary: real events, random histories, kills, bad input.
//!
//! One test binary, so that one private cluster serves all of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use milepost_job_spec::{Strategy, Versions};

mod append;
mod bad_input;
mod clock;
mod cluster;
mod concurrent;
mod converted;
mod cost;
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
mod shop;
mod superseded;
mod taken;
mod topics;
mod trim;
mod truncate;
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

/// The seed of a test's chances: `MILEPOST_SEED`, or another one every time. Whatever fails prints it.
fn seed() -> u64 {
    let given = std::env::var("MILEPOST_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    given.unwrap_or_else(|| now.map_or(0, |now| u64::from(now.subsec_nanos())))
}
