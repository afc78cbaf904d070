//! How far a source is, and how far the connector and the merge have come with it.

use milepost_job_spec::SourcePosition;
use tokio_postgres::types::Type;

use super::judge::Delivery;
use crate::control::stream::Stream;
use crate::error::Error;
use crate::image::Source;
use crate::session::{Bound, Session};
use crate::sql;

/// How far the log of a source is written, or a standby has replayed it. None where it does not tell.
pub(super) async fn of_source(source: &Source) -> Option<i64> {
    let sql = "select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0'::pg_lsn)::text";
    let rows = source
        .script("read the position of the source", sql)
        .await
        .ok()?;
    rows.first()?.get(0)?.parse().ok()
}

/// The highest position of the source that is merged of any dataset of the store; none where rows do not say theirs.
pub(crate) async fn merged(session: &Session, stream: &Stream) -> Result<Option<i64>, Error> {
    if stream.spec.source != SourcePosition::Postgres {
        return Ok(None);
    }
    let key = &stream.spec.stream;
    let values: [Bound<'_>; 2] = [(&key.platform, Type::TEXT), (&key.store, Type::TEXT)];
    let sql = "select max(greatest(fence_commit, fence_row)) from milepost.positions where platform = $1 and store = $2";
    let rows = session
        .query("see how far the store is merged", sql, &values)
        .await?;
    Ok(rows.first().and_then(|row| row.get(0)))
}

/// Is the source behind what is merged? Then it is a standby that lags, a copy, or a restored backup, and its rows are old.
/// Ask before its snapshot is taken.
pub(crate) async fn is_older(source: &Source, merged: Option<i64>) -> bool {
    match (merged, of_source(source).await) {
        (Some(merged), Some(reached)) => merged > reached,
        _ => false,
    }
}

/// Whether the connector is known to have passed a position of the source, for these datasets.
pub(super) async fn delivery(
    session: &Session,
    source: &Source,
    stream: &Stream,
    datasets: &[&str],
    reached: Option<i64>,
) -> Result<Delivery, Error> {
    let Some(reached) = reached else {
        return Ok(Delivery::Unknown);
    };
    if stream.spec.source == SourcePosition::Postgres {
        let key = &stream.spec.stream;
        let values: [Bound<'_>; 4] = [
            (&key.platform, Type::TEXT),
            (&key.store, Type::TEXT),
            (&datasets, Type::TEXT_ARRAY),
            (&reached, Type::INT8),
        ];
        let sql = "select count(*) = 0 from unnest($3::text[]) d(name)\n \
              where not exists (select from milepost.positions p\n                    \
                                 where p.platform = $1 and p.store = $2 and p.dataset = d.name and p.fence_commit >= $4)";
        let rows = session
            .query("see how far the datasets are merged", sql, &values)
            .await?;
        if rows.first().is_some_and(|row| row.get(0)) {
            return Ok(Delivery::Passed);
        }
    }
    let Some(origin) = &stream.spec.origin else {
        return Ok(Delivery::Unknown);
    };
    let sql = format!(
        "select (confirmed_flush_lsn - '0/0'::pg_lsn >= {reached})::text from pg_replication_slots where slot_name = {}",
        sql::literal(&origin.slot)
    );
    let rows = source.script("ask the slot of the connector", &sql).await;
    let passed = rows.ok().and_then(|rows| {
        let row = rows.first()?;
        Some(row.get(0)? == "true")
    });
    Ok(match passed {
        Some(true) => Delivery::Passed,
        Some(false) => Delivery::Behind,
        None => Delivery::Unknown,
    })
}
