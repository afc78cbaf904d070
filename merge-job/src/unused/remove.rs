//! The tables of a dataset go, and what control rows say of it with them, in one transaction that looks again under locks.

use tokio_postgres::types::Type;

use super::depends::{refusal, refuse_read};
use super::found::{self, Dataset, Group, Table};
use super::list::{IS_DUE, UNTIL, tell};
use super::{Fate, LOCK, LOCK_PLANS, LOCK_TIMEOUT, Mode, Request, STEPS, end};
use crate::batch::abort_at;
use crate::error::Error;
use crate::retry;
use crate::session::{Bound, Session};
use crate::sql;
use crate::tables::Patience;

/// How many transactions there are before a number comes again.
const WRAP: i64 = 1 << 32;
/// Whether names resolve must not depend on who runs it.
const PATH: &str = "set local search_path = pg_catalog, pg_temp";

/// Drops a group whose time is over, unless rows were staged since it was listed; tries again where somebody used it.
pub(super) async fn remove(
    session: &Session,
    group: &Group,
    request: &Request,
) -> Result<Fate, Error> {
    // Without a lock first, so that a sink that goes on writing waits for nothing.
    let begin = match request.mode {
        Mode::DryRun => "begin read only",
        Mode::Write => "begin",
    };
    session
        .script("begin to look for staged rows", begin)
        .await?;
    if let Some(until) = end(session, restarted(session, group, request).await).await? {
        return Ok(Fate::Written(until));
    }
    if request.mode == Mode::DryRun {
        return refuse_read(session, group).await.map(|()| Fate::Removed);
    }
    let patience = Patience::default();
    let mut pause = patience.first_pause;
    for attempt in 1.. {
        abort_at(STEPS[2]);
        let error = match end(session, attempted(session, group, request).await).await {
            Ok(fate) => {
                abort_at(STEPS[7]);
                return Ok(fate);
            }
            Err(error) => error,
        };
        let is_busy = matches!(error, Error::Held(_)) || retry::gave_way(&error);
        if !is_busy || attempt >= patience.attempts {
            return Err(told(error, group));
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    unreachable!("the loop ends by returning")
}

/// One transaction. First the tables, so that nothing is read from them or written to them any more; then the plans, and
/// then the control rows, as a batch takes them and without waiting: who holds those may wait for the tables.
async fn attempted(session: &Session, group: &Group, request: &Request) -> Result<Fate, Error> {
    let names = sql::list(group.tables.iter().map(|own| own.table.quoted()));
    let begin = format!(
        "begin; set local lock_timeout = {}; set local idle_in_transaction_session_timeout = '60s'; {PATH}; {LOCK}; \
         lock table {names} in access exclusive mode",
        LOCK_TIMEOUT.as_millis()
    );
    match session.script("lock unused tables", &begin).await {
        Ok(_) => {}
        // It is gone already.
        Err(error) if error.sqlstate() == Some("42P01") => {
            session
                .script("end the look at a table", "rollback; begin")
                .await?;
            return Ok(Fate::Changed);
        }
        Err(error) => return Err(error),
    }
    abort_at(STEPS[3]);
    if let Some(until) = restarted(session, group, request).await? {
        return Ok(Fate::Written(until));
    }
    session
        .script("lock the published plans", LOCK_PLANS)
        .await?;
    if let Some(dataset) = &group.dataset {
        hold(session, dataset).await?;
    }
    if !is_unused_still(session, group, request).await? {
        return Ok(Fate::Changed);
    }
    refuse_read(session, group).await?;
    abort_at(STEPS[4]);
    session
        .script("drop unused tables", &format!("drop table {names}"))
        .await
        .map_err(|error| match error.sqlstate() {
            Some("2BP01") => refusal(
                group,
                &format!("`drop table {names}` in psql names it"),
                "drop what reads it, then run this again",
            ),
            _ => error,
        })?;
    abort_at(STEPS[5]);
    forget(session, group).await?;
    abort_at(STEPS[6]);
    Ok(Fate::Removed)
}

/// Takes the control rows of the dataset, as batches take them: no run works with it, and none begins to.
async fn hold(session: &Session, dataset: &Dataset) -> Result<(), Error> {
    let label = "lock the retired stream";
    let of = dataset.values();
    for sql in [
        "select from milepost.streams where platform = $1 and store = $2 and not wanted and (dataset is null or dataset = $3)\n \
          order by id for no key update nowait",
        "select from milepost.datasets where platform = $1 and store = $2 and dataset = $3 for no key update nowait",
    ] {
        session.query(label, sql, &of).await.map_err(|error| {
            if error.sqlstate() == Some("55P03") {
                Error::Held(dataset.to_string())
            } else {
                error
            }
        })?;
    }
    Ok(())
}

/// Under the locks: are these the tables that were listed, still ours, and wanted by no stream?
async fn is_unused_still(
    session: &Session,
    group: &Group,
    request: &Request,
) -> Result<bool, Error> {
    let unused = found::read(session, request.platform.as_deref()).await?;
    if !unused.groups.iter().any(|now| now.is(group)) {
        return Ok(false);
    }
    let oids: Vec<u32> = group.tables.iter().map(|own| own.oid).collect();
    let rows = session
        .query(
            "read the list of unused tables",
            &format!("select from milepost.unused_tables where table_oid = any($2) and {IS_DUE}"),
            &[
                (&f64::from(request.grace_days), Type::FLOAT8),
                (&oids, Type::OID_ARRAY),
            ],
        )
        .await?;
    Ok(rows.len() == oids.len())
}

/// Begins the grace time again if a row was staged since a table of the group was listed; returns when it ends.
///
/// A row says which transaction wrote it, also where it took the place of another one or came in below the highest
/// offset. Each table is read once for that, at the end of its life.
async fn restarted(
    session: &Session,
    group: &Group,
    request: &Request,
) -> Result<Option<String>, Error> {
    let mut until = None;
    for own in group.tables.iter().filter(|own| own.is_staged) {
        if is_written(session, own).await? {
            until = restart(session, group, own, request).await?;
            break;
        }
    }
    Ok(until)
}

async fn is_written(session: &Session, own: &Table) -> Result<bool, Error> {
    // Numbers of transactions in rows have 32 bits: their age tells the rest. A row that is older than the counter's
    // round may look young, and have the table stay for longer.
    let sql = format!(
        "select from {} r, (select seen, pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next\n         \
                              from milepost.unused_tables where table_oid = $1) l\n \
          where not pg_visible_in_snapshot(greatest(3, l.next - (l.next + {WRAP} - r.xmin::text::bigint) % {WRAP})::text::xid8, l.seen) limit 1",
        own.table.quoted()
    );
    match session
        .query(
            "see whether rows were staged",
            &sql,
            &[(&own.oid, Type::OID)],
        )
        .await
    {
        Ok(rows) => Ok(!rows.is_empty()),
        // What is gone is found to be gone under the lock.
        Err(error) if error.sqlstate() == Some("42P01") => Ok(false),
        Err(error) => Err(error),
    }
}

async fn restart(
    session: &Session,
    group: &Group,
    own: &Table,
    request: &Request,
) -> Result<Option<String>, Error> {
    let days = f64::from(request.grace_days);
    let oids: Vec<u32> = group.tables.iter().map(|own| own.oid).collect();
    let sql = match request.mode {
        Mode::Write => format!(
            "update milepost.unused_tables set unused_since = default, seen = default where table_oid = any($2) returning {UNTIL} as until"
        ),
        Mode::DryRun => format!(
            "select {UNTIL} as until from (select clock_timestamp() as unused_since where $2::oid[] is not null) now"
        ),
    };
    let values = [(&days as _, Type::FLOAT8), (&oids as _, Type::OID_ARRAY)];
    let rows = session
        .query("begin the grace time again", &sql, &values)
        .await?;
    let until: String = rows
        .first()
        .map_or_else(String::new, |row| row.get("until"));
    if request.mode == Mode::Write {
        let text = format!(
            "rows were staged in table `{}`, which no published stream has, since it was listed; it is removed after {until}",
            own.table
        );
        let hint = "something still writes to it, most often the sink connector of a dataset that left the model: remove it from Kafka Connect";
        tell(session, own, "warning", &text, Some(hint)).await?;
    }
    Ok(Some(until))
}

/// What control rows say of the dataset goes with its tables: with a watermark left behind, a dataset that is published
/// again would begin its new, empty table in the middle.
async fn forget(session: &Session, group: &Group) -> Result<(), Error> {
    if let Some(dataset) = &group.dataset {
        for table in ["positions", "quarantine", "retention", "datasets"] {
            let sql = format!(
                "delete from milepost.{table} where platform = $1 and store = $2 and dataset = $3"
            );
            session
                .execute("forget what was merged", &sql, &dataset.values())
                .await?;
        }
    }
    let oids: Vec<u32> = group.tables.iter().map(|own| own.oid).collect();
    let sql = "delete from milepost.unused_tables where table_oid = any($1)";
    session
        .execute(
            "take tables from the list",
            sql,
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    for own in &group.tables {
        let text = format!(
            "table `{}` was removed ({} bytes): no published stream had it",
            own.table, own.bytes
        );
        tell(session, own, "info", &text, None).await?;
    }
    Ok(())
}

/// A lock that was never free is told as what it is.
fn told(error: Error, group: &Group) -> Error {
    if error.sqlstate() != Some("55P03") {
        return error;
    }
    refusal(
        group,
        "somebody uses it, or a publish goes on, and it was waited for in vain",
        "end the transaction that stands against it (pg_locks, pg_stat_activity: often one that is idle in transaction); the next run tries again",
    )
}

impl Dataset {
    fn values(&self) -> [Bound<'_>; 3] {
        [
            (&self.platform, Type::TEXT),
            (&self.store, Type::TEXT),
            (&self.name, Type::TEXT),
        ]
    }
}

impl std::fmt::Display for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.platform, self.store)?;
        if self.name.is_empty() {
            return Ok(());
        }
        write!(f, "#{}", self.name)
    }
}
