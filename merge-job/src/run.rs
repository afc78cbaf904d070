//! One stream, batch after batch, until it is caught up.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use milepost_job_spec::{Digest, Input, OnTruncate, StreamKey, StreamSpec};
use tokio_postgres::Config;
use tokio_postgres::types::Type;

use crate::batch::{self, Attempt, Counts, Ended, Missing, Progress, Reach, Reading};
use crate::control::stream::{self, Stream};
use crate::error::Error;
use crate::image::Source;
use crate::retry::{Disposition, disposition};
use crate::session::Session;
use crate::shard::{self, Shard, Worked};
use crate::staging::refusal;
use crate::staging::transaction::Part;
use crate::tables;

/// How often a step that is safe to repeat is tried.
const ATTEMPTS: u32 = 4;
/// The pause before the second attempt; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Which stream to merge.
#[derive(Debug, Clone)]
pub enum MergeTarget {
    /// A published stream.
    Stream(StreamKey),
    /// The stream of a spec file, for local use; it is registered as if it were published.
    Spec(PathBuf),
}

/// What a run of `merge` is asked to do.
#[derive(Debug, Clone)]
pub struct MergeRequest {
    /// Which stream.
    pub target: MergeTarget,
    /// What lets the first truncate of each dataset pass that its policy stops at.
    pub truncate: Option<OnTruncate>,
    /// May a snapshot close more rows than a dataset's policy lets be missing?
    pub missing: Missing,
}

/// What a run of `merge` did.
#[derive(Debug)]
pub struct Summary {
    /// Which stream.
    pub stream: StreamKey,
    /// Batches committed.
    pub batches: u64,
    /// Counts over them.
    pub counts: Counts,
    /// The transaction that is not whole in staging yet, where the run ended at one.
    pub waiting: Option<String>,
    /// Round trips to the database.
    pub round_trips: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.batches {
            0 => write!(f, "{}: nothing to merge", self.stream)?,
            1 => write!(f, "{}: 1 batch, {}", self.stream, self.counts)?,
            n => write!(f, "{}: {n} batches, {}", self.stream, self.counts)?,
        }
        if let Some(transaction) = &self.waiting {
            write!(f, "; waiting for the rest of transaction {transaction}")?;
        }
        Ok(())
    }
}

/// Merges a stream until what was staged at the beginning is merged. Each batch is one transaction.
///
/// A failure is recorded in the metrics before it is returned, where the database can still be reached.
///
/// # Errors
/// Everything that [`Error`] names; what was committed before it stays.
pub async fn merge_stream(request: &MergeRequest, config: &Config) -> Result<Summary, Error> {
    let mut session = Session::connect(config).await?;
    let session = &mut session;
    let stream = match &request.target {
        MergeTarget::Stream(key) => stream::load(session, key).await?,
        MergeTarget::Spec(path) => register(session, path).await?,
    };
    let run = Run {
        truncate: request.truncate,
        missing: request.missing,
        ..Run::of(stream, config)
    };
    run.finish(session).await
}

/// So many streams of a share are read at once.
const LOADED_AT_ONCE: usize = 32;
/// What was read of a stream and its tables longer ago is read again before it is merged.
const FRESH: Duration = Duration::from_secs(1);

/// Merges the streams of a share of a platform, one after the other.
///
/// # Errors
/// What keeps all of them from being merged: a database that is away, or a platform that is not published. What one stream meets
/// is in [`Worked::failures`], and recorded in the metrics.
pub async fn merge_shard(platform: &str, shard: Shard, config: &Config) -> Result<Worked, Error> {
    let mut session = Session::connect(config).await?;
    let mut worked = Worked::default();
    let keys = shard::streams(&session, platform, shard).await?;
    for keys in keys.chunks(LOADED_AT_ONCE) {
        let begun = Instant::now();
        let mut loaded = stream::load_all(&session, keys).await.unwrap_or_default();
        for key in keys {
            if session.is_closed() {
                session = Session::connect(config).await?;
            }
            let stream = match loaded.remove(key) {
                Some(stream) if begun.elapsed() < FRESH => Ok(stream),
                _ => stream::load(&session, key).await,
            };
            let ended = match stream {
                Ok(stream) => Run::of(stream, config).finish(&mut session).await,
                Err(error) => Err(error),
            };
            match &ended {
                // It was retired since.
                Err(Error::UnknownStream(_)) => continue,
                Err(error) => {
                    tracing::warn!(stream = %key, error = %error.chain(), "stream failed");
                }
                Ok(_) => {}
            }
            worked.add(key.clone(), ended);
        }
    }
    Ok(worked)
}

