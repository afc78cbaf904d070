//! A gate through which many go at once, until somebody closes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Whoever works passes; whoever closes it waits until all who passed are done.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    lock: RwLock<()>,
    over: AtomicBool,
}

impl Gate {
    /// Passes, for one piece of work; none when the work is over.
    pub(crate) fn pass(&self) -> Option<RwLockReadGuard<'_, ()>> {
        let guard = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        (!self.over.load(Ordering::SeqCst)).then_some(guard)
    }

    /// Closes it as long as the guard lives, once nobody works.
    pub(crate) fn close(&self) -> RwLockWriteGuard<'_, ()> {
        self.lock.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The work is over.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
