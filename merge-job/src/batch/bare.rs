//! A batch of no staged rows: whatever changes a merge table is one, so that whoever follows batches sees it.

use tokio_postgres::types::Type;

use crate::control::stream::Stream;
use crate::error::Error;
use crate::merge::moment;
use crate::session::Session;

/// What such a batch leaves in the control tables.
pub(crate) struct Bare<'a> {
    pub(crate) stream: &'a Stream,
    pub(crate) number: i64,
    pub(crate) time_us: i64,
    pub(crate) started_us: i64,
    /// The dataset whose table it changed.
    pub(crate) dataset: &'a str,
    /// Rows that were live before it and are not after.
    pub(crate) closed: i64,
}

impl<'a> Bare<'a> {
    /// The next batch of a stream, in a transaction that holds it.
    pub(crate) async fn next(
        session: &Session,
        stream: &'a Stream,
        dataset: &'a str,
    ) -> Result<Self, Error> {
        let rows = session
            .query(
                "read the progress of the stream",
                "select s.batch_number + 1 as number, (extract(epoch from clock_timestamp()) * 1000000)::bigint as started,\n       \
                        (select (extract(epoch from max(d.last_batch_time)) * 1000000)::bigint from milepost.datasets d\n         \
                          where d.platform = s.platform and d.store = s.store and (s.dataset is null or d.dataset = s.dataset)) as previous\n  \
                   from milepost.streams s where s.id = $1",
                &[(&stream.id, Type::INT8)],
            )
            .await?;
        let row = rows
            .first()
            .ok_or_else(|| Error::UnknownStream(stream.spec.stream.to_string()))?;
        let (started_us, previous): (i64, Option<i64>) = (row.get("started"), row.get("previous"));
        Ok(Self {
            stream,
            number: row.get("number"),
            time_us: time(started_us, previous),
            started_us,
            dataset,
            closed: 0,
        })
    }

    /// Writes it.
    pub(crate) async fn record(&self, session: &Session) -> Result<(), Error> {
        let spec_version = i32::try_from(self.stream.spec.version).unwrap_or(i32::MAX);
        session
            .execute(
                "record a batch without rows",
                &statement(),
                &[
                    (&self.stream.id, Type::INT8),
                    (&self.number, Type::INT8),
                    (&self.time_us, Type::INT8),
                    (&self.started_us, Type::INT8),
                    (&self.dataset, Type::TEXT),
                    (&self.closed, Type::INT8),
                    (&self.stream.model_version, Type::TEXT),
                    (&spec_version, Type::INT4),
                ],
            )
            .await
            .map(drop)
    }
}

/// The time of a batch: later than the one before, also where the clock went back (T19).
pub(crate) fn time(started_us: i64, previous: Option<i64>) -> i64 {
    previous.map_or(started_us, |previous| started_us.max(previous + 1))
}

/// The statement that records such a batch. `$1` stream, `$2` batch number, `$3` batch time, `$4`
/// when it began, `$5` dataset, `$6` live rows, `$7` model version, `$8` spec version.
///
/// No staged row is of it, so none is counted in a class. Where partitions stand is kept all the same: a batch that does not
/// say so is taken for one before them, and then nothing of them is trimmed.
#[must_use]
pub fn statement() -> String {
    format!(
        "with stream as (\n  \
           update milepost.streams set batch_number = $2 where id = $1 returning *\n\
         ), datasets as (\n  \
           update milepost.datasets d set last_batch_time = {time} from stream s\n   \
            where d.platform = s.platform and d.store = s.store and (s.dataset is null or d.dataset = s.dataset)\n\
         ), batch as (\n  \
           insert into milepost.batches (stream_id, platform, store, dataset, batch_number, batch_time, status, started_at,\n    \
             finished_at, rows_closed, positions_from, model_version, spec_version)\n  \
           select s.id, s.platform, s.store, s.dataset, $2, {time}, 'succeeded', {started}, clock_timestamp(), $6,\n    \
             (select jsonb_agg(jsonb_build_object('dataset', p.dataset, 'topic', p.topic, 'partition', p.partition, 'offset', p.watermark))\n       \
                from milepost.positions p where p.platform = s.platform and p.store = s.store\n         \
                 and (s.dataset is null or p.dataset = s.dataset)), $7, $8\n    \
             from stream s\n  \
           returning id\n\
         )\n\
         insert into milepost.batch_datasets (batch_id, dataset, rows_staged, rows_inserted, rows_updated, rows_deleted,\n    \
           rows_unchanged, rows_overtaken, rows_replayed, rows_quarantined, rows_truncate, rows_closed)\n\
         select b.id, $5, 0, 0, 0, 0, 0, 0, 0, 0, 0, $6 from batch b",
        time = moment("$3::bigint"),
        started = moment("$4::bigint"),
    )
}
