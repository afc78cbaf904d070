//! Entries that are given up.

use tokio_postgres::Config;
use tokio_postgres::types::Type;

use crate::Confirmation;
use crate::control::stream::{self, Stream};
use crate::error::Error;
use crate::quarantine::plan::{counted, plan};
use crate::quarantine::scope::OPEN;
use crate::quarantine::{Scope, entry};
use crate::session::Session;

/// Closes the open entries of a scope as discarded; returns what was done, or would be, for a person.
///
/// # Errors
/// [`Error::UnknownStream`] if the scope has no published stream; [`Error::Held`] if a merge of it runs.
pub async fn discard(
    config: &Config,
    scope: &Scope,
    confirmation: Confirmation,
) -> Result<String, Error> {
    let session = Session::connect(config).await?;
    let streams = scope.streams(&session).await?;
    if confirmation == Confirmation::Plan {
        let closed = scope.not_open(&session).await?;
        return Ok(closed + &plan(&session, scope, "discarded").await?);
    }
    let mut text = scope.not_open(&session).await?;
    for stream in streams {
        let discarded = discard_stream(&session, &stream, scope).await?;
        text.push_str(&format!("{}: {discarded} discarded\n", stream.spec.stream));
    }
    Ok(text)
}

/// One transaction under the stream's lock: a batch that runs has read which keys have open entries.
async fn discard_stream(
    session: &Session,
    stream: &Stream,
    scope: &Scope,
) -> Result<String, Error> {
    stream::hold(session, stream).await?;
    let names: Vec<&str> = stream
        .spec
        .datasets
        .iter()
        .map(|dataset| dataset.name.as_str())
        .collect();
    let sql = format!(
        "update milepost.quarantine q set status = 'discarded', closed_at = clock_timestamp()\n \
          where {OPEN} and q.store = $5 and q.dataset = any($6)"
    );
    let mut values = scope.values().to_vec();
    values.push((&stream.spec.stream.store, Type::TEXT));
    values.push((&names, Type::TEXT_ARRAY));
    let count = session.execute("discard entries", &sql, &values).await?;
    let count = counted(i64::try_from(count).unwrap_or(i64::MAX));
    let text = format!(
        "{count} of the quarantine of `{}` discarded",
        scope
            .dataset
            .as_deref()
            .unwrap_or(&stream.spec.stream.store)
    );
    if !count.starts_with("0 ") {
        entry::tell(session, &stream.spec.stream, &text).await?;
    }
    session.script("commit", "commit").await?;
    Ok(count)
}
