//! `merge-job migrate`: the control schema, one numbered step after the other.

pub use milepost_job_spec::CONTROL_VERSION;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::session::Session;

/// The steps in order; a step's number is its place, from 1. A released step never changes.
const STEPS: [&str; 7] = [
    include_str!("migrations/0001_control.sql"),
    include_str!("migrations/0002_whole_engine.sql"),
    include_str!("migrations/0003_topics.sql"),
    include_str!("migrations/0004_history.sql"),
    include_str!("migrations/0005_erasures.sql"),
    include_str!("migrations/0006_rebuild.sql"),
    include_str!("migrations/0007_unused.sql"),
];

/// Serialises concurrent migrations: held to the end of the transaction. The number means nothing.
const LOCK: &str = "select pg_advisory_xact_lock(5714931846264118)";

/// Brings the control schema to this release's version; returns how many steps were taken.
///
/// Each step is one transaction with its version row, so a crash leaves whole steps.
///
/// # Errors
/// [`Error::Sql`] if a step fails; [`Error::Migrate`] if the schema is newer than this release.
pub async fn migrate(session: &Session) -> Result<usize, Error> {
    session
        .script(
            "create the control schema",
            &format!(
                "begin; {LOCK};
                 do $$ begin
                     -- `if not exists` asks for the right to create schemas even where there is nothing to create.
                     if to_regnamespace('milepost') is null then create schema milepost; end if;
                 end $$;
                 create table if not exists milepost.schema_version (
                     version integer primary key, applied_at timestamptz not null default clock_timestamp());
                 commit"
            ),
        )
        .await?;
    let mut taken = 0;
    for (step, number) in STEPS.iter().zip(1_i32..) {
        session
            .script("begin a migration", &format!("begin; {LOCK}"))
            .await?;
        match take(session, step, number).await {
            Ok(done) => {
                session.script("commit a migration", "commit").await?;
                taken += usize::from(done);
            }
            Err(error) => {
                session.script("roll back a migration", "rollback").await?;
                return Err(error);
            }
        }
    }
    Ok(taken)
}

async fn take(session: &Session, step: &str, number: i32) -> Result<bool, Error> {
    let current = version(session).await?;
    if current > CONTROL_VERSION {
        return Err(newer(current));
    }
    if current >= number {
        return Ok(false);
    }
    session.script("migrate the control schema", step).await?;
    session
        .execute(
            "record the migration",
            "insert into milepost.schema_version (version) values ($1)",
            &[(&number, Type::INT4)],
        )
        .await?;
    Ok(true)
}

async fn version(session: &Session) -> Result<i32, Error> {
    let rows = session
        .query(
            "read the version of the control schema",
            "select coalesce(max(version), 0) from milepost.schema_version",
            &[],
        )
        .await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

fn newer(current: i32) -> Error {
    Error::Migrate(format!(
        "the control schema has version {current}, this release knows {CONTROL_VERSION}: \
         use the release that migrated it"
    ))
}

/// Stops a command whose database has no control schema, or one of another version.
///
/// # Errors
/// [`Error::Migrate`] with what was found.
pub async fn require(session: &Session) -> Result<(), Error> {
    match version(session).await {
        Ok(current) if current == CONTROL_VERSION => Ok(()),
        Ok(current) if current > CONTROL_VERSION => Err(newer(current)),
        Ok(current) => Err(Error::Migrate(format!(
            "the control schema has version {current}, this release needs {CONTROL_VERSION}"
        ))),
        Err(Error::Sql { source, .. })
            if source
                .code()
                .is_some_and(|code| matches!(code.code(), "42P01" | "3F000")) =>
        {
            Err(Error::Migrate(
                "the database has no control schema".to_owned(),
            ))
        }
        Err(error) => Err(error),
    }
}
