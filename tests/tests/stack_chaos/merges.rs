//! Merge jobs that run all the time, die all the time, and meet.

use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use acceptance::{Job, Run};
use milepost_job_spec::{Outcome, StreamSpec};
use rand::Rng as _;
use rand::rngs::StdRng;

use crate::gate::Gate;

/// How often a run is killed at a random moment.
const KILLED: f64 = 0.25;
/// How often a stream gets two runs at once.
const TWICE: f64 = 0.15;
/// So long a run lives at most that is to be killed.
const LIFE_MS: u64 = 250;
const PAUSE_MS: u64 = 120;

/// What became of the runs.
#[derive(Debug, Default)]
pub(crate) struct Merges {
    pub(crate) gate: Gate,
    pub(crate) done: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) held: AtomicU64,
    pub(crate) killed: AtomicU64,
    /// The platform's server was away.
    pub(crate) unreachable: AtomicU64,
    /// What no run may say.
    wrong: Mutex<Vec<String>>,
}

impl Merges {
    /// Runs merge jobs until the gate's work is over.
    pub(crate) fn keep_running(&self, url: &str, specs: &[StreamSpec], mut rng: StdRng) {
        while let Some(turn) = self.gate.pass() {
            let spec = &specs[rng.random_range(0..specs.len())];
            if rng.random_bool(KILLED) {
                let child = Job::merge(url, spec).spawn();
                std::thread::sleep(Duration::from_millis(rng.random_range(0..LIFE_MS)));
                self.kill(child);
            } else if rng.random_bool(TWICE) {
                std::thread::scope(|scope| {
                    scope.spawn(|| self.ended(&Job::merge(url, spec).run()));
                    self.ended(&Job::merge(url, spec).run());
                });
            } else {
                self.ended(&Job::merge(url, spec).run());
            }
            drop(turn);
            std::thread::sleep(Duration::from_millis(rng.random_range(0..PAUSE_MS)));
        }
    }

    /// What runs said that no run may say.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.wrong
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn kill(&self, mut child: Child) {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        self.killed.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self, run: &Run) {
        let code = |outcome: Outcome| i32::from(outcome.code());
        let counter = if run.code == code(Outcome::Done) && run.stdout.contains("waiting") {
            &self.waiting
        } else if run.code == code(Outcome::Done) {
            &self.done
        } else if run.code == code(Outcome::Held) {
            &self.held
        } else if run.code == code(Outcome::Unreachable) {
            &self.unreachable
        } else {
            let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            wrong.push(run.to_string());
            return;
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
