//! After an erasure: what was removed is still in the pages of tables, indexes and statistics until they are vacuumed.

use std::fmt::Write as _;

use tokio_postgres::types::Type;

use crate::erase::statement::Place;
use crate::error::Error;
use crate::session::Session;
use crate::sql::list;

/// How long a vacuum waits for whoever works on a table's definition, or vacuums it.
const LOCK_TIMEOUT: &str = "set lock_timeout = '10s'";

/// Vacuums and analyzes the tables that an erasure touched, one by one; returns what could not be done, for a person.
///
/// Indexes are cleaned however few the dead rows are, for their entries have the key; statistics are made anew, for they have
/// values of rows. What was erased is erased: a failure here is told and is none of the erasure's.
pub(crate) async fn vacuum(session: &Session, place: &Place<'_>) -> String {
    let mut text = String::new();
    let tables = tables(place);
    match not_ours(session, &tables).await {
        Ok(not_ours) if not_ours.is_empty() => {}
        Ok(not_ours) => {
            let _ = writeln!(
                text,
                "not vacuumed, since another role owns them: let the owner run `vacuum (analyze, index_cleanup on) {}`",
                list(not_ours.iter().cloned())
            );
            return text
                + &vacuum_each(session, tables.iter().filter(|own| !not_ours.contains(own))).await;
        }
        Err(error) => {
            let _ = writeln!(text, "not vacuumed: {}", error.chain());
            return text;
        }
    }
    text + &vacuum_each(session, tables.iter()).await
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
        let sql = format!("vacuum (analyze, index_cleanup on) {table}");
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
