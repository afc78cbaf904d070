//! `merge-job remove-unused-tables`: tables that no published stream has any more go, a time after somebody was told.
//!
//! `found` reads which tables of ours nobody wants; `list` writes them down, with an event, and takes from the list what
//! is wanted again; `remove` drops what was on the list for the grace time, a dataset after the other, each in a
//! transaction that looks again under its locks. Nothing is dropped by its name alone, and nothing with what reads it.

mod depends;
mod found;
mod list;
mod remove;

use std::fmt;
use std::time::Duration;

use milepost_job_spec::TableRef;
use tokio_postgres::types::Type;

use crate::count::{counted, size};
use crate::error::Error;
use crate::migrate;
use crate::session::Session;

pub use list::forget_wanted;

/// How long a table is on the list before it goes: longer than holidays, shorter than a disk takes to fill.
pub const DEFAULT_GRACE_DAYS: u32 = 7;

/// The steps of a run, in order: see [`crate::trim::STEPS`].
pub const STEPS: [&str; 8] = [
    "unused-list",
    "unused-listed",
    "unused-lock",
    "unused-look",
    "unused-drop",
    "unused-forget",
    "unused-commit",
    "unused-done",
];

/// So long a lock is waited for: a sink that writes, a publish, another run.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// One run at a time lists and drops: held to the end of a transaction. The number means nothing.
const LOCK: &str = "select pg_advisory_xact_lock(5714931846264119)";
/// Keeps publishes off, those of new platforms too: a table that one wants is seen, or wanted after it is gone.
const LOCK_PLANS: &str = "lock table milepost.plans in share mode";

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Request {
    /// Only tables of this platform.
    pub platform: Option<String>,
    /// How many days a table is on the list before it goes.
    pub grace_days: u32,
    /// Whether anything is changed.
    pub mode: Mode,
}

/// Whether tables are listed and dropped, or only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Change nothing.
    DryRun,
    /// List and drop.
    Write,
}

/// What became of a table, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is on the list since this run, and goes after this moment.
    Listed(String),
    /// It was on the list before, and goes after this moment.
    Waits(String),
    /// Rows were staged in it while it was on the list: its grace time begins again and ends at this moment.
    Written(String),
    /// It was dropped.
    Removed,
    /// It is on the list no more: it is used again, is gone, or is none of ours any more.
    Forgotten,
    /// Its time was over, and at that moment it was used again, or changed.
    Changed,
    /// It is not listed, since this table of its dataset is not ours to drop.
    Kept(TableRef),
}

/// A table, and what became of it.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its name, with its schema.
    pub table: String,
    /// How large it is; none where it is gone.
    pub bytes: Option<i64>,
    /// What became of it.
    pub fate: Fate,
}

/// What a run did, or would do.
#[derive(Debug)]
pub struct Report {
    mode: Mode,
    /// Tables that nobody uses, or that somebody uses again.
    pub lines: Vec<Line>,
    /// What could not be dropped, each with its place: all else was.
    pub failures: Vec<(String, Error)>,
}

/// Lists the tables that no published stream has, and drops those that were listed for the grace time.
///
/// # Errors
/// [`Error::UnknownStream`] if nothing is published for the platform; [`Error::Migrate`] without control tables;
/// [`Error::Held`] if a publish or another run holds what is needed. A table that cannot be dropped is no error here: see
/// [`Report::failures`].
pub async fn remove_unused_tables(session: &Session, request: &Request) -> Result<Report, Error> {
    migrate::require(session).await?;
    if let Some(platform) = &request.platform {
        require_platform(session, platform).await?;
    }
    let mut report = Report {
        mode: request.mode,
        lines: Vec::new(),
        failures: Vec::new(),
    };
    for due in list::list(session, request, &mut report).await? {
        match remove::remove(session, &due, request).await {
            Ok(fates) => report.push(&due, &fates),
            Err(error) if error.is_disconnect() => return Err(error),
            Err(error) => {
                let place = due.tables.first().map(|own| own.table.to_string());
                report
                    .failures
                    .push((format!("remove {}", place.unwrap_or_default()), error));
            }
        }
    }
    Ok(report)
}

async fn require_platform(session: &Session, platform: &str) -> Result<(), Error> {
    let rows = session
        .query(
            "look for the platform",
            "select from milepost.streams where platform = $1 limit 1",
            &[(&platform, Type::TEXT)],
        )
        .await?;
    if rows.is_empty() {
        return Err(Error::UnknownStream(platform.to_owned()));
    }
    Ok(())
}

impl Report {
    fn push(&mut self, group: &found::Group, fate: &Fate) {
        let line = |own: &found::Table| Line {
            table: own.table.to_string(),
            bytes: Some(own.bytes),
            fate: fate.clone(),
        };
        self.lines.extend(group.tables.iter().map(line));
    }

    /// How many tables had such a fate.
    fn count(&self, is: impl Fn(&Fate) -> bool) -> usize {
        self.lines.iter().filter(|line| is(&line.fate)).count()
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(until) => {
                write!(f, "no published stream has it; it is removed after {until}")
            }
            Self::Waits(until) => write!(f, "waits; it is removed after {until}"),
            Self::Written(until) => write!(
                f,
                "rows were staged since it was listed, so something still writes to it; it is removed after {until}"
            ),
            Self::Removed => write!(f, "removed"),
            Self::Forgotten => write!(
                f,
                "taken from the list: it is used again, is gone, or is none of ours any more"
            ),
            Self::Changed => write!(f, "stays: it was used again, or changed, at this moment"),
            Self::Kept(table) => write!(
                f,
                "no published stream has it; it stays, since `{table}` of its dataset is not ours to drop"
            ),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = match self.mode {
            Mode::Write => "",
            Mode::DryRun => " would be",
        };
        let removed = self.lines.iter().filter(|line| line.fate == Fate::Removed);
        let bytes: i64 = removed.filter_map(|line| line.bytes).sum();
        let count = |count: usize| i128::try_from(count).unwrap_or(i128::MAX);
        write!(
            f,
            "{}{would} removed ({}), {} listed; {} on the list",
            counted(
                count(self.count(|fate| *fate == Fate::Removed)),
                "unused table",
                "unused tables"
            ),
            size(bytes),
            self.count(|fate| matches!(fate, Fate::Listed(_))),
            self.count(|fate| matches!(fate, Fate::Listed(_) | Fate::Waits(_) | Fate::Written(_))),
        )?;
        for line in &self.lines {
            let bytes = line.bytes.map(|bytes| format!("{}, ", size(bytes)));
            write!(
                f,
                "\n  {}: {}{}",
                line.table,
                bytes.unwrap_or_default(),
                line.fate
            )?;
        }
        Ok(())
    }
}

/// Ends a transaction whose work failed or not.
async fn end<T>(session: &Session, worked: Result<T, Error>) -> Result<T, Error> {
    match worked {
        Ok(done) => {
            session
                .script("commit the removal of tables", "commit")
                .await?;
            Ok(done)
        }
        Err(error) => {
            if !session.is_closed() {
                session
                    .script("roll back the removal of tables", "rollback")
                    .await?;
            }
            Err(error)
        }
    }
}
