//! The rows of merge tables against those of their source.
//!
//! ```text
//! look at all rows, by ranges of keys ─→ wait ─→ look again at the keys that differed ─→ judge
//! ```
//!
//! A merge table is behind its source by what is under way, so a row that differs proves nothing. What still differs, and in
//! the same way, after everything has had time to arrive is no lag: see [`Verdict`]. Each look reads the merge table first and
//! the source after it, each in one snapshot, so the table is never ahead of what it is compared with, if the source is the
//! one that the connector reads.
//!
//! `digest` sums up ranges of keys on both sides, so that rows travel only where sums differ; `rows` compares those, typed as
//! the merge types them; `look` does both, and `difference` is what it finds; `staged` finds events that wait, `position` says
//! who is how far; `judge` and `plan` are pure.

mod difference;
mod digest;
mod judge;
mod look;
mod note;
mod plan;
pub(crate) mod position;
mod rows;
mod staged;

use std::collections::BTreeMap;
use std::time::Duration;

use milepost_job_spec::{DatasetSpec, Input, SourcePosition, StreamKey, TableRef};
use tokio_postgres::types::Type;

use crate::control::stream::Stream;
use crate::error::Error;
use crate::image::Source;
use crate::session::Session;

pub use difference::{Difference, Kind};
pub use judge::{Delivery, Verdict};
pub(crate) use look::{by_keys, key_columns};
pub use note::Note;
pub use plan::{DatasetPlan, Plan};
pub(crate) use rows::source_table;
pub(crate) use staged::events as staged_events;

/// For how long a row has to differ, in the same way, before it is taken for more than lag.
pub const DEFAULT_SETTLE: Duration = Duration::from_secs(30);

/// How many times as long a connector is waited for, if its slot says that it has not passed what was read: it tells the slot
/// once a minute.
const PATIENCE: u32 = 5;

/// How often the slot is asked meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

/// The most rows of a dataset that are compared one by one: their keys are in the client's memory.
pub const MAX_DIFFERENCES: usize = 10_000;

/// What to do where more rows differ.
pub(crate) const TOO_MANY: &str = "so many rows are no accident of single events: look whether it is the right source; then take a \
     new snapshot with `resnapshot: heal`, or `merge-job rebuild --from source`";

/// What a comparison of a dataset came to.
#[derive(Debug, Clone)]
pub struct Compared {
    /// Its stream.
    pub stream: StreamKey,
    /// The dataset.
    pub dataset: DatasetSpec,
    /// What was found.
    pub outcome: Outcome,
}

/// How it ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Rows were compared.
    Compared {
        /// How many live rows the merge table has.
        rows: u64,
        /// What became of those that differed.
        verdict: Verdict,
    },
    /// More than [`MAX_DIFFERENCES`] rows differ.
    TooMany,
    /// They cannot be compared, and why.
    Skipped(&'static str),
}

/// Compares the datasets of streams, those of the name if one is given, with their source.
///
/// # Errors
/// [`Error::Usage`] if a stream has no source that can be read; else what either database refuses.
pub async fn compare(
    session: &Session,
    streams: &[Stream],
    dataset: Option<&str>,
    settle: Duration,
) -> Result<Vec<Compared>, Error> {
    let mut all = Vec::new();
    for stream in streams {
        all.extend(compare_stream(session, stream, dataset, settle).await?);
    }
    Ok(all)
}

/// Connects to the source of a stream.
///
/// # Errors
/// [`Error::Usage`] where nobody can read it, or nothing says where it is; what the source refuses.
pub(crate) async fn connect(stream: &Stream) -> Result<Source, Error> {
    let spec = &stream.spec;
    let database = match (&spec.input, &spec.origin) {
        (Input::Image(database), _) => Some(database),
        (Input::Events, Some(origin)) => Some(&origin.database),
        (Input::Events, None) if spec.source == SourcePosition::Postgres => None,
        (Input::Events, None) => {
            return Err(Error::Usage(format!(
                "rows are compared with sources that are Postgres, and that of stream `{}` is another",
                spec.stream
            )));
        }
    };
    Source::connect(database).await
}

/// The stream as it is compared: its columns are text, by the source's own names, and may be null where they may in the table.
///
/// Plans of earlier versions have no table of the source, only the name by which events of a Postgres call it.
pub(crate) fn as_read(stream: &Stream) -> Stream {
    let mut stream = stream.clone();
    for dataset in &mut stream.spec.datasets {
        let added = stream.catalog.nullable_columns(dataset);
        for column in &mut dataset.columns {
            column.nullable |= added.contains(&column.name);
            column.staged_as = column.name.clone();
            "text".clone_into(&mut column.staging_type);
            column.placeholder = None;
        }
        if dataset.source_table.is_none() {
            dataset.source_table = named(&dataset.source_name);
        }
    }
    stream
}

