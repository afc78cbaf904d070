//! A batch whose rows are the source's: rows that diverged get what the source has, or are closed where it has none.
//!
//! The rows are read under the stream's lock, and put into temporary tables of the staging tables' shape, so casts, versions and
//! counts are those of every batch. They have no position, so they are no replay and move neither watermark nor fence.
//!
//! A row that the source has now may be newer than what is merged; later, events that are older than it would set it back. So
//! only rows are taken that are on both sides as they were when they were found to have diverged, and of which no event is
//! staged: whatever wrote them was delivered before, or is lost.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::Type;

use crate::batch::{
    Attempt, Batch, Counts, Cut, Ended, Missing, Open, Prepared, Reach, Reading, apply, open,
    prepare, record,
};
use crate::compare::{
    self, Difference, Kind, by_keys, key_columns, position, source_table, staged_events,
};
use crate::control::position::Position;
use crate::control::stream::Stream;
use crate::error::Error;
use crate::image::{Source, heap};
use crate::quarantine::entry;
use crate::session::{Bound, Session};
use crate::sql;
use crate::staging::cut::Slice;
use milepost_job_spec::{DatasetSpec, IMAGE_TOPIC, PgIdent, staging};

/// The steps beside those of every batch, in order: see [`crate::batch::STEPS`].
pub const STEPS: [&str; 2] = ["look", "take"];

/// What a resync is asked to do to a stream.
pub(crate) struct Resync<'a> {
    /// The stream, as it is published.
    stream: &'a Stream,
    /// The same, with its columns as the source has them, and with temporary tables in place of staging.
    read: Stream,
    /// The rows that diverged, by place of the dataset.
    wanted: BTreeMap<usize, &'a [Difference]>,
    /// May it close more rows than a dataset's policy lets be missing?
    missing: Missing,
}

/// What a resync did to a stream.
#[derive(Debug, Default)]
pub(crate) struct Resynced {
    /// The batch's number, where there was one.
    pub(crate) number: Option<i64>,
    /// What became of the rows.
    pub(crate) counts: Counts,
    /// Rows that are not as they were found, and were left alone.
    pub(crate) left: u64,
}

impl<'a> Resync<'a> {
    pub(crate) fn new(
        stream: &'a Stream,
        wanted: BTreeMap<usize, &'a [Difference]>,
        missing: Missing,
    ) -> Self {
        let mut read = compare::as_read(stream);
        for (place, dataset) in read.spec.datasets.iter_mut().enumerate() {
            dataset.staging = heap::table(place);
        }
        // END events are no business of a resync.
        read.spec.transactions = None;
        Self {
            stream,
            read,
            wanted,
            missing,
        }
    }

    /// Runs the batch to its end. The transaction is rolled back by the caller, or with the connection, on an error.
    ///
    /// # Errors
    /// [`Error::Held`] if another run holds the stream; [`Error::Missing`] if it would close too many rows; what either
    /// database refuses.
    pub(crate) async fn run(&self, session: &Session, source: &Source) -> Result<Resynced, Error> {
        super::fault("open");
        let batch = open::open(session, &self.read).await?;
        super::abort_at("look");
        let (slices, left) = self.take(&batch, source).await?;
        if slices.is_empty() {
            session.script("end the batch", "rollback").await?;
            return Ok(Resynced {
                left,
                ..Resynced::default()
            });
        }
        let batch = batch.with(|open| Cut::of_no_offsets(open, slices));
        let attempt = Attempt {
            reading: Reading::Trusting,
            reach: Reach::Usual,
            truncate: None,
            missing: Missing::Guarded,
        };
        let batch = prepare::prepare(batch, &attempt).await?;
        self.refuse_what_does_not_fit(&batch)?;
        self.supersede(&batch).await?;
        let mut batch = apply::apply(batch).await?;
        let mut counts = Counts::default();
        for own in batch.state.counts.values() {
            counts += *own;
        }
        let text = format!("rows that had diverged were made equal to the source: {counts}");
        entry::tell(session, &self.stream.spec.stream, &text).await?;
        batch.state.cut.slices.clear();
        match record::record(batch).await? {
            Ended::Committed { number, counts, .. } => Ok(Resynced {
                number: Some(number),
                counts,
                left,
            }),
            Ended::Empty | Ended::Waiting { .. } | Ended::PassedOver => Ok(Resynced::default()),
        }
    }

