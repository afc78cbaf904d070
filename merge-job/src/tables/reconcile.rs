//! Makes the additive differences: short transactions under the stream's lock, patient with readers.

use std::time::Duration;

use milepost_job_spec::StreamSpec;
use tokio_postgres::types::Type;

use super::catalog::{self, Catalog};
use super::change::{Change, Object, Step};
use super::differences;
use crate::error::Error;
use crate::retry;
use crate::session::Session;

/// How long a change waits for those who use the table. While it waits, whoever comes later waits behind it: so each
/// attempt is short, and the pauses between them let others through (T43).
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The longest wait for one lock.
    pub lock_timeout: Duration,
    /// How often a step is tried.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles.
    pub first_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(5),
            attempts: 4,
            first_pause: Duration::from_millis(500),
        }
    }
}

/// Reads what the tables of a stream are and makes them what its spec says. `id` is the stream's control row.
///
/// # Errors
/// [`Error::Shape`] with the first difference that is not additive, after all additive ones were made; [`Error::Held`] if
/// another run holds the stream; [`Error::Disturbed`] if another spec was published meanwhile; [`Error::Sql`] otherwise.
pub async fn reconcile(session: &Session, id: i64, spec: &StreamSpec) -> Result<(), Error> {
    let changes = differences(spec, &read(session, spec).await?);
    one(make(session, id, spec, &changes, Patience::default()).await).map_or(Ok(()), Err)
}

/// What the tables of a stream are now.
pub(crate) async fn read(session: &Session, spec: &StreamSpec) -> Result<Catalog, Error> {
    let sql = format!("select {}::text", catalog::of_spec("$1::jsonb"));
    let json = serde_json::to_value(spec).expect("a spec has only text keys");
    let rows = session
        .query("read the catalog", &sql, &[(&json, Type::JSONB)])
        .await?;
    Catalog::from_json(rows.first().map_or("", |row| row.get(0)))
}

/// Makes the changes that [`differences`] found; returns what stood against some of them, refusals among it.
///
/// One that fails stops no other, but for the views, which read the tables. Where another run was faster, what is left is
/// found and made again.
pub async fn make(
    session: &Session,
    id: i64,
    spec: &StreamSpec,
    changes: &[Change],
    patience: Patience,
) -> Vec<Error> {
    let mut errors = make_once(session, id, spec, changes, patience).await;
    let mut rounds = 1;
    while rounds < patience.attempts && errors.iter().any(is_outrun) {
        match read(session, spec).await {
            Ok(catalog) => {
                let changes = differences(spec, &catalog);
                errors = make_once(session, id, spec, &changes, patience).await;
            }
            Err(error) => return vec![error],
        }
        rounds += 1;
    }
    errors
}

/// Did another run make, between our reading and our lock, what we were about to make? Table, function, column.
fn is_outrun(error: &Error) -> bool {
    matches!(error.sqlstate(), Some("42P07" | "42723" | "42701"))
}

async fn make_once(
    session: &Session,
    id: i64,
    spec: &StreamSpec,
    changes: &[Change],
    patience: Patience,
) -> Vec<Error> {
    let mut errors = Vec::new();
    for change in changes {
        let step = match change {
            Change::Refuse(refusal) => {
                errors.push(refusal.clone().into());
                continue;
            }
            Change::Migrate(migration) => {
                errors.extend(migration.refusals().into_iter().map(Error::from));
                continue;
            }
            Change::Make(step) => step,
        };
        if matches!(step.object, Object::View(_)) && !errors.is_empty() {
            continue;
        }
        if let Err(error) = take(session, id, spec, step, patience).await {
            let rest_is_in_vain = error.is_disconnect()
                || matches!(
                    error,
                    Error::Held(_) | Error::Disturbed(_) | Error::UnknownStream(_)
                );
            errors.push(error);
            if rest_is_in_vain {
                break;
            }
        } else {
            tracing::info!(stream = %spec.stream, "{}: {}", step.object, step.what);
        }
    }
    errors
}

/// The errors of a stream as one: the first in full, the others counted.
fn one(errors: Vec<Error>) -> Option<Error> {
    let others = errors.len().saturating_sub(1);
    let mut first = errors.into_iter().next()?;
    if let (Error::Shape { difference, .. }, 1..) = (&mut first, others) {
        difference.push_str(&format!(" (and {others} more)"));
    }
    Some(first)
}

/// Takes one step, again where a lock was not free in time.
async fn take(
    session: &Session,
    id: i64,
    spec: &StreamSpec,
    step: &Step,
    patience: Patience,
) -> Result<(), Error> {
    let mut pause = patience.first_pause;
    for attempt in 1.. {
        let error = match attempt_step(session, id, spec, step, patience).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if session.is_closed() || error.is_disconnect() {
            return Err(error);
        }
        session
            .script("roll back a change of a table", "rollback")
            .await?;
        let is_busy = matches!(error, Error::Held(_)) || retry::gave_way(&error);
        if !is_busy {
            return Err(error);
        }
        if attempt >= patience.attempts {
            return Err(match error {
                Error::Held(stream) => Error::Held(stream),
                _ => Error::Shape {
                    table: step.object.to_string(),
                    difference: format!(
                        "a change ({}) waited for whoever uses it, {attempt} times {} s, in vain",
                        step.what,
                        patience.lock_timeout.as_secs_f32()
                    ),
                    remedy: "end the transaction that stands against it (pg_locks, pg_stat_activity: often one that is idle in transaction); the next run tries again"
                        .to_owned(),
                },
            });
        }
        tracing::warn!(object = %step.object, attempt, "somebody uses it, trying again");
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Ok(())
}

async fn attempt_step(
    session: &Session,
    id: i64,
    spec: &StreamSpec,
    step: &Step,
    patience: Patience,
) -> Result<(), Error> {
    let begin = format!(
        "begin; set local lock_timeout = {}; set local idle_in_transaction_session_timeout = '60s';\n\
         select spec from milepost.streams where id = {id} for no key update",
        patience.lock_timeout.as_millis()
    );
    let rows = session
        .script("lock the stream for a change of its tables", &begin)
        .await
        .map_err(|error| {
            if error.sqlstate() == Some("55P03") {
                Error::Held(spec.stream.to_string())
            } else {
                error
            }
        })?;
    let published = rows
        .first()
        .and_then(|row| row.get(0))
        .map(StreamSpec::from_json);
    match published {
        Some(Ok(published)) if published == *spec => {}
        // A later publish has changed the tables; going on would set them back.
        Some(_) => {
            return Err(Error::Disturbed(format!(
                "another spec of stream `{}` was published while its tables were changed",
                spec.stream
            )));
        }
        None => return Err(Error::UnknownStream(spec.stream.to_string())),
    }
    let statements = format!("{};\ncommit", step.statements.join(";\n"));
    session.script("change a table", &statements).await?;
    Ok(())
}