struct Run<'a> {
    summary: Summary,
    stream: Stream,
    missing: Missing,
    config: &'a Config,
    /// Not used up yet.
    truncate: Option<OnTruncate>,
}

impl<'a> Run<'a> {
    /// A run of a stream in which nothing passes that its policies stop at.
    fn of(stream: Stream, config: &'a Config) -> Self {
        Self {
            summary: Summary {
                stream: stream.spec.stream.clone(),
                batches: 0,
                counts: Counts::default(),
                waiting: None,
                round_trips: 0,
            },
            stream,
            missing: Missing::Guarded,
            config,
            truncate: None,
        }
    }

    /// Merges until the stream is caught up; a failure is recorded.
    async fn finish(mut self, session: &mut Session) -> Result<Summary, Error> {
        let ended = self.until_caught_up(session).await;
        self.summary.round_trips = session.round_trips();
        match ended {
            Ok(()) => Ok(self.summary),
            Err(error) => {
                self.record(session, &error).await;
                Err(error)
            }
        }
    }
}

impl Run<'_> {
    async fn until_caught_up(&mut self, session: &mut Session) -> Result<(), Error> {
        self.reconcile(session).await?;
        let mut goal: Option<BTreeMap<Part, i64>> = None;
        loop {
            match self.batch(session).await? {
                Ended::Empty => return Ok(()),
                Ended::PassedOver => {}
                Ended::Waiting { transaction, .. } => {
                    self.summary.waiting = Some(transaction);
                    return Ok(());
                }
                Ended::Committed {
                    number,
                    counts,
                    progress,
                } => {
                    tracing::info!(stream = %self.stream.spec.stream, batch = number, %counts, "batch committed");
                    self.summary.batches += 1;
                    if counts.truncate > 0 {
                        self.truncate = None;
                    }
                    self.summary.counts += counts;
                    // An image has everything.
                    if !self.stream.spec.input.is_events() {
                        return Ok(());
                    }
                    // What arrives while the run works is the next run's: a busy source must not keep a pod for ever.
                    let open = goal.get_or_insert_with(|| {
                        progress
                            .iter()
                            .map(|part| (part.part.clone(), part.visible))
                            .collect()
                    });
                    for Progress { part, merged, .. } in &progress {
                        if open.get(part).is_some_and(|visible| merged >= visible) {
                            open.remove(part);
                        }
                    }
                    if open.is_empty() && !progress.is_empty() {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn reconcile(&mut self, session: &Session) -> Result<(), Error> {
        reconcile(session, &mut self.stream).await
    }

    /// One batch, tried again where that is safe, on a fresh connection where the old one broke.
    async fn batch(&mut self, session: &mut Session) -> Result<Ended, Error> {
        let mut try_so = Attempt {
            reading: Reading::Trusting,
            reach: Reach::Usual,
            truncate: self.truncate,
            missing: self.missing,
        };
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let error = match self.attempt(session, &try_so).await {
                Ok(ended) => return Ok(ended),
                Err(error) => error,
            };
            if error.is_disconnect() {
                *session = Session::connect(self.config).await?;
                if let Error::Commit { number, .. } = error
                    && let Some(ended) =
                        batch::after_lost_commit(session, &self.stream, number).await?
                {
                    return Ok(ended);
                }
            } else {
                session.script("roll back the batch", "rollback").await?;
            }
            if try_so.reading == Reading::Trusting && refusal::is_value_error(&error) {
                try_so.reading = Reading::Careful;
                continue;
            }
            match &error {
                Error::Unordered { .. } if try_so.reach == Reach::Usual => {
                    try_so.reach = Reach::Snapshot;
                    continue;
                }
                Error::Split(split) if try_so.reach == Reach::Usual => {
                    try_so.reach = Reach::Staged(split.clone());
                    continue;
                }
                Error::Split(split) if matches!(try_so.reach, Reach::Staged(_)) => {
                    try_so.reach = Reach::Whole(split.clone());
                    continue;
                }
                Error::Truncated {
                    dataset, truncate, ..
                } if try_so.reach.goes_beyond(truncate) => {
                    try_so.reach = Reach::Before(dataset.clone(), truncate.clone());
                    continue;
                }
                _ => {}
            }
            if let Error::Outdated(_) = error
                && attempt < ATTEMPTS
            {
                self.stream = stream::load(session, &self.stream.spec.stream).await?;
                self.reconcile(session).await?;
                continue;
            }
            // A publish holds the stream for a moment only; whoever meets it at the start leaves it to the next run.
            let held_midway = matches!(error, Error::Held(_)) && self.summary.batches > 0;
            let again = disposition(&error) == Disposition::Again || held_midway;
            if attempt >= ATTEMPTS || !again {
                return Err(error);
            }
            tracing::warn!(error = %error.chain(), attempt, "batch failed, trying again");
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the loop ends by returning")
    }

    /// A batch of whatever the stream is made of.
    async fn attempt(&self, session: &Session, attempt: &Attempt) -> Result<Ended, Error> {
        match &self.stream.spec.input {
            Input::Events => batch::run(session, &self.stream, attempt).await,
            Input::Image(source) => {
                let source = Source::connect(Some(source)).await?;
                batch::image::run(session, source, &self.stream, attempt).await
            }
        }
    }

    /// Records the failure where that is possible; the error itself is reported in any case.
    async fn record(&self, session: &mut Session, error: &Error) {
        if matches!(
            error,
            Error::Held(_) | Error::Stopped | Error::UnknownStream(_)
        ) {
            return;
        }
        if session.is_closed() || error.is_disconnect() {
            match Session::connect(self.config).await {
                Ok(fresh) => *session = fresh,
                Err(_) => return,
            }
        }
        if let Err(second) = batch::failed(session, &self.stream, error).await {
            tracing::warn!(error = %second.chain(), "the failure could not be recorded");
        }
    }
}

/// Makes the tables what the spec says. A column that was added to a table that had rows may be null there, whatever
/// the spec says: rows that were staged in the older shape have none.
pub(crate) async fn reconcile(session: &Session, stream: &mut Stream) -> Result<(), Error> {
    if !tables::differences(&stream.spec, &stream.catalog).is_empty() {
        tables::reconcile(session, stream.id, &stream.spec).await?;
    }
    for dataset in &mut stream.spec.datasets {
        let added = stream.catalog.nullable_columns(dataset);
        for column in &mut dataset.columns {
            column.nullable |= added.contains(&column.name);
        }
    }
    Ok(())
}

/// Reads a spec file and makes its control row, as a publish would.
async fn register(session: &Session, path: &PathBuf) -> Result<Stream, Error> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: place.clone(),
        source,
    })?;
    let spec = StreamSpec::from_json(&text).map_err(|source| Error::Spec { place, source })?;
    crate::migrate::require(session).await?;
    let key = spec.stream.clone();
    let digest = Digest::of(text.as_bytes());
    let version = i32::try_from(spec.version).unwrap_or(i32::MAX);
    session
        .execute(
            "register the stream",
            "insert into milepost.streams (platform, store, dataset, spec, spec_version, spec_digest, model_version)\n\
             values ($1, $2, $3, $4, $5, $6, 'worktree')\n\
             on conflict (platform, store, dataset) do update\n   \
             set spec = excluded.spec, spec_version = excluded.spec_version, spec_digest = excluded.spec_digest,\n       \
                 model_version = excluded.model_version, wanted = true\n \
             where milepost.streams.spec_digest <> excluded.spec_digest",
            &[
                (&key.platform, Type::TEXT),
                (&key.store, Type::TEXT),
                (&key.dataset, Type::TEXT),
                (&text, Type::TEXT),
                (&version, Type::INT4),
                (&digest.as_str(), Type::TEXT),
            ],
        )
        .await?;
    tables::register_datasets(session, [&spec]).await?;
    crate::unused::forget_wanted(session).await?;
    stream::load(session, &key).await
}
