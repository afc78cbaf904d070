//! `merge-job trim-staging` and `trim-history`: what is kept for a time goes, while merges go on.
//!
//! Neither takes a row that a batch locks. Rows go in small transactions of their own, in order; a run that is killed
//! leaves whole ones, and the next goes on. What was removed for ever is written down in `milepost.retention`.

pub mod closed;
mod history;
pub mod staged;
mod staging;

pub use history::trim_history;
pub use staging::trim_staging;

use std::fmt;

use milepost_job_spec::{StreamKey, TableRef};
use tokio_postgres::types::Type;

use crate::control::stream::{self, Stream};
use crate::count::counted;
use crate::error::Error;
use crate::migrate;
use crate::session::Session;

/// What is trimmed: all published streams of the database, of a platform, or of a store.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only this platform.
    pub platform: Option<String>,
    /// Only this store of the platform.
    pub store: Option<String>,
}

/// Whether rows are removed, or only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Count, and change nothing.
    DryRun,
    /// Remove them.
    Write,
}

/// The steps of a run, in order. `MILEPOST_FAULT=<step>` makes a debug build abort before that step, as in a batch.
pub const STEPS: [&str; 5] = [
    "trim-lock",
    "trim-remove",
    "trim-commit",
    "trim-next",
    "trim-vacuum",
];
/// The same of a run that trims history.
pub const HISTORY_STEPS: [&str; 5] = [
    "history-horizon",
    "history-remove",
    "history-commit",
    "history-next",
    "history-vacuum",
];

/// What was removed, or would be.
#[derive(Debug)]
pub struct Trimmed {
    /// What is trimmed, for people: `staging`.
    what: &'static str,
    mode: Mode,
    /// Tables of which rows were removed, in order.
    pub tables: Vec<Table>,
    /// What went wrong, with its place: all else was trimmed.
    pub failures: Vec<(String, Error)>,
}

/// A table of which rows were removed.
#[derive(Debug)]
pub struct Table {
    /// Which one.
    pub table: TableRef,
    /// How many rows.
    pub removed: u64,
    /// What else there is to say.
    pub note: String,
}

impl Trimmed {
    const fn new(what: &'static str, mode: Mode) -> Self {
        Self {
            what,
            mode,
            tables: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn push(&mut self, table: &TableRef, removed: u64, note: String) {
        if removed > 0 {
            self.tables.push(Table {
                table: table.clone(),
                removed,
                note,
            });
        }
    }

    /// How many rows were removed.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.tables.iter().map(|table| table.removed).sum()
    }
}

impl fmt::Display for Trimmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match self.mode {
            Mode::Write => "is trimmed",
            Mode::DryRun => "would be trimmed",
        };
        let tables = u64::try_from(self.tables.len()).unwrap_or(u64::MAX);
        let (rows, tables) = (
            counted(self.removed(), "row", "rows"),
            counted(tables, "table", "tables"),
        );
        write!(f, "{} {done}: {rows} of {tables}", self.what)?;
        for table in &self.tables {
            let rows = counted(table.removed, "row", "rows");
            write!(f, "\n  {}: {rows}{}", table.table, table.note)?;
        }
        Ok(())
    }
}

/// The published streams of the scope. One whose spec or tables cannot be read is a failure, and stops no other.
async fn streams(
    session: &Session,
    scope: &Scope,
    trimmed: &mut Trimmed,
) -> Result<Vec<Stream>, Error> {
    migrate::require(session).await?;
    let rows = session
        .query(
            "read the published streams",
            "select platform, store, dataset from milepost.streams\n \
              where wanted and platform = coalesce($1, platform) and store = coalesce($2, store)\n \
              order by platform, store, dataset",
            &[(&scope.platform, Type::TEXT), (&scope.store, Type::TEXT)],
        )
        .await?;
    if let (true, Some(platform)) = (rows.is_empty(), &scope.platform) {
        let store = scope.store.iter().map(|store| format!("/{store}"));
        return Err(Error::UnknownStream(
            platform.clone() + &store.collect::<String>(),
        ));
    }
    let mut streams = Vec::new();
    for row in &rows {
        let key = StreamKey {
            platform: row.get("platform"),
            store: row.get("store"),
            dataset: row.get("dataset"),
        };
        match stream::load(session, &key).await {
            Ok(stream) => streams.push(stream),
            Err(error) if error.is_disconnect() => return Err(error),
            // It was retired in this moment.
            Err(Error::UnknownStream(_)) => {}
            Err(error) => trimmed.failures.push((format!("stream {key}"), error)),
        }
    }
    Ok(streams)
}

/// Ends a transaction whose work failed or not.
async fn end<T>(session: &Session, worked: Result<T, Error>) -> Result<T, Error> {
    let done = match worked {
        Ok(done) => done,
        Err(error) => {
            if !session.is_closed() {
                session.script("roll back a trim", "rollback").await?;
            }
            return Err(error);
        }
    };
    session.script("commit a trim", "commit").await?;
    Ok(done)
}

/// Lets the room of removed rows be used again, where it is worth reading the table for: where dead rows are more than a
/// tenth of those that stay. Less than that, later runs find more.
///
/// It waits for nobody and truncates nothing, for that takes a lock which keeps a sink waiting.
async fn vacuum(session: &Session, table: &TableRef, removed: u64) -> Result<(), Error> {
    let name = table.quoted();
    // Else the server counts the removed rows as dead after they were vacuumed.
    let flush = "select pg_catalog.pg_stat_force_next_flush()";
    session
        .script("tell the server what was removed", flush)
        .await?;
    let rows = session
        .query(
            "count the dead rows of a table",
            "select greatest(s.n_dead_tup, $2::bigint) * 10 >= greatest(s.n_live_tup, c.reltuples::bigint - $2::bigint)\n  \
               from pg_class c join pg_stat_all_tables s on s.relid = c.oid where c.oid = $1::text::regclass",
            &[
                (&name, Type::TEXT),
                (&i64::try_from(removed).unwrap_or(i64::MAX), Type::INT8),
            ],
        )
        .await?;
    if rows.first().is_some_and(|row| row.get(0)) {
        let sql = format!("vacuum (skip_locked, truncate false) {name}");
        session.script("vacuum a trimmed table", &sql).await?;
    }
    Ok(())
}
