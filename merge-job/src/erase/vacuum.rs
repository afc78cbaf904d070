//! After an erasure: what was removed is still in the pages of tables, indexes and statistics until they are vacuumed.

use std::fmt::Write as _;

use milepost_job_spec::TableRef;
use tokio_postgres::types::Type;

use crate::erase::statement::Place;
use crate::error::Error;
use crate::session::Session;
use crate::sql::{list, literal};

/// How long a vacuum waits for whoever works on a table's definition, or vacuums it.
const LOCK_TIMEOUT: &str = "set lock_timeout = '10s'";

/// Indexes are cleaned however few the dead rows are, for their entries have the key; statistics are made anew, for they have
/// values of rows.
const VACUUM: &str = "vacuum (analyze, index_cleanup on)";

/// Vacuums and analyzes the tables that an erasure touched, one by one; returns what could not be done, for a person.
///
/// What was erased is erased: a failure here is told and is none of the erasure's.
pub(crate) async fn vacuum(session: &Session, place: &Place<'_>) -> String {
    let tables = tables(place);
    let not_ours = match not_ours(session, &tables).await {
        Ok(not_ours) => not_ours,
        Err(error) => return format!("not vacuumed: {}\n", error.chain()),
    };
    let mut text = String::new();
    if !not_ours.is_empty() {
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "not vacuumed, since another role owns them: let the owner run `{VACUUM} {}`",
            list(not_ours.iter().cloned())
        );
    }
    let ours = tables.iter().filter(|own| !not_ours.contains(own));
    text.push_str(&vacuum_each(session, ours).await);
    match emptied(session, place).await {
        Ok(tables) => {
            for table in tables {
                let _ = writeln!(
                    text,
                    "statistics of {table} may have values until it has rows again and is analyzed: it is empty now"
                );
            }
        }
        Err(error) => {
            let _ = writeln!(text, "statistics were not looked at: {}", error.chain());
        }
    }
    text
}

/// Tables without a row that have statistics: an `analyze` that finds no row leaves the old ones.
async fn emptied<'a>(session: &Session, place: &Place<'a>) -> Result<Vec<&'a TableRef>, Error> {
    let dataset = place.dataset;
    let mut tables = vec![&dataset.merge, dataset.live_table(), &dataset.staging];
    tables.extend(&dataset.closed);
    // The live table is the merge table where there is no history.
    tables.dedup();
    let is_empty = tables.iter().map(|table| {
        let table = table.quoted();
        format!(
            "not exists (select from {table}) and exists (select from pg_catalog.pg_stats s\n  \
               join pg_catalog.pg_class c on c.relname = s.tablename\n  \
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = s.schemaname\n \
              where c.oid = {}::regclass)",
            literal(&table)
        )
    });
    let sql = format!("select {}", list(is_empty));
    let rows = session
        .query("look for statistics of empty tables", &sql, &[])
        .await?;
    let is_empty = |at: usize| rows.first().is_some_and(|row| row.get(at));
    let tables = tables.into_iter().enumerate();
    Ok(tables
        .filter(|(at, _)| is_empty(*at))
        .map(|(_, table)| table)
        .collect())
}

/// The tables, quoted: a partitioned one stands for its partitions.
fn tables(place: &Place<'_>) -> Vec<String> {
    let dataset = place.dataset;
    vec![
        dataset.merge.quoted(),
        dataset.staging.quoted(),
        "milepost.quarantine".to_owned(),
        "milepost.positions".to_owned(),
    ]
}

/// Those that this role may not vacuum: the server would pass over them with a warning.
async fn not_ours(session: &Session, tables: &[String]) -> Result<Vec<String>, Error> {
    let rows = session
        .query(
            "see whose the tables are",
            "select t.name from unnest($1::text[]) as t(name) join pg_catalog.pg_class c on c.oid = to_regclass(t.name)\n \
              where not pg_has_role(c.relowner, 'usage')",
            &[(&tables, Type::TEXT_ARRAY)],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn vacuum_each(session: &Session, tables: impl Iterator<Item = &String>) -> String {
    let mut text = String::new();
    if let Err(error) = session.script("bound the wait", LOCK_TIMEOUT).await {
        let _ = writeln!(text, "not vacuumed: {}", error.chain());
        return text;
    }
    for table in tables {
        let sql = format!("{VACUUM} {table}");
        if let Err(error) = session.script("vacuum a table", &sql).await {
            let _ = writeln!(
                text,
                "not vacuumed: {table}: {}; run `{sql}`",
                error.chain()
            );
        }
    }
    // The connection may be one of a pool.
    if let Err(error) = session.script("wait as before", "reset lock_timeout").await {
        tracing::debug!(error = %error.chain(), "the connection broke behind the vacuum");
    }
    text
}
