//! The beginning of a batch: lock the stream, read its progress.

use std::collections::BTreeSet;
use std::time::Instant;

use tokio_postgres::SimpleQueryRow;

use crate::batch::{Batch, Open};
use crate::control::position::{Deleted, Fence, Position, Recognised};
use crate::control::stream::{self, Stream};
use crate::error::Error;
use crate::session::Session;
use crate::staging::end;

/// The settings of a batch's transaction: casts must not depend on who runs it; the live tables are probed by index in
/// key order, which the planner would not choose (`reference/peer-merges.md`, section 1); a dead run's lock goes within
/// a minute.
pub(crate) const SETTINGS: &str = "set local standard_conforming_strings = on; set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; \
    set local intervalstyle = 'postgres'; set local bytea_output = 'hex'; set local extra_float_digits = 1; \
    set local search_path = pg_catalog, pg_temp; set local jit = off; set local work_mem = '256MB'; \
    set local enable_hashjoin = off; set local enable_mergejoin = off; \
    set local idle_in_transaction_session_timeout = '60s'; set local client_connection_check_interval = '10s'; \
    set local lock_timeout = '60s'";

/// What lets joins be of any kind again, for statements of a batch that are not of its usual path.
pub(crate) const JOIN_FREELY: &str =
    "set local enable_hashjoin = on; set local enable_mergejoin = on";

/// And back: see [`SETTINGS`].
pub(crate) const PROBE_IN_ORDER: &str =
    "set local enable_hashjoin = off; set local enable_mergejoin = off";

/// The most END events read for one batch, to bound the client's memory: what is beyond them waits for the next.
const MAX_ENDS: usize = 5000;

/// Begins the transaction, locks the stream and reads its progress, in one round trip.
///
/// What is locked: [`stream::lock()`].
pub(super) async fn open<'a>(
    session: &'a Session,
    stream: &'a Stream,
) -> Result<Batch<'a, Open>, Error> {
    let id = stream.id;
    let ends = stream.spec.transactions.as_ref().map_or_else(String::new, |table| {
        format!(
            "; select 'end', e.__connect_topic, e.__connect_partition::text, e.__connect_offset::text, e.payload\n  \
               from {table} e join milepost.streams s on s.id = {id}\n  \
               left join milepost.positions p on p.platform = s.platform and p.store = s.store and p.dataset = ''\n    \
                 and p.topic = e.__connect_topic and p.partition = e.__connect_partition\n \
              where e.__connect_offset > coalesce(p.watermark, -1) and e.payload like '%\"END\"%'\n \
              order by e.__connect_topic, e.__connect_partition, e.__connect_offset limit {MAX_ENDS}",
            table = table.quoted()
        )
    });
    let lock = stream::lock(id);
    let positions = positions(id);
    let script = format!(
        "begin; {SETTINGS};\n\
         {lock};\n\
         select 'stream', s.batch_number::text, (extract(epoch from clock_timestamp()) * 1000000)::bigint::text,\n       \
                (select (extract(epoch from max(d.last_batch_time)) * 1000000)::bigint::text from milepost.datasets d\n         \
                  where d.platform = s.platform and d.store = s.store and (s.dataset is null or d.dataset = s.dataset)),\n       \
                exists (select from milepost.quarantine q where q.platform = s.platform and q.store = s.store\n         \
                         and (s.dataset is null or q.dataset = s.dataset) and q.status = 'open')::text,\n       \
                case when s.wanted then s.spec_digest end, current_setting('track_counts')\n  \
           from milepost.streams s where s.id = {id};\n\
         {positions}{ends}"
    );
    let rows = session
        .script("lock the stream and read its progress", &script)
        .await
        .map_err(|error| stream::held(error, stream))?;
    let state = decode(stream, &rows)?;
    Ok(Batch {
        session,
        stream,
        started: Instant::now(),
        ranked: BTreeSet::new(),
        state,
    })
}

