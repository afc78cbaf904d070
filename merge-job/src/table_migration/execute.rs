//! Does what was planned: one transaction per dataset.
//!
//! Assumptions: every writer of the merge tables holds the stream's control row; only the sink writes staging. Plan: lock the
//! stream and the rows of its datasets, see that the plan is the one that was read, keep the sink off, check the values
//! again, alter. Readers are kept off last and for the shortest time: views go first, as readers take them, then tables.
//! A crash anywhere leaves the tables as they were, or as they should be.

use tokio_postgres::types::Type;

use super::plan::{DatasetPlan, Plan};
use super::{Scope, check};
use crate::batch::bare::Bare;
use crate::control::stream;
use crate::error::Error;
use crate::merge::moment;
use crate::quarantine::entry;
use crate::rebuild::found;
use crate::retry;
use crate::session::Session;
use crate::tables::{Conversion, Patience};
use crate::trim::closed;

/// The steps of a migration, in order. `MILEPOST_FAULT=<step>` makes a debug build abort before that step: the tests kill
/// runs so. `migrated` is past the commit.
pub const STEPS: [&str; 6] = [
    "migrate-begin",
    "migrate-check",
    "migrate-alter",
    "migrate-tell",
    "migrate-commit",
    "migrated",
];

fn fault(step: &'static str) {
    debug_assert!(STEPS.contains(&step), "`{step}` is a step");
    if cfg!(debug_assertions) && std::env::var("MILEPOST_FAULT").is_ok_and(|at| at == step) {
        std::process::abort();
    }
}

/// Migrates a dataset, again where a lock was not free in time.
pub(super) async fn dataset(
    session: &Session,
    scope: &Scope,
    own: &DatasetPlan,
    whole: &Plan,
    patience: Patience,
) -> Result<(), Error> {
    let mut pause = patience.first_pause;
    for attempt in 1.. {
        let error = match attempt_once(session, scope, own, whole, patience).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if session.is_closed() || error.is_disconnect() {
            return Err(error);
        }
        session.script("roll back a migration", "rollback").await?;
        let is_busy = retry::gave_way(&error);
        if !is_busy {
            return Err(explained(error, own));
        }
        if attempt >= patience.attempts {
            return Err(Error::Obstacle {
                what: format!(
                    "the migration of dataset `{}` waited for whoever uses its tables, {attempt} times {} s, in vain; nothing was changed",
                    own.dataset,
                    patience.lock_timeout.as_secs_f32()
                ),
                remedy: "end the transaction that stands against it (pg_locks, pg_stat_activity: often one that is idle in transaction), then execute it again"
                    .to_owned(),
            });
        }
        tracing::warn!(
            dataset = own.dataset,
            attempt,
            "somebody uses its tables, trying again"
        );
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Ok(())
}

async fn attempt_once(
    session: &Session,
    scope: &Scope,
    own: &DatasetPlan,
    whole: &Plan,
    patience: Patience,
) -> Result<(), Error> {
    fault("migrate-begin");
    stream::hold(session, &stream::load(session, &own.stream).await?).await?;
    let stream = stream::load(session, &own.stream).await?;
    let now = Plan::of(
        &Scope {
            dataset: Some(own.dataset.clone()),
            ..scope.clone()
        },
        std::slice::from_ref(&stream),
    );
    if let Some(refusal) = now.refusals.first() {
        return Err(refusal.clone().into());
    }
    if now.datasets != [own.clone()] {
        return Err(Error::Usage(format!(
            "the tables or the spec of dataset `{}` changed meanwhile, and nothing more was changed: read the plan again with `{}`",
            own.dataset, whole.command
        )));
    }
    let settings = format!(
        "{}; set local lock_timeout = {}",
        check::settings(),
        patience.lock_timeout.as_millis()
    );
    session.script("set up a migration", &settings).await?;
    session
        .script("keep writers off", &exclusion(own, &stream.spec))
        .await?;
    fault("migrate-check");
    for retype in &own.retypes {
        if let Some(obstacle) = check::column(session, retype).await?.obstacle() {
            return Err(obstacle.into_obstacle());
        }
    }
    if own.conversion.is_some()
        && let Some(refusal) = found::what_depends(session, &own.spec).await?
    {
        return Err(refusal.into_obstacle());
    }
    let batch = Bare::next(session, &stream, &own.dataset).await?;
    fault("migrate-alter");
    let time = format!(
        "select set_config('milepost.batch_time', {}::text, true)",
        moment(&batch.time_us.to_string())
    );
    session.script("set the time of the batch", &time).await?;
    let statements: Vec<&str> = own.statements().map(String::as_str).collect();
    session
        .script("migrate the tables", &statements.join(";\n"))
        .await?;
    fault("migrate-tell");
    if own.conversion.is_some() {
        convert(session, &batch, own).await?;
    }
    batch.record(session).await?;
    let what: Vec<String> = own
        .steps
        .iter()
        .map(|step| format!("{}: {}", step.object, step.what))
        .collect();
    let text = format!("migrated: {}", what.join("; "));
    entry::tell(session, &own.stream, &text).await?;
    fault("migrate-commit");
    session.script("commit the migration", "commit").await?;
    fault("migrated");
    Ok(())
}

/// What the control rows say of a table that changed its strategy.
async fn convert(session: &Session, batch: &Bare<'_>, own: &DatasetPlan) -> Result<(), Error> {
    let key = &own.stream;
    session
        .execute(
            "record the strategy",
            "update milepost.datasets set strategy = $4 where platform = $1 and store = $2 and dataset = $3",
            &[
                (&key.platform, Type::TEXT),
                (&key.store, Type::TEXT),
                (&own.dataset, Type::TEXT),
                (&own.spec.strategy.name(), Type::TEXT),
            ],
        )
        .await?;
    if own.conversion == Some(Conversion::ToMilestoned) {
        closed::begin_history(session, key, &own.dataset, batch.time_us).await?;
    }
    Ok(())
}

/// Staging before merge table. The sink may not write between check and change; readers may read until the change.
fn exclusion(own: &DatasetPlan, spec: &milepost_job_spec::StreamSpec) -> String {
    let mut statements = Vec::new();
    for dataset in spec.datasets.iter().filter(|one| one.name == own.dataset) {
        for (table, mode) in [
            (&dataset.staging, "access exclusive"),
            (&dataset.merge, "share row exclusive"),
        ] {
            let is_converted = own.conversion.is_some() && *table == dataset.merge;
            if is_converted || own.retypes.iter().any(|retype| retype.table == *table) {
                statements.push(format!("lock table {} in {mode} mode", table.quoted()));
            }
        }
    }
    statements.join(";\n")
}

/// A table that belongs to somebody else, in words that say so.
fn explained(error: Error, own: &DatasetPlan) -> Error {
    if error.sqlstate() != Some("42501") {
        return error;
    }
    Error::Obstacle {
        what: format!(
            "dataset `{}` cannot be migrated: {}; nothing was changed",
            own.dataset,
            error.chain()
        ),
        remedy: "make the job's role the owner of the dataset's tables and views (`alter table … owner to …`), or grant it the role that owns them"
            .to_owned(),
    }
}
