//! How far streams are: what the control tables say, and what waits in staging.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milepost_job_spec::{CONTROL_SCHEMA, StreamKey, StreamSpec, TableRef, staging};
use milepost_platform::plan::Plan;
use tokio_postgres::types::Type;

use super::postgres::{Session, value};
use super::{Answer, Trouble};

/// Waiting rows are counted up to here in each partition, in the index of their position: what is left to see is bounded.
pub(crate) const MOST_COUNTED: i64 = 10_000;
/// All probes of staging tables together stop after this.
const BUDGET: Duration = Duration::from_secs(20);

/// A stream of the control tables. Times are microseconds since 1970, of the server's clock.
#[derive(Debug, Clone)]
pub(crate) struct StreamFact {
    /// `never-run`, `healthy`, `waiting`, `snapshot` or `failed`.
    pub(crate) status: String,
    /// When a merge looked last, with or without news.
    pub(crate) checked_at: Option<i64>,
    pub(crate) batch_number: i64,
    /// The last batch that succeeded: when, and how many rows it took.
    pub(crate) batch_time: Option<i64>,
    pub(crate) batch_rows: Option<i64>,
    pub(crate) consecutive_failures: i32,
    /// The last batch that failed, also where others have succeeded since.
    pub(crate) failure: Option<FailureFact>,
    /// The source transaction that is not whole in staging, and since when.
    pub(crate) blocked_on: Option<String>,
    pub(crate) blocked_since: Option<i64>,
    pub(crate) open_quarantine: i64,
}

/// A failed batch in the words of the merge job.
#[derive(Debug, Clone)]
pub(crate) struct FailureFact {
    pub(crate) at: i64,
    pub(crate) error: String,
    pub(crate) hint: Option<String>,
}

/// A topic partition in a staging table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// The topic as the row has it: behind a router that is the table's name.
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The highest offset that is staged or merged: merged rows may leave staging.
    pub(crate) highest: i64,
    /// How many rows wait to be merged, counted up to one more than [`MOST_COUNTED`].
    pub(crate) waiting: i64,
    /// When the first of them was committed at its source.
    pub(crate) oldest: Option<i64>,
}

/// What waits for a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    /// Rows that wait; at least so many where `more`.
    pub(crate) rows: i64,
    /// Was one of the counts cut off?
    pub(crate) more: bool,
    /// When the first of them was committed at its source.
    pub(crate) since: Option<i64>,
}

/// What the database says of streams.
#[derive(Debug)]
pub(crate) struct StreamFacts {
    /// The server's clock when it was asked.
    pub(crate) now: i64,
    /// Those that were published and are wanted.
    pub(crate) streams: BTreeMap<StreamKey, StreamFact>,
    /// What is staged, by table.
    pub(crate) arrivals: BTreeMap<TableRef, Answer<Vec<Arrival>>>,
}

impl StreamFacts {
    /// What waits for a stream; none where a staging table did not answer.
    pub(crate) fn behind(&self, spec: &StreamSpec) -> Option<Behind> {
        let mut behind = Behind::default();
        for dataset in &spec.datasets {
            for arrival in self.arrivals.get(&dataset.staging)?.as_ref().ok()? {
                behind.rows += arrival.waiting.min(MOST_COUNTED);
                behind.more |= arrival.waiting > MOST_COUNTED;
                behind.since = [behind.since, arrival.oldest].into_iter().flatten().min();
            }
        }
        Some(behind)
    }
}

/// Asks the control tables, and every staging table of the plan.
pub(super) async fn examine(session: &Session, plan: &Plan) -> Answer<StreamFacts> {
    let platform = plan.index.platform.as_str();
    let (now, streams) = streams(session, platform).await?;
    let watermarks = watermarks(session, platform).await?;
    let begun = Instant::now();
    let mut arrivals = BTreeMap::new();
    for spec in plan.streams.values() {
        let of_datasets = spec
            .datasets
            .iter()
            .map(|dataset| (dataset.name.as_str(), &dataset.staging, true));
        // The control topic is of no dataset, and its rows have no time.
        let of_control = spec.transactions.iter().map(|table| ("", table, false));
        for (dataset, table, timed) in of_datasets.chain(of_control) {
            let answer = match begun.elapsed() < BUDGET {
                true => {
                    let known = watermarks
                        .get(&(spec.stream.store.clone(), dataset.to_owned()))
                        .map_or(&[][..], Vec::as_slice);
                    probe(session, table, known, timed).await
                }
                false => Err(Trouble::Unusable(format!(
                    "there are more staging tables than could be looked at in {} s",
                    BUDGET.as_secs()
                ))),
            };
            arrivals.insert(table.clone(), answer);
        }
    }
    Ok(StreamFacts {
        now,
        streams,
        arrivals,
    })
}

