//! Staged rows go a time after the batch that merged them.

use std::collections::BTreeMap;

use milepost_job_spec::{StreamSpec, TableRef};
use tokio_postgres::types::Type;

use super::staged::{MERGED, Staged};
use super::{Mode, STEPS, Scope, Trimmed, end, streams, vacuum};
use crate::batch::generation::{Look, Refusal};
use crate::batch::{abort_at, open};
use crate::control::position::Position;
use crate::control::stream::Stream;
use crate::error::Error;
use crate::session::{Bound, Session};
use crate::staging::generation::Generation;

/// So many rows are looked at in one transaction, so that none is long.
const CHUNK: i64 = 10_000;
/// The longest time that rows may be kept. Clocks know no more.
const CENTURY: u64 = 100 * 366 * 24 * 60 * 60;
/// A lock is waited for no longer than this: somebody changes the table, or delivers its lowest row again.
const PATIENCE: &str = "set local lock_timeout = '5s'";

/// Removes staged rows that a batch merged at least `staged_seconds` of their stream ago; or counts them.
///
/// Merges go on meanwhile: nothing that a batch locks is taken.
///
/// # Errors
/// [`Error::UnknownStream`] if the scope has no published stream; [`Error::Migrate`] without control tables. A stream whose
/// topics are not those that were merged, or whose tables cannot be written, is no error here: see [`Trimmed::failures`].
pub async fn trim_staging(session: &Session, scope: &Scope, mode: Mode) -> Result<Trimmed, Error> {
    let mut trimmed = Trimmed::new("staging", mode);
    for stream in streams(session, scope, &mut trimmed).await? {
        // An image is read anew each time, and what an earlier connector staged is left to it.
        if !stream.spec.input.is_events() {
            continue;
        }
        if let Err(error) = trim_stream(session, &stream, &mut trimmed).await {
            if error.is_disconnect() {
                return Err(error);
            }
            let place = format!("stream {}", stream.spec.stream);
            trimmed.failures.push((place, error));
        }
    }
    Ok(trimmed)
}

async fn trim_stream(
    session: &Session,
    stream: &Stream,
    trimmed: &mut Trimmed,
) -> Result<(), Error> {
    let key = &stream.spec.stream;
    let kept = i64::try_from(stream.spec.limits.staged_seconds.min(CENTURY)).unwrap_or(i64::MAX);
    let rows = session
        .query(
            "see what was merged a time ago",
            MERGED,
            &[
                (&key.platform, Type::TEXT),
                (&key.store, Type::TEXT),
                (&key.dataset, Type::TEXT),
                (&kept, Type::INT8),
            ],
        )
        .await?;
    let mut removed: BTreeMap<String, (&TableRef, u64)> = BTreeMap::new();
    let mut failed = None;
    for row in &rows {
        let dataset: String = row.get("dataset");
        // Tables that the spec no longer has are not ours to trim.
        let Some(own) = Own::of(stream, &dataset) else {
            continue;
        };
        let partition = Partition {
            own: &own,
            dataset: &dataset,
            topic: row.get("topic"),
            partition: row.get("partition"),
            merged: row.get("merged"),
        };
        match partition.trim(session, trimmed.mode).await {
            Ok(count) => {
                let table = own.staged.table;
                removed.entry(table.quoted()).or_insert((table, 0)).1 += count;
            }
            Err(error) if error.is_disconnect() => return Err(error),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    for (table, count) in removed.into_values() {
        if count > 0 && trimmed.mode == Mode::Write {
            abort_at(STEPS[4]);
            vacuum(session, table, count).await?;
        }
        trimmed.push(table, count, String::new());
    }
    failed.map_or(Ok(()), Err)
}

/// A dataset of a stream, or its ENDs: a table with the spec that recognises its topics.
struct Own<'a> {
    stream: i64,
    spec: StreamSpec,
    staged: Staged<'a>,
}

impl<'a> Own<'a> {
    fn of(stream: &'a Stream, dataset: &str) -> Option<Self> {
        let mut spec = stream.spec.clone();
        let table = if dataset.is_empty() {
            spec.datasets.clear();
            stream.spec.transactions.as_ref()?
        } else {
            spec.datasets.retain(|own| own.name == dataset);
            spec.transactions = None;
            let mut own = stream.spec.datasets.iter();
            &own.find(|own| own.name == dataset)?.staging
        };
        Some(Self {
            stream: stream.id,
            spec,
            staged: Staged {
                table,
                is_dataset: !dataset.is_empty(),
            },
        })
    }
}

/// A topic partition, and how far it was merged a time ago.
struct Partition<'a> {
    own: &'a Own<'a>,
    dataset: &'a str,
    topic: String,
    partition: i32,
    merged: i64,
}