fn named(source_name: &str) -> Option<TableRef> {
    let (schema, name) = source_name.split_once('.')?;
    Some(TableRef {
        schema: schema.parse().ok()?,
        name: name.parse().ok()?,
    })
}

async fn compare_stream(
    session: &Session,
    stream: &Stream,
    dataset: Option<&str>,
    settle: Duration,
) -> Result<Vec<Compared>, Error> {
    let progress = Progress::read(session, stream).await?;
    let mut outcomes = BTreeMap::new();
    let mut open = Vec::new();
    for own in as_read(stream).spec.datasets {
        if dataset.is_some_and(|name| name != own.name) {
            continue;
        }
        match progress.forbids(stream, &own) {
            Some(why) => {
                outcomes.insert(own.name, Outcome::Skipped(why));
            }
            None => open.push(own),
        }
    }
    if !open.is_empty() {
        let source = connect(stream).await?;
        let found = look_twice(session, &source, stream, &open, settle).await?;
        outcomes.extend(open.into_iter().map(|own| own.name).zip(found));
    }
    let mut of = |own: &DatasetSpec| {
        Some(Compared {
            stream: stream.spec.stream.clone(),
            dataset: own.clone(),
            outcome: outcomes.remove(&own.name)?,
        })
    };
    Ok(stream.spec.datasets.iter().filter_map(&mut of).collect())
}

/// The outcome of each of the datasets.
async fn look_twice(
    session: &Session,
    source: &Source,
    stream: &Stream,
    datasets: &[DatasetSpec],
    settle: Duration,
) -> Result<Vec<Outcome>, Error> {
    let first = look::by_ranges(session, source, datasets).await?;
    let reached = position::of_source(source).await;
    let mut keys = BTreeMap::new();
    for (place, found) in first.iter().enumerate() {
        if let look::Found::Rows { differences, .. } = found
            && !differences.is_empty()
        {
            keys.insert(place, differences.as_slice());
        }
    }
    let mut delivery = Delivery::default();
    let mut second = None;
    if !keys.is_empty() {
        let names: Vec<&str> = keys.keys().map(|&at| datasets[at].name.as_str()).collect();
        delivery = wait(session, source, stream, &names, reached, settle).await?;
        let again = look::again(session, source, stream, datasets, &keys).await?;
        if again.is_older {
            delivery = Delivery::Older;
        }
        second = Some(again);
    }
    let judged = |(place, found): (usize, &look::Found)| match found {
        look::Found::TooMany => Outcome::TooMany,
        look::Found::Rows { rows, differences } => Outcome::Compared {
            rows: *rows,
            verdict: match &second {
                Some(again) if keys.contains_key(&place) => {
                    let (later, staged) = (&again.differences[&place], &again.staged[&place]);
                    judge::judge(differences, later, staged, delivery)
                }
                _ => Verdict::default(),
            },
        },
    };
    Ok(first.iter().enumerate().map(judged).collect())
}

/// Which datasets of a stream were merged, and which lack rows by their own account.
struct Progress(BTreeMap<String, bool>);

impl Progress {
    async fn read(session: &Session, stream: &Stream) -> Result<Self, Error> {
        let rows = session
            .query(
                "read which datasets are complete",
                "select p.dataset, bool_or(p.in_snapshot or p.refill_after is not null or p.refill_upto is not null) as partial\n  \
                   from milepost.positions p join milepost.streams s on p.platform = s.platform and p.store = s.store\n \
                  where s.id = $1 group by p.dataset",
                &[(&stream.id, Type::INT8)],
            )
            .await?;
        let of = |row: &tokio_postgres::Row| (row.get("dataset"), row.get("partial"));
        Ok(Self(rows.iter().map(of).collect()))
    }

    /// Why a dataset cannot be compared.
    fn forbids(&self, stream: &Stream, dataset: &DatasetSpec) -> Option<&'static str> {
        if !stream.spec.input.is_events() {
            return Some("every run reads the source whole: merge, and they are equal");
        }
        if dataset.source_table.is_none() {
            return Some("its spec names no table of the source");
        }
        if dataset.strategy.is_append() {
            return Some("its rows are events, and the source has none of them");
        }
        match self.0.get(&dataset.name) {
            None => Some("nothing of it is merged yet"),
            Some(true) => Some("its snapshot is not complete yet"),
            Some(false) => None,
        }
    }
}

/// Waits until what was under way has had time to arrive.
async fn wait(
    session: &Session,
    source: &Source,
    stream: &Stream,
    datasets: &[&str],
    reached: Option<i64>,
    settle: Duration,
) -> Result<Delivery, Error> {
    tokio::time::sleep(settle).await;
    let mut waited = Duration::ZERO;
    loop {
        let delivery = position::delivery(session, source, stream, datasets, reached).await?;
        if delivery != Delivery::Behind || waited >= settle.saturating_mul(PATIENCE) {
            return Ok(delivery);
        }
        tokio::time::sleep(PAUSE).await;
        waited += PAUSE;
    }
}
