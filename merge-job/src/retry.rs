//! The only place that decides what follows from an error: whether to try again, with which exit code to end, and what
//! the operator should do next.

use milepost_job_spec::Outcome;

use crate::error::Error;
use crate::image::SourceError;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The whole step is safe to repeat at once: a lost connection, a deadlock, a lock that was not free in time.
    Again,
    /// The next scheduled run may succeed: the server is away.
    Later,
    /// Only a person can mend it.
    Stop,
}

/// Whether the step that failed is worth repeating.
#[must_use]
pub fn disposition(error: &Error) -> Disposition {
    match error {
        Error::Sql { source, .. } => match source.code().map(|code| code.code()) {
            // Serialization failure, deadlock, lock timeout.
            Some("40001" | "40P01" | "55P03") => Disposition::Again,
            // Shutdown, crash recovery, too many connections, cannot connect now.
            Some("57P01" | "57P02" | "57P03" | "53300") => Disposition::Later,
            Some(code) if code.starts_with("08") => Disposition::Again,
            Some(_) => Disposition::Stop,
            None => Disposition::Again,
        },
        Error::Source(error) => disposition_of_source(error),
        Error::Connect { .. } | Error::Silent { .. } | Error::Held(_) => Disposition::Later,
        Error::Commit { .. }
        | Error::LostErasure { .. }
        | Error::Disturbed(_)
        | Error::Uncounted(_)
        | Error::Outdated(_)
        | Error::Split(_) => Disposition::Again,
        Error::Usage(_)
        | Error::Read { .. }
        | Error::Spec { .. }
        | Error::Plan { .. }
        | Error::Login { .. }
        | Error::Stopped
        | Error::Migrate(_)
        | Error::UnknownStream(_)
        | Error::Publish(_)
        | Error::Shape { .. }
        | Error::Staged { .. }
        | Error::Obstacle { .. }
        | Error::Unordered { .. }
        | Error::Truncated { .. }
        | Error::Missing { .. }
        | Error::Findings(_)
        | Error::Output(_) => Disposition::Stop,
    }
}

/// Is a change of tables worth trying again at once? Beside lock timeout, deadlock and serialization failure there are the races
/// of catalog rows: two that create or alter the same thing.
pub(crate) fn gave_way(error: &Error) -> bool {
    let code = error.sqlstate();
    code.is_some_and(|code| matches!(code, "55P03" | "40P01" | "40001" | "23505" | "XX000"))
}

/// A source is read from its beginning again or not at all, so what may last is left to the next run.
fn disposition_of_source(error: &SourceError) -> Disposition {
    match error {
        SourceError::Failed { source, .. } => match source.code().map(|code| code.code()) {
            // Serialization failure (on a standby a conflict with recovery, too), deadlock.
            Some("40001" | "40P01") => Disposition::Again,
            // Who changes a table for so long that the lock was not free in time does it for a while.
            Some("55P03") => Disposition::Later,
            _ if lost(source) => Disposition::Later,
            _ => Disposition::Stop,
        },
        SourceError::Unreachable { .. } | SourceError::Silent { .. } => Disposition::Later,
        SourceError::Login { .. } | SourceError::Refused { .. } => Disposition::Stop,
    }
}

/// With which exit code a command ends that met this error.
#[must_use]
pub fn outcome(error: &Error) -> Outcome {
    match error {
        Error::Usage(_)
        | Error::Read { .. }
        | Error::Spec { .. }
        | Error::Plan { .. }
        | Error::Login { .. }
        | Error::Migrate(_)
        | Error::UnknownStream(_)
        | Error::Output(_) => Outcome::Usage,
        Error::Connect { .. }
        | Error::Silent { .. }
        | Error::Commit { .. }
        | Error::LostErasure { .. } => Outcome::Unreachable,
        Error::Sql { source, .. } if source.is_closed() || lost(source) => Outcome::Unreachable,
        Error::Source(SourceError::Unreachable { .. } | SourceError::Silent { .. }) => {
            Outcome::Unreachable
        }
        Error::Source(SourceError::Failed { source, .. }) if lost(source) => Outcome::Unreachable,
        Error::Source(SourceError::Login { .. }) => Outcome::Usage,
        Error::Held(_) | Error::Outdated(_) => Outcome::Held,
        Error::Stopped => Outcome::Stopped,
        Error::Sql { .. }
        | Error::Publish(_)
        | Error::Shape { .. }
        | Error::Staged { .. }
        | Error::Obstacle { .. }
        | Error::Unordered { .. }
        | Error::Truncated { .. }
        | Error::Missing { .. }
        | Error::Source(SourceError::Failed { .. } | SourceError::Refused { .. })
        | Error::Disturbed(_)
        | Error::Uncounted(_)
        | Error::Split(_)
        | Error::Findings(_) => Outcome::Findings,
    }
}

