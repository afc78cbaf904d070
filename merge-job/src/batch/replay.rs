//! A batch whose rows are open entries of the quarantine: the same steps, with their payloads in place of staged rows.
//!
//! The payloads are put into temporary tables of the staging tables' shape, so casts, refusals, fills and merge are those
//! of every batch. What is chosen is closed first and opened again where it still does not fit: so an entry is never held
//! against itself when its key's values are filled. Watermarks and fence stay where they are, for no offset is consumed.

use std::collections::{BTreeMap, BTreeSet};

use milepost_job_spec::TableRef;
use tokio_postgres::types::Type;

use crate::batch::{
    Attempt, Batch, Counts, Cut, Ended, Missing, Open, Reach, Reading, apply, fault, open, prepare,
    record,
};
use crate::control::position::Position;
use crate::control::stream::Stream;
use crate::error::Error;
use crate::quarantine::entry;
use crate::session::{Bound, Session};
use crate::staging::cut::Slice;
use crate::staging::refusal;

/// A stream whose datasets are read from the payloads of entries.
pub(crate) struct Replay {
    /// The stream; its datasets' staging tables are the temporary ones.
    stream: Stream,
    /// The real staging tables, by place of the dataset.
    staging: Vec<TableRef>,
    /// The datasets whose entries are tried.
    places: Vec<usize>,
    /// These entries and all others of their keys; all where there are none.
    ids: Option<Vec<i64>>,
}

/// What a replay did.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// The batch's number, where anything was tried.
    pub(crate) number: Option<i64>,
    /// What became of the entries that were tried.
    pub(crate) counts: Counts,
    /// Entries that turned out to be superseded.
    pub(crate) superseded: u64,
    /// Entries that could not be tried and stay open.
    pub(crate) left: u64,
}

impl Replay {
    /// Takes the entries of one dataset, or of all.
    pub(crate) fn new(mut stream: Stream, dataset: Option<&str>, ids: Option<Vec<i64>>) -> Self {
        let mut staging = Vec::new();
        let mut places = Vec::new();
        for (place, own) in stream.spec.datasets.iter_mut().enumerate() {
            let payloads = entry::payloads(place);
            staging.push(std::mem::replace(&mut own.staging, payloads));
            if dataset.is_none_or(|name| name == own.name) {
                places.push(place);
            }
        }
        // Its END events are no business of a replay.
        stream.spec.transactions = None;
        Self {
            stream,
            staging,
            places,
            ids,
        }
    }

    /// The stream.
    pub(crate) const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Runs the batch to its end. The transaction is rolled back by the caller, or with the connection, on an error.
    pub(crate) async fn run(&self, session: &Session, reading: Reading) -> Result<Replayed, Error> {
        fault("open");
        let batch = open::open(session, &self.stream).await?;
        fault("cut");
        let mut replayed = Replayed::default();
        let mut slices = BTreeMap::new();
        if batch.state.open_quarantine {
            for &place in &self.places {
                let own = self.choose(&batch, place, &mut replayed).await?;
                if !own.is_empty() {
                    slices.insert(place, own);
                }
            }
        }
        if slices.is_empty() {
            session.script("commit", "commit").await?;
            return Ok(replayed);
        }
        let chosen: BTreeSet<usize> = slices.keys().copied().collect();
        let batch = batch.with(|open| Cut::of_no_offsets(open, slices));
        let attempt = Attempt {
            reading,
            reach: Reach::Usual,
            truncate: None,
            missing: Missing::Guarded,
        };
        let batch = prepare::prepare(batch, &attempt).await?;
        let mut batch = apply::apply(batch).await?;
        let script: Vec<String> = chosen.iter().map(|&place| entry::close(place)).collect();
        session
            .script("close what was replayed", &script.join(";\n"))
            .await?;
        self.tell(&batch).await?;
        batch.state.cut.slices.clear();
        if let Ended::Committed { number, counts, .. } = record::record(batch).await? {
            replayed.number = Some(number);
            replayed.counts = counts;
        }
        Ok(replayed)
    }