    /// Puts the rows that are as they were found where staged rows are read from; returns how many are not.
    async fn take(
        &self,
        batch: &Batch<'_, Open>,
        source: &Source,
    ) -> Result<(BTreeMap<usize, Vec<Slice>>, u64), Error> {
        let session = batch.session;
        let spec = &self.read.spec;
        let datasets: Vec<DatasetSpec> = self
            .wanted
            .keys()
            .map(|&place| spec.datasets[place].clone())
            .collect();
        let merged = position::merged(session, self.stream).await?;
        if position::is_older(source, merged).await {
            return Err(older());
        }
        // Rows are looked up and joined here, not probed in the order of a key.
        session.script("plan as ever", open::JOIN_FREELY).await?;
        let snapshot = source.snapshot(&datasets).await?;
        let mut slices = BTreeMap::new();
        let mut left = 0;
        for (at, (&place, &wanted)) in self.wanted.iter().enumerate() {
            let dataset = &datasets[at];
            let published = &self.stream.spec.datasets[place];
            let staged = staged_events(session, self.stream, published, wanted).await?;
            let found = by_keys(session, &snapshot, dataset, at, wanted).await?;
            let found: BTreeSet<&Difference> = found.iter().collect();
            let as_found: Vec<&Difference> = wanted
                .iter()
                .filter(|own| !staged.has(own) && found.contains(own))
                .collect();
            left += (wanted.len() - as_found.len()) as u64;
            if as_found.is_empty() {
                continue;
            }
            self.guard(session, dataset, &as_found).await?;
            super::abort_at("take");
            let create = heap::create(dataset, spec.source, -1);
            session.script("make a table for rows", &create).await?;
            for (kind, sql) in [
                (TAKEN, take_from(dataset, at)),
                (GONE, take_as_deleted(dataset)),
            ] {
                let of_kind = as_found.iter().filter(|own| kind.contains(&own.kind));
                // The keys as the source prints them.
                let columns = key_columns(dataset, of_kind.map(|own| own.at_source()));
                let values: Vec<Bound<'_>> = columns
                    .iter()
                    .map(|own| -> Bound<'_> { (own, Type::TEXT_ARRAY) })
                    .collect();
                session
                    .execute("take rows of the source", &sql, &values)
                    .await?;
            }
            let settle = heap::settle(dataset);
            session.script("index the rows", &settle).await?;
            let high = highest(session, dataset).await?;
            let position = Position::start(&dataset.name, IMAGE_TOPIC, heap::PARTITION);
            slices.insert(place, vec![Slice { position, high }]);
        }
        session
            .script("plan as a batch", open::PROBE_IN_ORDER)
            .await?;
        Ok((slices, left))
    }

    /// A source that lost its rows looks the same as a table that has too many.
    async fn guard(
        &self,
        session: &Session,
        dataset: &DatasetSpec,
        rows: &[&Difference],
    ) -> Result<(), Error> {
        let extra = rows.iter().filter(|own| own.kind == Kind::Extra).count() as u64;
        if extra == 0 || self.missing == Missing::Allowed {
            return Ok(());
        }
        let sql = format!("select count(*) from {}", dataset.live_table().quoted());
        let counted = session.query("count the live rows", &sql, &[]).await?;
        let live = counted.first().map_or(0, |row| {
            u64::try_from(row.get::<_, i64>(0)).unwrap_or_default()
        });
        let most = u64::from(dataset.policy.max_missing_percent);
        if extra * 100 <= most * live {
            return Ok(());
        }
        Err(Error::Missing {
            what: format!(
                "the source does not have {extra} of the {live} live rows of dataset `{}`, more than {most} percent; nothing was changed",
                dataset.name
            ),
            remedy: "look whether it is the right source, and whether the rows are gone there; if so, run the same with `--allow-missing`"
                .to_owned(),
        })
    }

    /// What a look found to fit, fits; else nothing is done.
    fn refuse_what_does_not_fit(&self, batch: &Batch<'_, Prepared>) -> Result<(), Error> {
        let unfit = |(place, counts): (&usize, &Counts)| {
            (counts.quarantined > 0).then(|| &self.read.spec.datasets[*place].name)
        };
        match batch.state.counts.iter().find_map(unfit) {
            None => Ok(()),
            Some(name) => Err(Error::Obstacle {
                what: format!(
                    "rows of dataset `{name}` at the source do not fit the merge table; nothing was changed"
                ),
                remedy: "compare the model's types and keys with the source's".to_owned(),
            }),
        }
    }

    /// Closes open entries of the quarantine of the same keys: their rows are here, whole, or gone.
    async fn supersede(&self, batch: &Batch<'_, Prepared>) -> Result<(), Error> {
        if !batch.state.cut.open.open_quarantine {
            return Ok(());
        }
        let stream = &self.stream.spec.stream;
        for &place in batch.state.cut.slices.keys() {
            let shape = batch.shape(place);
            let sql = format!(
                "update milepost.quarantine q set status = 'superseded', closed_at = clock_timestamp()\n  \
                   from {} e\n \
                  where q.platform = $1 and q.store = $2 and q.dataset = $3 and q.status = 'open' and q.key = {}",
                shape.events(),
                shape.key_json("e.")
            );
            let values: [Bound<'_>; 3] = [
                (&stream.platform, Type::TEXT),
                (&stream.store, Type::TEXT),
                (&shape.dataset.name, Type::TEXT),
            ];
            batch
                .session
                .execute("close superseded entries", &sql, &values)
                .await?;
        }
        Ok(())
    }
}

fn older() -> Error {
    Error::Obstacle {
        what: "the source is older than what is merged; nothing was changed".to_owned(),
        remedy: "compare with the server that the connector reads: a standby may lag, and a copy or a restored backup is another source"
            .to_owned(),
    }
}

/// Rows that the source has.
const TAKEN: &[Kind] = &[Kind::Missing, Kind::Differs];
/// Rows that it has not.
const GONE: &[Kind] = &[Kind::Extra];

/// The places of the key's columns.
fn key_places(dataset: &DatasetSpec) -> impl Iterator<Item = usize> {
    let place = |name: &PgIdent| dataset.columns.iter().position(|own| own.name == *name);
    dataset.key.iter().filter_map(place)
}

/// The statement that takes rows of the source as rows of an incremental snapshot, which begins and ends nothing.
fn take_from(dataset: &DatasetSpec, at: usize) -> String {
    let arrays = (1..=dataset.key.len()).map(|n| format!("${n}::text[]"));
    let names = (0..dataset.key.len()).map(|n| format!("k{n}"));
    let same = key_places(dataset)
        .enumerate()
        .map(|(n, place)| format!("s.c{place} = k.k{n}"));
    format!(
        "insert into {into} ({columns}, {snapshot})\n\
         select {values}, 'incremental' from {from} s join unnest({arrays}) k({names}) on {same}",
        into = dataset.staging.quoted(),
        columns = sql::names(dataset.columns.iter().map(|own| &own.staged_as)),
        snapshot = staging::SNAPSHOT,
        values = sql::list((0..dataset.columns.len()).map(|place| format!("s.c{place}"))),
        from = source_table(at).quoted(),
        arrays = sql::list(arrays),
        names = sql::list(names),
        same = same.collect::<Vec<_>>().join(" and "),
    )
}

/// The statement that takes keys as deletes.
fn take_as_deleted(dataset: &DatasetSpec) -> String {
    let arrays = (1..=dataset.key.len()).map(|n| format!("${n}::text[]"));
    format!(
        "insert into {into} ({columns}, {op}, {deleted})\n\
         select k.*, 'd', 'true' from unnest({arrays}) k",
        into = dataset.staging.quoted(),
        columns = sql::names(dataset.key_columns().map(|own| &own.staged_as)),
        op = staging::OP,
        deleted = staging::DELETED,
        arrays = sql::list(arrays),
    )
}

async fn highest(session: &Session, dataset: &DatasetSpec) -> Result<i64, Error> {
    let sql = format!(
        "select coalesce(max({}), -1) from {}",
        staging::OFFSET,
        dataset.staging.quoted()
    );
    let rows = session
        .query("see how many rows there are", &sql, &[])
        .await?;
    Ok(rows.first().map_or(-1, |row| row.get(0)))
}