fn lost(source: &tokio_postgres::Error) -> bool {
    source.code().is_none_or(|code| {
        matches!(code.code(), "57P01" | "57P02" | "57P03" | "53300")
            || code.code().starts_with("08")
    })
}

/// What the operator should do next, as one sentence.
#[must_use]
pub fn hint(error: &Error) -> String {
    match error {
        Error::Usage(_) => "correct the call or the environment, then run it again".to_owned(),
        Error::Read { .. } => "check that the path is right and readable".to_owned(),
        Error::Spec { .. } | Error::Plan { .. } => {
            "render and publish with the release of milepost that runs the merge".to_owned()
        }
        Error::Connect { .. } | Error::Silent { .. } => {
            "check that the server runs and that host, port and database are right".to_owned()
        }
        Error::Login { .. } => {
            "check user and password of the platform's Postgres credential".to_owned()
        }
        Error::Sql { source, .. } => sql_hint(source.code().map(|code| code.code())).to_owned(),
        Error::LostErasure { .. } => {
            "run it again: nothing was changed, and an erasure may be run as often as you like"
                .to_owned()
        }
        Error::Commit { .. } => {
            "the next run finds out whether the batch was committed and goes on from there"
                .to_owned()
        }
        Error::Outdated(_) => "the next run takes the published spec".to_owned(),
        Error::Held(_) => "wait for the other run; the next schedule tries again".to_owned(),
        Error::Stopped => "run it again to go on".to_owned(),
        Error::Migrate(_) => "run `merge-job migrate`".to_owned(),
        Error::UnknownStream(_) => {
            "check the names, or render and publish the model with `merge-job publish`".to_owned()
        }
        Error::Publish(_) => "render the current model and publish that".to_owned(),
        Error::Shape { remedy, .. }
        | Error::Staged { remedy, .. }
        | Error::Obstacle { remedy, .. }
        | Error::Truncated { remedy, .. }
        | Error::Unordered { remedy, .. }
        | Error::Missing { remedy, .. } => remedy.clone(),
        Error::Source(error) => source_hint(error),
        Error::Disturbed(_) => {
            "find out who else writes to the merge table; only merge-job may".to_owned()
        }
        Error::Split(_) => "run it again".to_owned(),
        Error::Uncounted(_) => {
            "run it again: where `track_counts` is off from the start, nothing needs to be counted by the server".to_owned()
        }
        Error::Findings(_) => "see the list above".to_owned(),
        Error::Output(_) => "check the disk or the pipe that stdout goes to".to_owned(),
    }
}

fn source_hint(error: &SourceError) -> String {
    match error {
        SourceError::Unreachable { .. } | SourceError::Silent { .. } => {
            "check that the source runs and that `host`, `port` and `database` of the store are right"
        }
        SourceError::Login { .. } => "check user and password of the store's credential",
        SourceError::Refused { remedy, .. } => remedy,
        SourceError::Failed { source, .. } => match source.code().map(|code| code.code()) {
            Some("55P03") => {
                "another session changes a table at the source; the next run tries again"
            }
            Some("40001" | "40P01") => "the source gave way to others; the next run tries again",
            Some("57014") => {
                "the source cancelled the statement: see who did it, or which limit, then run again"
            }
            Some("42501") => {
                "at the source, grant what is missing to the role of the store's credential: docs/operations.md, \"A source whose tables are read\""
            }
            _ if lost(source) => "the source went away; the next run reads it anew",
            _ => "read the source's log at this time; nothing was changed",
        },
    }
    .to_owned()
}

/// By the whole SQLSTATE where one says more than its class does, else by class, of appendix A of PostgreSQL's manual.
fn sql_hint(code: Option<&str>) -> &'static str {
    let Some(code) = code else {
        return "the connection broke; the next run goes on where this one began";
    };
    exact_hint(code).unwrap_or_else(|| class_hint(code))
}

