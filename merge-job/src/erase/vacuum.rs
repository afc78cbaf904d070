//! After an erasure: what was removed is still in the pages of tables, indexes and statistics until they are vacuumed.

use std::fmt::Write as _;

use tokio_postgres::types::Type;

use crate::erase::statement::Place;
use crate::error::Error;
use crate::session::Session;
use crate::sql::list;

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
        Ok(names) => {
            for name in names {
                let _ = writeln!(
                    text,
                    "statistics of {name} may have values until it has rows again and is analyzed: it is empty now"
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
async fn emptied(session: &Session, place: &Place<'_>) -> Result<Vec<String>, Error> {
    let dataset = place.dataset;
    let own = [&dataset.merge, dataset.live_table(), &dataset.staging];
    let mut names: Vec<String> = own
        .into_iter()
        .chain(&dataset.closed)
        .map(milepost_job_spec::TableRef::quoted)
        .collect();
    names.dedup();
    let is_empty: Vec<String> = names
        .iter()
        .map(|table| {
            format!(
                "select {name} where not exists (select from {table}) and exists (select from pg_catalog.pg_stats s\n  \
                   join pg_catalog.pg_class c on c.relname = s.tablename join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = s.schemaname\n \
                   where c.oid = {name}::regclass)",
                name = crate::sql::literal(table)
            )
        })
        .collect();
    let sql = is_empty.join("\nunion all\n");
    let rows = session
        .query("look for statistics of empty tables", &sql, &[])
        .await?;
    Ok(rows
        .iter()
        .map(|row| row.get::<_, String>(0).replace('"', ""))
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
    text
}
