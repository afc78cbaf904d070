//! Closed versions go when no group keeps them any more.

use super::{Mode, Scope, Trimmed, streams};
use crate::error::Error;
use crate::session::Session;

/// Removes closed versions.
///
/// # Errors
/// [`Error::UnknownStream`].
pub async fn trim_history(session: &Session, scope: &Scope, mode: Mode) -> Result<Trimmed, Error> {
    let mut trimmed = Trimmed::new("history", mode);
    streams(session, scope, &mut trimmed).await?;
    Ok(trimmed)
}