fn exact_hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "25006" => {
            "the server is read-only, perhaps a standby after a failover: correct host and port of the platform's Postgres"
        }
        "25P03" => {
            "the transaction stood idle too long: see why the job was held up, then run again"
        }
        "3D000" => "no such database: correct its name in the platform's `postgres`, or create it",
        "40001" | "40P01" | "55P03" => "another session held a lock; the next run tries again",
        "42501" => "grant the job's role what it lacks: docs/operations.md lists the grants",
        "42P01" | "3F000" => "run `merge-job migrate` and `merge-job publish`",
        "53100" => "the server's disk is full: free space, then run again; nothing was changed",
        "53200" => "the server ran out of memory: lower max-rows or work_mem, then run again",
        "53300" => "the server has no free connection: raise max_connections or lower parallelism",
        "57014" => "the statement was cancelled or timed out: see who cancelled it, then run again",
        "57P04" => "the database was dropped: restore it with schema `milepost` of the same moment",
        "58030" | "58P01" => {
            "the server cannot read or write its files: look at its disk and its log, then run again"
        }
        "XX001" | "XX002" => {
            "the server found damaged pages: restore what its log names, or `reindex` where it is an index; then `merge-job verify`"
        }
        _ => return None,
    })
}

fn class_hint(code: &str) -> &'static str {
    match code.get(..2).unwrap_or_default() {
        "08" | "57" => "the server went away; the next run goes on where this one began",
        "0A" => {
            "the server does not support it: PostgreSQL 15 or newer is needed, and a pooler in front of it has to pool by transaction or session"
        }
        "22" | "23" => {
            "a staged value does not fit its merge column: compare the model's types with the source's"
        }
        "25" | "26" | "34" | "3B" => {
            "the connection lost its transaction: a pooler in front of the server has to pool by transaction or session"
        }
        "28" => {
            "check user and password of the platform's Postgres credential, and its pg_hba.conf"
        }
        "2B" => "other objects depend on what was to go: the server's log names them",
        "42" => {
            "a name or type is not as it was published: `merge-job publish` tells what differs from the specs; a type of an extension needs that extension"
        }
        "53" => "the server is short of resources: its log says of which; then run again",
        "54" => {
            "a row or a statement is larger than the server takes: leave large columns out of the dataset, or shorten its key"
        }
        "55" => "somebody else works with the object: see who, then run again",
        "09" | "38" | "39" | "44" | "P0" => {
            "a trigger or rule on the table refused the row: find it (`\\d` in psql), and remove it; only merge-job writes to merge tables"
        }
        "58" | "F0" => "the server has trouble with its system: its log says which; then run again",
        "HV" => "a foreign table is in the way: merge tables are the server's own",
        "XX" => {
            "the server failed inside: report what its log says at this time; nothing was changed"
        }
        _ => "read the server's log at this time; nothing was changed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_stream_ends_with_75_and_nobody_retries_at_once() {
        let error = Error::Held("p/s".to_owned());
        assert_eq!(outcome(&error).code(), 75);
        assert_eq!(disposition(&error), Disposition::Later);
    }

    /// Every class of appendix A that an error can have, by one of its codes.
    const CLASSES: [&str; 32] = [
        "03000", "08006", "09000", "0A000", "0B000", "0F000", "0L000", "0P000", "20000", "21000",
        "22003", "23505", "24000", "25001", "26000", "27000", "28000", "2B000", "2D000", "34000",
        "38000", "39000", "3D000", "40001", "42601", "44000", "53000", "54000", "55006", "58000",
        "P0001", "XX000",
    ];

    #[test]
    fn every_class_of_failures_has_a_hint() {
        let general = class_hint("00000");
        // What our statements cannot bring about.
        let unheard_of = ["03", "0B", "0F", "0L", "0P", "20", "21", "24", "27", "2D"];
        for code in CLASSES {
            let hint = sql_hint(Some(code));
            assert!(hint.len() > 20, "{code}");
            let is_general = hint == general;
            assert_eq!(
                is_general,
                unheard_of.contains(&&code[..2]),
                "{code}: {hint}"
            );
        }
    }

    #[test]
    fn what_may_go_away_by_itself_says_so() {
        for code in ["40001", "40P01", "55P03", "57P01", "08006"] {
            assert!(sql_hint(Some(code)).contains("next run"), "{code}");
        }
        assert!(sql_hint(None).contains("next run"));
    }

    #[test]
    fn a_changed_table_is_a_finding_that_names_its_remedy() {
        let error = Error::Shape {
            table: "table `t`".to_owned(),
            difference: "column `a` is missing".to_owned(),
            remedy: "add it".to_owned(),
        };
        assert_eq!(outcome(&error).code(), 1);
        assert_eq!(hint(&error), "add it");
    }
}