async fn streams(
    session: &Session,
    platform: &str,
) -> Answer<(i64, BTreeMap<StreamKey, StreamFact>)> {
    let now = session
        .row(
            "select (extract(epoch from clock_timestamp()) * 1000000)::bigint",
            &[],
        )
        .await?;
    let us = |column: &str| format!("(extract(epoch from {column}) * 1000000)::bigint");
    let sql = format!(
        "select v.store, v.dataset, v.status, {}, v.batch_number, {}, b.rows_staged, v.consecutive_failures,\n       \
                {}, v.last_error, v.last_hint, v.blocked_on, {}, v.open_quarantine\n  \
           from {CONTROL_SCHEMA}.stream_status v\n  \
           join {CONTROL_SCHEMA}.streams s\n    \
             on s.platform = v.platform and s.store = v.store and s.dataset is not distinct from v.dataset\n  \
           left join lateral (select b.rows_staged from {CONTROL_SCHEMA}.batches b\n    \
             where b.stream_id = s.id and b.status = 'succeeded' order by b.id desc limit 1) b on true\n \
          where v.platform = $1 and s.wanted",
        us("v.checked_at"),
        us("v.last_batch_time"),
        us("v.last_failed_at"),
        us("v.blocked_since"),
    );
    let mut streams = BTreeMap::new();
    for row in session.rows(&sql, &[(&platform, Type::TEXT)]).await? {
        let key = StreamKey {
            platform: platform.to_owned(),
            store: value(&row, 0)?,
            dataset: value(&row, 1)?,
        };
        let failed: Option<i64> = value(&row, 8)?;
        let error: Option<String> = value(&row, 9)?;
        let fact = StreamFact {
            status: value(&row, 2)?,
            checked_at: value(&row, 3)?,
            batch_number: value(&row, 4)?,
            batch_time: value(&row, 5)?,
            batch_rows: value(&row, 6)?,
            consecutive_failures: value(&row, 7)?,
            failure: match failed {
                Some(at) => Some(FailureFact {
                    at,
                    error: error.unwrap_or_default(),
                    hint: value(&row, 10)?,
                }),
                None => None,
            },
            blocked_on: value(&row, 11)?,
            blocked_since: value(&row, 12)?,
            open_quarantine: value(&row, 13)?,
        };
        streams.insert(key, fact);
    }
    Ok((value(&now, 0)?, streams))
}

/// Topic, partition, watermark.
type Watermark = (String, i32, i64);

/// How far partitions are merged, by store and dataset.
async fn watermarks(
    session: &Session,
    platform: &str,
) -> Answer<BTreeMap<(String, String), Vec<Watermark>>> {
    let sql = format!(
        "select store, dataset, topic, partition, watermark from {CONTROL_SCHEMA}.positions where platform = $1"
    );
    let mut found: BTreeMap<_, Vec<Watermark>> = BTreeMap::new();
    for row in session.rows(&sql, &[(&platform, Type::TEXT)]).await? {
        let key = (value(&row, 0)?, value(&row, 1)?);
        let watermark = (value(&row, 2)?, value(&row, 3)?, value(&row, 4)?);
        found.entry(key).or_default().push(watermark);
    }
    Ok(found)
}

async fn probe(
    session: &Session,
    table: &TableRef,
    known: &[Watermark],
    timed: bool,
) -> Answer<Vec<Arrival>> {
    let topics: Vec<&str> = known.iter().map(|(topic, ..)| topic.as_str()).collect();
    let partitions: Vec<i32> = known.iter().map(|(_, partition, _)| *partition).collect();
    let offsets: Vec<i64> = known.iter().map(|(.., offset)| *offset).collect();
    let rows = session
        .rows(
            &probe_sql(table, timed),
            &[
                (&topics, Type::TEXT_ARRAY),
                (&partitions, Type::INT4_ARRAY),
                (&offsets, Type::INT8_ARRAY),
            ],
        )
        .await?;
    let arrival = |row| {
        Ok(Arrival {
            topic: value(row, 0)?,
            partition: value(row, 1)?,
            highest: value(row, 2)?,
            waiting: value(row, 3)?,
            oldest: value(row, 4)?,
        })
    };
    rows.iter().map(arrival).collect()
}

/// The statement that looks at a staging table through its primary key: it skips from partition to partition, and in each
/// takes the highest offset, the first row above the watermark, and at most [`MOST_COUNTED`] and one entries.
fn probe_sql(table: &TableRef, timed: bool) -> String {
    use staging::{OFFSET, PARTITION, SOURCE_TS_US, TOPIC};
    let table = table.quoted();
    let here = format!("s.{TOPIC} = w.topic and s.{PARTITION} = w.part");
    let above = format!("{here} and s.{OFFSET} > w.watermark");
    let oldest = match timed {
        true => format!(
            "(select s.{SOURCE_TS_US} from {table} s where {above} order by s.{OFFSET} limit 1)"
        ),
        false => "null::bigint".to_owned(),
    };
    format!(
        "with recursive p(topic, part) as (\n  \
           (select {TOPIC}, {PARTITION} from {table} order by 1, 2 limit 1)\n  \
           union all\n  \
           select n.topic, n.part from p cross join lateral (\n    \
             select s.{TOPIC} as topic, s.{PARTITION} as part from {table} s\n     \
              where (s.{TOPIC}, s.{PARTITION}) > (p.topic, p.part) order by 1, 2 limit 1) n\n\
         ), w as (\n  \
           select topic, part, coalesce(k.watermark, -1) as watermark\n    \
             from p full join unnest($1::text[], $2::integer[], $3::bigint[]) as k(topic, part, watermark) using (topic, part)\n\
         )\n\
         select w.topic, w.part,\n       \
                greatest((select max(s.{OFFSET}) from {table} s where {here}), w.watermark),\n       \
                (select count(*) from (select 1 from {table} s where {above} limit {most}) c),\n       \
                {oldest}\n  \
           from w",
        most = MOST_COUNTED + 1,
    )
}