impl Partition<'_> {
    /// Removes what may go, chunk by chunk in the order of offsets; returns how many rows.
    async fn trim(&self, session: &Session, mode: Mode) -> Result<u64, Error> {
        if self.merged < 0 || !self.has_any(session).await? {
            return Ok(0);
        }
        if mode == Mode::DryRun {
            let positions = self.begin(session).await?;
            return end(session, self.count(session, &positions).await).await;
        }
        let mut removed = 0;
        let mut behind = -1;
        loop {
            abort_at(STEPS[0]);
            let positions = self.begin(session).await?;
            let chunk = end(session, self.chunk(session, &positions, behind).await).await?;
            abort_at(STEPS[3]);
            removed += chunk.removed;
            match chunk.upto {
                Some(upto) => behind = upto,
                None => return Ok(removed),
            }
        }
    }

    /// Begins a transaction, and reads the positions of the stream.
    async fn begin(&self, session: &Session) -> Result<Vec<Position>, Error> {
        let begin = format!(
            "begin; {}; {PATIENCE}; {}",
            open::SETTINGS,
            open::positions(self.own.stream)
        );
        let rows = session.script("begin to trim a topic", &begin).await?;
        Ok(rows.iter().map(open::position).collect())
    }

    /// Removes the next rows, in the transaction that read the positions.
    async fn chunk(
        &self,
        session: &Session,
        positions: &[Position],
        behind: i64,
    ) -> Result<Chunk, Error> {
        let lock = self.own.staged.lock_lowest();
        let topic: [Bound<'_>; 2] = [(&self.topic, Type::TEXT), (&self.partition, Type::INT4)];
        session.query("hold the lowest row", &lock, &topic).await?;
        if !self.is_recognised(session, positions).await? {
            return Ok(Chunk::default());
        }
        abort_at(STEPS[1]);
        let mut values = self.values(&behind).to_vec();
        values.push((&CHUNK, Type::INT8));
        let sql = self.own.staged.remove();
        let rows = session.query("remove staged rows", &sql, &values).await?;
        abort_at(STEPS[2]);
        Ok(rows.first().map_or_else(Chunk::default, |row| Chunk {
            removed: u64::try_from(row.get::<_, i64>("removed")).unwrap_or(0),
            upto: row.get("upto"),
        }))
    }

    /// Is it still the topic that was merged? What a topic that was made again brings lies below the watermark, and has not
    /// been merged. A partition of which nothing is kept to recognise it by is left alone until its next batch.
    async fn is_recognised(
        &self,
        session: &Session,
        positions: &[Position],
    ) -> Result<bool, Error> {
        let own = positions.iter().find(|position| {
            position.dataset == self.dataset
                && position.topic == self.topic
                && position.partition == self.partition
        });
        if own.is_none_or(|position| position.recognised.is_none()) {
            return Ok(false);
        }
        let look = Look::new(&self.own.spec, own.into_iter(), BTreeMap::new());
        let part = (0, self.topic.clone(), self.partition);
        let mut seen = look.look(session).await?;
        let Some((seen, _)) = seen.remove(&part) else {
            return Ok(false);
        };
        match look.of(&part, &seen) {
            Generation::Same => Ok(true),
            found => match Refusal::of(&self.own.spec, &part, found) {
                Some(Refusal { what, remedy }) => Err(Error::Staged { what, remedy }),
                None => Ok(true),
            },
        }
    }

    /// Is there a row that may go? Most often there is none in most partitions.
    async fn has_any(&self, session: &Session) -> Result<bool, Error> {
        let sql = self.own.staged.has_any();
        let rows = session
            .query("look for rows that may go", &sql, &self.values(&-1))
            .await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    async fn count(&self, session: &Session, positions: &[Position]) -> Result<u64, Error> {
        if !self.is_recognised(session, positions).await? {
            return Ok(0);
        }
        let sql = self.own.staged.count();
        let behind = -1;
        let rows = session
            .query("count what may go", &sql, &self.values(&behind))
            .await?;
        Ok(rows
            .first()
            .map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)))
    }

    fn values<'a>(&'a self, behind: &'a i64) -> [Bound<'a>; 7] {
        let key = &self.own.spec.stream;
        [
            (&key.platform, Type::TEXT),
            (&key.store, Type::TEXT),
            (&self.dataset, Type::TEXT),
            (&self.topic, Type::TEXT),
            (&self.partition, Type::INT4),
            (behind, Type::INT8),
            (&self.merged, Type::INT8),
        ]
    }
}

/// What one transaction did.
#[derive(Default)]
struct Chunk {
    removed: u64,
    /// The last offset that was looked at; none where there is nothing more.
    upto: Option<i64>,
}