    /// Chooses the entries of a dataset and puts their payloads where staged rows are read from.
    async fn choose(
        &self,
        batch: &Batch<'_, Open>,
        place: usize,
        replayed: &mut Replayed,
    ) -> Result<Vec<Slice>, Error> {
        let session = batch.session;
        let spec = &self.stream.spec;
        let dataset = &spec.datasets[place];
        let staging = &self.staging[place];
        let values: [Bound<'_>; 4] = [
            (&spec.stream.platform, Type::TEXT),
            (&spec.stream.store, Type::TEXT),
            (&dataset.name, Type::TEXT),
            (&self.ids, Type::INT8_ARRAY),
        ];
        let kept = i64::try_from(spec.limits.staged_seconds).unwrap_or(i64::MAX);
        let mut aged = values[..3].to_vec();
        aged.push((&kept, Type::INT8));
        session
            .execute("choose open entries", &entry::choose(place), &values)
            .await?;
        replayed.left += unpack(session, place, staging).await?;
        let scope = &values[..3];
        if !dataset.key.is_empty() {
            replayed.superseded += session
                .execute(
                    "close entries that a snapshot superseded",
                    &entry::before_a_snapshot(place, staging),
                    scope,
                )
                .await?;
        }
        if let Some(sql) = entry::before_a_later_row(place, dataset, staging, spec.source) {
            replayed.superseded += session
                .execute("close entries that later rows superseded", &sql, scope)
                .await?;
            let sql = entry::of_unknown_order(place, dataset);
            replayed.left += session
                .execute("leave entries of unknown order", &sql, &aged)
                .await?;
        }
        session
            .script("take the entries that are left", &entry::take(place))
            .await?;
        let rows = session
            .query("see where the entries stand", &entry::stretches(place), &[])
            .await?;
        Ok(rows
            .iter()
            .map(|row| Slice {
                position: Position {
                    watermark: row.get("low"),
                    ..Position::start(&dataset.name, row.get("topic"), row.get("part"))
                },
                high: row.get("high"),
            })
            .collect())
    }

    /// Tells whoever watches the stream that entries were replayed.
    async fn tell(&self, batch: &Batch<'_, super::Applied>) -> Result<(), Error> {
        let mut counts = Counts::default();
        for own in batch.state.counts.values() {
            counts += *own;
        }
        let text = format!("entries of the quarantine were replayed: {counts}");
        entry::tell(batch.session, &self.stream.spec.stream, &text).await
    }
}

/// Puts the payloads of the chosen entries into a table like the staging table. Returns how many do not fit it.
async fn unpack(session: &Session, place: usize, staging: &TableRef) -> Result<u64, Error> {
    session
        .script("set a savepoint", "savepoint mp_payload")
        .await?;
    let all = session
        .script("unpack the payloads", &entry::unpack(place, staging))
        .await;
    match all {
        Ok(_) => return Ok(0),
        Err(error) if refusal::is_value_error(&error) => {}
        Err(error) => return Err(error),
    }
    // Somebody mended a payload badly: one by one, to find which.
    let script = format!(
        "rollback to savepoint mp_payload; {}; {}",
        entry::unpack_nothing(place, staging),
        entry::chosen_ids(place)
    );
    let rows = session.script("unpack one by one", &script).await?;
    let mut left = 0;
    for id in rows
        .iter()
        .filter_map(|row| row.get(0)?.parse::<i64>().ok())
    {
        session
            .script("set a savepoint", "savepoint mp_payload")
            .await?;
        let id: [Bound<'_>; 1] = [(&id, Type::INT8)];
        match session
            .execute("unpack a payload", &entry::unpack_one(place, staging), &id)
            .await
        {
            Ok(_) => {}
            Err(error) if refusal::is_value_error(&error) => {
                session
                    .script("go back to a savepoint", "rollback to savepoint mp_payload")
                    .await?;
                session
                    .execute("leave a payload", &entry::leave_one(place), &id)
                    .await?;
                left += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(left)
}
