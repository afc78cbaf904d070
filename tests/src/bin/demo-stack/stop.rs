//! What a signal asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use thiserror::Error;

/// Shared by who hears signals and who has something to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<Wishes>);

#[derive(Debug, Default)]
struct Wishes {
    is_loaded: AtomicBool,
    no_load: AtomicBool,
    nothing: AtomicBool,
}

/// A signal asked for the end.
#[derive(Debug, Error)]
#[error("stopped by a signal")]
pub(crate) struct Stopped;

impl Stop {
    /// Asks for the end of everything.
    pub(crate) fn everything(&self) {
        self.0.nothing.store(true, Ordering::Relaxed);
    }

    /// Asks for the end of the load; false if there is none yet.
    pub(crate) fn end_load(&self) -> bool {
        self.0.no_load.store(true, Ordering::Relaxed);
        self.0.is_loaded.load(Ordering::Relaxed)
    }

    /// The load has begun.
    pub(crate) fn loaded(&self) {
        self.0.is_loaded.store(true, Ordering::Relaxed);
    }

    /// Is the load to end?
    pub(crate) fn has_no_load(&self) -> bool {
        self.0.no_load.load(Ordering::Relaxed) || self.check().is_err()
    }

    /// Fails where everything is to end.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.nothing.load(Ordering::Relaxed) {
            true => Err(Stopped.into()),
            false => Ok(()),
        }
    }

    /// Waits until a moment, or until the load is to end.
    pub(crate) fn wait_until(&self, moment: Instant) {
        while Instant::now() < moment && !self.has_no_load() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
