//! Open entries, tried again with the published spec.

use std::fmt::Write as _;

use tokio_postgres::Config;

use crate::Confirmation;
use crate::batch::replay::{Replay, Replayed};
use crate::batch::{self, Ended, Reading};
use crate::control::stream::Stream;
use crate::error::Error;
use crate::quarantine::Scope;
use crate::quarantine::plan::{counted, plan};
use crate::run;
use crate::session::Session;
use crate::staging::refusal;

/// Replays the open entries of a scope, one batch per stream; returns what was done, or would be, for a person.
///
/// # Errors
/// [`Error::UnknownStream`] if the scope has no published stream; [`Error::Held`] if a merge of it runs; whatever stands
/// between the entries and the commit. Batches of streams before that one stay.
pub async fn replay(
    config: &Config,
    scope: &Scope,
    confirmation: Confirmation,
) -> Result<String, Error> {
    let mut session = Session::connect(config).await?;
    let streams = scope.streams(&session).await?;
    if confirmation == Confirmation::Plan {
        let whole = scope.with_whole_keys(&session).await?;
        let closed = scope.not_open(&session).await?;
        return Ok(closed + &plan(&session, &whole, "tried again").await?);
    }
    let mut text = scope.not_open(&session).await?;
    for mut stream in streams {
        run::reconcile(&session, &mut stream).await?;
        let name = stream.spec.stream.to_string();
        let replayed = replay_stream(&mut session, config, stream, scope).await?;
        tell(&mut text, &name, &replayed);
    }
    Ok(text)
}

async fn replay_stream(
    session: &mut Session,
    config: &Config,
    stream: Stream,
    scope: &Scope,
) -> Result<Replayed, Error> {
    let replay = Replay::new(stream, scope.dataset.as_deref(), scope.ids.clone());
    let error = match replay.run(session, Reading::Trusting).await {
        Ok(replayed) => return Ok(replayed),
        Err(error) => error,
    };
    if error.is_disconnect() {
        *session = Session::connect(config).await?;
        return committed(session, &replay, error).await;
    }
    session.script("roll back the batch", "rollback").await?;
    if !refusal::is_value_error(&error) {
        return Err(error);
    }
    match replay.run(session, Reading::Careful).await {
        Err(error) if error.is_disconnect() => {
            *session = Session::connect(config).await?;
            committed(session, &replay, error).await
        }
        Err(error) => {
            session.script("roll back the batch", "rollback").await?;
            Err(error)
        }
        done => done,
    }
}

/// What became of a batch whose connection broke: its number tells where it broke at the commit.
async fn committed(session: &Session, replay: &Replay, error: Error) -> Result<Replayed, Error> {
    if let Error::Commit { number, .. } = error
        && let Some(Ended::Committed { number, counts, .. }) =
            batch::after_lost_commit(session, replay.stream(), number).await?
    {
        return Ok(Replayed {
            number: Some(number),
            counts,
            ..Replayed::default()
        });
    }
    Err(error)
}

fn tell(text: &mut String, stream: &str, replayed: &Replayed) {
    let signed = |count: u64| counted(i64::try_from(count).unwrap_or(i64::MAX));
    let Replayed {
        number,
        counts,
        superseded,
        left,
    } = replayed;
    // Writing into a String cannot fail.
    let _ = match number {
        None => write!(text, "{stream}: nothing to replay"),
        Some(number) => write!(
            text,
            "{stream}: batch {number} replayed {}, of {counts}",
            signed(counts.staged - counts.quarantined)
        ),
    };
    let open = counts.quarantined + left;
    for (count, what) in [
        (*superseded, "superseded by what was merged later"),
        (open, "still open"),
    ] {
        if count > 0 {
            let _ = write!(text, "; {} {what}", signed(count));
        }
    }
    text.push('\n');
}
