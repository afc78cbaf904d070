//! The list of unused tables: what comes onto it, with an event, and what is taken from it.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use super::found::{self, Group, NAMED, Table};
use super::{Fate, LOCK, LOCK_PLANS, LOCK_TIMEOUT, Line, Mode, Report, Request, STEPS, end};
use crate::batch::abort_at;
use crate::error::Error;
use crate::session::Session;

/// When a listed table goes, for people; `$1` is the grace time in days.
pub(super) const UNTIL: &str = "to_char((unused_since + $1 * interval '1 day') at time zone 'UTC', 'YYYY-MM-DD HH24:MI \"UTC\"')";

/// Is its time over? `$1` is the grace time in days.
pub(super) const IS_DUE: &str = "clock_timestamp() >= unused_since + $1 * interval '1 day'";

/// A row of the list.
struct Listed {
    oid: u32,
    platform: String,
    until: String,
    is_due: bool,
}

/// Takes from the list what wanted streams have: in the transaction that wants it, so that its grace time begins anew if it
/// is retired again before the next look.
///
/// # Errors
/// [`Error::Sql`] if the statement fails.
pub async fn forget_wanted(session: &Session) -> Result<(), Error> {
    session
        .execute(
            "take tables that are used from the list",
            &format!(
                "with {NAMED} delete from milepost.unused_tables u using named w where w.wanted and (w.schema, w.name) = (u.schema, u.name)"
            ),
            &[],
        )
        .await
        .map(drop)
}

/// Makes the list what it should be, in one transaction; returns the groups whose time is over.
pub(super) async fn list(
    session: &Session,
    request: &Request,
    report: &mut Report,
) -> Result<Vec<Group>, Error> {
    abort_at(STEPS[0]);
    let begin = match request.mode {
        Mode::DryRun => "begin isolation level repeatable read read only".to_owned(),
        Mode::Write => format!(
            "begin; set local lock_timeout = {}; set local idle_in_transaction_session_timeout = '60s'; {LOCK}; {LOCK_PLANS}",
            LOCK_TIMEOUT.as_millis()
        ),
    };
    let due = match session
        .script("lock the list of unused tables", &begin)
        .await
    {
        Ok(_) => compare(session, request, report).await,
        Err(error) => Err(error),
    };
    let due = end(session, due).await.map_err(busy)?;
    abort_at(STEPS[1]);
    Ok(due)
}

/// A lock that was not free reads as what it is.
fn busy(error: Error) -> Error {
    if error.sqlstate() != Some("55P03") {
        return error;
    }
    Error::Obstacle {
        what: "a publish, or another removal of tables, went on for longer than we wait; nothing was changed".to_owned(),
        remedy: "run it again when that has ended".to_owned(),
    }
}

async fn compare(
    session: &Session,
    request: &Request,
    report: &mut Report,
) -> Result<Vec<Group>, Error> {
    let unused = found::read(session, request.platform.as_deref()).await?;
    let mut listed = read(session, request).await?;
    let mut due = Vec::new();
    for group in unused.groups {
        let mut all_due = true;
        let mut fates = Vec::new();
        for own in &group.tables {
            let name = own.table.to_string();
            let before = listed.remove(&name).filter(|before| before.oid == own.oid);
            all_due &= before.as_ref().is_some_and(|before| before.is_due);
            fates.push(match before {
                Some(before) => Fate::Waits(before.until),
                None => Fate::Listed(add(session, request, own).await?),
            });
        }
        if all_due {
            due.push(group);
        } else {
            for (own, fate) in group.tables.iter().zip(fates) {
                report.lines.push(line(own, fate));
            }
        }
    }
    for (own, foreign) in unused.kept {
        listed.remove(&own.table.to_string());
        forget(session, request, &own.table.to_string()).await?;
        report.lines.push(line(&own, Fate::Kept(foreign)));
    }
    for (name, before) in listed {
        if request
            .platform
            .as_ref()
            .is_some_and(|own| *own != before.platform)
        {
            continue;
        }
        forget(session, request, &name).await?;
        report.lines.push(Line {
            table: name,
            bytes: None,
            fate: Fate::Forgotten,
        });
    }
    Ok(due)
}

fn line(own: &Table, fate: Fate) -> Line {
    Line {
        table: own.table.to_string(),
        bytes: Some(own.bytes),
        fate,
    }
}

