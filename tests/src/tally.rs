//! What random tests went through, for `docs/proof.md`.
//!
//! A test counts on its own thread, and keeps the counts when it has passed: a line of JSON in the file that `MILEPOST_TALLY` names.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;

use serde::{Deserialize, Serialize};

use crate::Cluster;

/// Without this nothing is kept.
const FILE: &str = "MILEPOST_TALLY";

/// What one test counted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tally {
    /// The test, as its binary calls it.
    pub test: String,
    /// The server's version.
    pub server: String,
    /// The seeds that repeat it.
    pub seeds: Vec<u64>,
    /// How many of what.
    pub counts: BTreeMap<String, u64>,
}

thread_local! {
    static TALLY: RefCell<Tally> = RefCell::default();
}

/// Counts so many of something, named in the plural.
pub fn count(what: &str, number: usize) {
    if number > 0 {
        TALLY.with_borrow_mut(|tally| {
            let number = u64::try_from(number).unwrap_or(u64::MAX);
            *tally.counts.entry(what.to_owned()).or_default() += number;
        });
    }
}

/// Notes a seed of the test.
pub fn seed(seed: u64) {
    TALLY.with_borrow_mut(|tally| tally.seeds.push(seed));
}

/// Keeps the counts of a test that has passed on the shared cluster.
///
/// # Panics
/// If the file cannot be written.
pub fn keep() {
    let mut tally = TALLY.take();
    let Some(file) = std::env::var_os(FILE) else {
        return;
    };
    tally.test = std::thread::current().name().unwrap_or("main").to_owned();
    tally.server = Cluster::shared().version();
    let line = serde_json::to_string(&tally).expect("counts are JSON");
    let file = OpenOptions::new().create(true).append(true).open(file);
    // One write, so that lines of tests that end together stay apart.
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.expect("the file of counts can be written");
}
