//! `merge-job rebuild`: a merge table is kept aside and made anew as its spec says, where no other change makes it so.
//!
//! What stands at the dataset's names is read (`found`) and told as a plan (`plan`); with a confirmation a batch renames it
//! (`kept`), makes the new table and its views, and moves what says how far the dataset is merged
//! (`batch::rebuild`). Rows come back by the merge itself: from a new snapshot of the source, or from one that is
//! staged still (`staged`).

pub(crate) mod found;
pub(crate) mod kept;
pub(crate) mod plan;
pub(crate) mod staged;
pub(crate) mod statements;

use std::time::Duration;

use tokio_postgres::Config;

use crate::Confirmation;
use crate::batch::{open, rebuild as batch};
use crate::control::position::Position;
use crate::control::stream::{self, Stream};
use crate::error::Error;
use crate::retry;
use crate::session::Session;
use crate::tables::{self, Object, Patience};

use found::Found;
use plan::Plan;

/// Types of a spec are named as everywhere but in a batch.
pub(crate) const USUAL_PATH: &str = "set local search_path to default";

/// From where the rows of the new table come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From a new snapshot of the source, or its next image.
    Source,
    /// From the last complete snapshot that is staged still, and what follows it.
    Staging,
}

/// Which merge tables are made anew.
#[derive(Debug, Clone)]
pub struct Request {
    /// The platform.
    pub platform: String,
    /// The store.
    pub store: String,
    /// Only this dataset of the store.
    pub dataset: Option<String>,
    /// From where rows come.
    pub origin: Origin,
}

/// Makes merge tables anew; returns what was done, or would be, for a person.
///
/// # Errors
/// [`Error::UnknownStream`] if the scope has no published stream; [`Error::Usage`] if that cannot be done with a dataset;
/// [`Error::Staged`], [`Error::Shape`] or [`Error::Obstacle`] if something stands against it; [`Error::Held`] if a merge of the stream runs.
/// Streams before that one are done.
pub async fn rebuild(
    config: &Config,
    request: &Request,
    confirmation: Confirmation,
) -> Result<String, Error> {
    let mut session = Session::connect(config).await?;
    let dataset = request.dataset.as_deref();
    let streams = stream::published(&session, &request.platform, Some(&request.store), dataset);
    let mut text = String::new();
    for stream in streams.await? {
        let places: Vec<usize> = places(&stream, dataset);
        let plans = match confirmation {
            Confirmation::Plan => look(&session, &stream, &places, request.origin).await?,
            Confirmation::Confirmed => {
                make_the_rest(&session, &stream).await?;
                until_done(&mut session, config, &stream, &places, request.origin).await?
            }
        };
        for plan in plans {
            text.push_str(&plan.to_string());
        }
    }
    if confirmation == Confirmation::Plan {
        text.push_str("nothing was changed: add --yes to do it\n");
    }
    Ok(text)
}

fn places(stream: &Stream, dataset: Option<&str>) -> Vec<usize> {
    let datasets = stream.spec.datasets.iter().enumerate();
    datasets
        .filter(|(_, own)| dataset.is_none_or(|name| own.name == name))
        .map(|(place, _)| place)
        .collect()
}

/// Reads what would be done, in one snapshot and without a lock.
async fn look(
    session: &Session,
    stream: &Stream,
    places: &[usize],
    origin: Origin,
) -> Result<Vec<Plan>, Error> {
    let begin = format!(
        "begin isolation level repeatable read read only; {}; {USUAL_PATH}; {};\n\
         select 'number', (batch_number + 1)::text from milepost.streams where id = {}",
        open::SETTINGS,
        open::positions(stream.id),
        stream.id
    );
    let rows = session.script("begin to read", &begin).await?;
    let is_number = |row: &&tokio_postgres::SimpleQueryRow| row.get(0) == Some("number");
    let number = rows.iter().find(is_number).and_then(|row| row.get(1));
    let number: i64 = number.and_then(|text| text.parse().ok()).unwrap_or(1);
    let positions: Vec<Position> = rows
        .iter()
        .filter(|row| !is_number(row))
        .map(open::position)
        .collect();
    let mut plans = Vec::new();
    for &place in places {
        let found = Found::read(session, stream, place, &positions, origin).await?;
        plans.push(Plan::of(stream, place, found, number, origin));
    }
    session.script("end reading", "rollback").await?;
    Ok(plans)
}

/// Makes all that a publish makes beside merge tables and views: the new table is made where the rest is as its spec says.
async fn make_the_rest(session: &Session, stream: &Stream) -> Result<(), Error> {
    let mut changes = tables::differences(&stream.spec, &stream.catalog);
    changes.retain(|change| match change.object() {
        Object::Schema(_) | Object::Role(_) => true,
        Object::Table(table) => !stream.spec.datasets.iter().any(|own| own.merge == *table),
        Object::View(_) => false,
    });
    let patience = Patience::default();
    let errors = tables::make(session, stream.id, &stream.spec, &changes, patience).await;
    errors.into_iter().next().map_or(Ok(()), Err)
}

/// Runs the batch, again where somebody used the tables for a while, or where the connection broke before the commit.
async fn until_done(
    session: &mut Session,
    config: &Config,
    stream: &Stream,
    places: &[usize],
    origin: Origin,
) -> Result<Vec<Plan>, Error> {
    let patience = Patience::default();
    let mut pause = patience.first_pause;
    for attempt in 1.. {
        let mut plans: Vec<Plan> = Vec::new();
        let error = match batch::run(session, stream, places, origin, &mut plans).await {
            Ok(()) => return Ok(plans),
            Err(error) => error,
        };
        let again = if error.is_disconnect() {
            *session = Session::connect(config).await?;
            if let Error::Commit { .. } = error
                && batch::is_committed(session, stream, &plans).await?
            {
                plans.iter_mut().for_each(|plan| plan.is_done = true);
                return Ok(plans);
            }
            true
        } else {
            session.script("roll back the rebuild", "rollback").await?;
            !matches!(error, Error::Held(_)) && retry::gave_way(&error)
        };
        if !again || attempt >= patience.attempts {
            return Err(told(error, stream, &patience));
        }
        tracing::warn!(error = %error.chain(), attempt, "the rebuild failed, trying again");
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(Duration::from_secs(5));
    }
    unreachable!("the loop ends by returning")
}

/// A lock that was never free is told as what it is.
fn told(error: Error, stream: &Stream, patience: &Patience) -> Error {
    if error.sqlstate() != Some("55P03") {
        return error;
    }
    Error::Obstacle {
        what: format!(
            "the rebuild of stream `{}` waited for whoever uses a table or view, {} times {} s, in vain; nothing was changed",
            stream.spec.stream,
            patience.attempts,
            patience.lock_timeout.as_secs_f32()
        ),
        remedy: "end the transaction that stands against it (pg_locks, pg_stat_activity: often one that is idle in transaction), then run it again"
            .to_owned(),
    }
}
