//! Work that a signal may end: what its connections were doing is cancelled, so that nothing of it goes on in a server.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::Error;
use crate::session::Cancel;

/// What ends the statements of the connections that are open, each with what tells that it still is.
type Opened = Arc<Mutex<Vec<(Weak<()>, Cancel)>>>;

tokio::task_local! {
    static OPENED: Opened;
}

/// Does the work, until `stop` is ready: the statements of all its connections are cancelled then, and the servers roll back
/// what had begun.
///
/// # Errors
/// [`Error::Stopped`] if it was stopped, else what the work meets.
pub async fn until_stopped<T>(
    stop: impl Future<Output = ()>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let opened = Opened::default();
    let work = OPENED.scope(Arc::clone(&opened), work);
    // First the signal: a run that could end and one that must are told apart in favour of the signal.
    tokio::select! {
        biased;
        () = stop => {
            let all = std::mem::take(&mut *opened.lock().unwrap_or_else(PoisonError::into_inner));
            futures_util::future::join_all(all.iter().map(|(_, cancel)| cancel.cancel())).await;
            Err(Error::Stopped)
        }
        ended = work => ended,
    }
}

/// Takes part in the end of whatever opens a connection, which keeps what is returned for as long as it lasts.
pub(crate) fn opened(cancel: impl FnOnce() -> Cancel) -> Arc<()> {
    let open = Arc::new(());
    // Outside of such work nobody asks.
    let _ = OPENED.try_with(|opened| {
        let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        // Many streams may open one after the other.
        opened.retain(|(open, _)| open.strong_count() > 0);
        opened.push((Arc::downgrade(&open), cancel()));
    });
    open
}