/// The query for the positions of a stream, which [`position()`] reads.
pub(crate) fn positions(stream: i64) -> String {
    format!(
        "select 'position', p.dataset, p.topic, p.partition::text, p.watermark::text, p.fence_commit::text,\n       \
                p.fence_row::text, p.fence_order::text, p.newest_source_ts_us::text,\n       \
                case when p.watermark_row ? 'image' then p.watermark_row::text end, p.watermark_row ->> 'fence_tx',\n       \
                p.watermark_row ->> 'staged', p.lowest_offset::text, p.lowest_row::text, p.watermark_row ->> 'appended',\n                \
                case when p.watermark_row ->> 'op' = 'd' then p.watermark_row ->> 'commit' end, p.watermark_row ->> 'row', p.watermark_row ->> 'tx'\n  \
           from milepost.positions p join milepost.streams s on p.platform = s.platform and p.store = s.store\n \
          where s.id = {stream} and (s.dataset is null or p.dataset = s.dataset)\n \
          order by p.dataset, p.topic, p.partition"
    )
}

fn decode(stream: &Stream, rows: &[SimpleQueryRow]) -> Result<Open, Error> {
    let mut state = Open {
        number: 0,
        previous_time_us: None,
        positions: Vec::new(),
        ends: None,
        end_topic: None,
        open_quarantine: false,
        counts_writes: false,
        replay: false,
        started_us: 0,
    };
    let mut locked = false;
    for row in rows {
        match row.get(0) {
            Some("lock") => locked = true,
            Some("stream") => {
                state.number = number(row, 1).unwrap_or(0) + 1;
                state.started_us = number(row, 2).unwrap_or(0);
                state.previous_time_us = number(row, 3);
                state.open_quarantine = row.get(4) == Some("true");
                state.counts_writes = row.get(6) == Some("on");
                if row.get(5) != Some(stream.digest.as_str()) {
                    return Err(Error::Outdated(stream.spec.stream.to_string()));
                }
            }
            Some("position") => {
                let position = position(row);
                if position.dataset.is_empty() {
                    state.ends.get_or_insert_default();
                    state.end_topic = Some(position);
                } else {
                    state.positions.push(position);
                }
            }
            Some("end") => {
                let offset = number(row, 3).unwrap_or(-1);
                let payload = row.get(4).unwrap_or("");
                let end = end::read(stream.spec.source, offset, payload).map_err(|source| Error::Staged {
                    what: format!(
                        "the transaction topic of `{}` holds at offset {offset} what is no transaction event ({:?} at line {}, column {})",
                        stream.spec.stream,
                        source.classify(),
                        source.line(),
                        source.column()
                    ),
                    remedy: "the sink of the transaction topic must write its messages unchanged; see the rendered Terraform"
                        .to_owned(),
                })?;
                let ends = state.ends.get_or_insert_default();
                ends.extend(end);
                state.end_topic.get_or_insert_with(|| {
                    Position::start(
                        "",
                        row.get(1).unwrap_or(""),
                        number(row, 2)
                            .and_then(|n| i32::try_from(n).ok())
                            .unwrap_or(0),
                    )
                });
            }
            _ => {}
        }
    }
    if locked {
        Ok(state)
    } else {
        Err(Error::UnknownStream(stream.spec.stream.to_string()))
    }
}

fn number(row: &SimpleQueryRow, column: usize) -> Option<i64> {
    row.get(column).and_then(|text| text.parse().ok())
}

fn json(row: &SimpleQueryRow, column: usize) -> Option<serde_json::Value> {
    row.get(column)
        .and_then(|text| serde_json::from_str(text).ok())
}

/// A position from a row of [`positions()`].
pub(crate) fn position(row: &SimpleQueryRow) -> Position {
    Position {
        dataset: row.get(1).unwrap_or("").to_owned(),
        topic: row.get(2).unwrap_or("").to_owned(),
        partition: number(row, 3)
            .and_then(|n| i32::try_from(n).ok())
            .unwrap_or(0),
        watermark: number(row, 4).unwrap_or(-1),
        fence: number(row, 5).map(|commit| Fence {
            commit,
            row: number(row, 6),
            order: number(row, 7),
        }),
        newest_source_ts_us: number(row, 8),
        deleted: number(row, 15).map(|commit| Deleted {
            commit,
            row: number(row, 16),
            transaction: row.get(17).map(str::to_owned),
        }),
        last_delete: row.get(9).map(str::to_owned),
        last_transaction: row.get(10).map(str::to_owned),
        recognised: json(row, 11).map(|at_watermark| Recognised {
            at_watermark,
            lowest: number(row, 12).zip(json(row, 13)),
        }),
        appended: row.get(14).and_then(|text| serde_json::from_str(text).ok()),
    }
}