/// The list, by name.
async fn read(session: &Session, request: &Request) -> Result<BTreeMap<String, Listed>, Error> {
    let rows = session
        .query(
            "read the list of unused tables",
            &format!(
                "select schema || '.' || name as name, table_oid, platform, {UNTIL} as until, {IS_DUE} as is_due from milepost.unused_tables"
            ),
            &[(&f64::from(request.grace_days), Type::FLOAT8)],
        )
        .await?;
    let listed = rows.iter().map(|row| {
        let listed = Listed {
            oid: row.get("table_oid"),
            platform: row.get("platform"),
            until: row.get("until"),
            is_due: row.get("is_due"),
        };
        (row.get("name"), listed)
    });
    Ok(listed.collect())
}

/// Puts a table onto the list, and tells whoever watches the platform; returns until when it stays.
async fn add(session: &Session, request: &Request, own: &Table) -> Result<String, Error> {
    let days = f64::from(request.grace_days);
    if request.mode == Mode::DryRun {
        let sql =
            format!("select {UNTIL} as until from (select clock_timestamp() as unused_since) now");
        let rows = session
            .query("read the clock", &sql, &[(&days, Type::FLOAT8)])
            .await?;
        return Ok(rows
            .first()
            .map_or_else(String::new, |row| row.get("until")));
    }
    let dataset = own.dataset.as_ref();
    let store = dataset.map(|own| own.store.as_str());
    let name = dataset.map(|own| own.name.as_str());
    let rows = session
        .query(
            "list an unused table",
            &format!(
                "insert into milepost.unused_tables (schema, name, table_oid, platform, store, dataset, rows, bytes)\n\
                 values ($2, $3, $4, $5, $6, $7, $8, $9)\n\
                 on conflict (schema, name) do update set table_oid = excluded.table_oid, platform = excluded.platform, store = excluded.store,\n   \
                    dataset = excluded.dataset, rows = excluded.rows, bytes = excluded.bytes, unused_since = excluded.unused_since,\n   \
                    seen = excluded.seen\n\
                 returning {UNTIL} as until"
            ),
            &[
                (&days, Type::FLOAT8),
                (&own.table.schema.as_str(), Type::TEXT),
                (&own.table.name.as_str(), Type::TEXT),
                (&own.oid, Type::OID),
                (&own.platform, Type::TEXT),
                (&store, Type::TEXT),
                (&name, Type::TEXT),
                (&own.rows, Type::INT8),
                (&own.bytes, Type::INT8),
            ],
        )
        .await?;
    let until: String = rows
        .first()
        .map_or_else(String::new, |row| row.get("until"));
    let text = format!(
        "table `{}` is used by no published stream; it is removed after {until}",
        own.table
    );
    let hint = format!(
        "to keep it: publish a model that has it, or `comment on table {} is null`",
        own.table.quoted()
    );
    tell(session, own, "warning", &text, Some(&hint)).await?;
    Ok(until)
}

/// Takes a table from the list.
async fn forget(session: &Session, request: &Request, name: &str) -> Result<(), Error> {
    if request.mode == Mode::DryRun {
        return Ok(());
    }
    let sql = "delete from milepost.unused_tables where schema || '.' || name = $1";
    session
        .execute("take a table from the list", sql, &[(&name, Type::TEXT)])
        .await
        .map(drop)
}

/// Leaves a row for whoever watches the platform.
pub(super) async fn tell(
    session: &Session,
    own: &Table,
    severity: &str,
    text: &str,
    hint: Option<&str>,
) -> Result<(), Error> {
    let store = own.dataset.as_ref().map(|own| own.store.as_str());
    let dataset = own.dataset.as_ref().map(|own| own.name.as_str());
    session
        .execute(
            "tell what becomes of a table",
            "insert into milepost.events (platform, store, dataset, severity, message, hint) values ($1, $2, nullif($3, ''), $4, $5, $6)",
            &[
                (&own.platform, Type::TEXT),
                (&store, Type::TEXT),
                (&dataset, Type::TEXT),
                (&severity, Type::TEXT),
                (&text, Type::TEXT),
                (&hint, Type::TEXT),
            ],
        )
        .await
        .map(drop)
}
