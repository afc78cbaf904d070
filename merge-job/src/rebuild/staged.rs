//! The last complete snapshot of a dataset that is staged still: everything behind it can be merged again.

use milepost_job_spec::{DatasetSpec, IMAGE_TOPIC, StreamSpec};
use serde_json::Value;
use tokio_postgres::types::Type;

use crate::batch::generation::Refusal;
use crate::control::position::Position;
use crate::control::stream::Stream;
use crate::error::Error;
use crate::session::{Bound, Session};
use crate::staging::{generation, snapshot};
use crate::tables::{self, Catalog};
use crate::topics;
use crate::trim;

/// Where it is, and how far it goes.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The first offset of the snapshot.
    pub(crate) low: i64,
    /// Its last.
    pub(crate) high: i64,
    /// The watermark before the rebuild.
    pub(crate) merged: i64,
    /// The staged row before the snapshot: its offset and what it is recognised by; none where the snapshot is the first.
    pub(crate) before: Option<(i64, Value)>,
    /// How many rows are staged from the snapshot on.
    pub(crate) rows: i64,
    /// How many of them have a null in the new key.
    pub(crate) nulls: i64,
    /// How many of those are deletes.
    pub(crate) null_deletes: i64,
}

impl Staged {
    /// Looks for it.
    ///
    /// # Errors
    /// [`Error::Usage`] if a stream of this kind is never filled from staging; [`Error::Staged`] if there is no such snapshot,
    /// or not all of what followed it.
    pub(super) async fn read(
        session: &Session,
        stream: &Stream,
        place: usize,
        positions: &[Position],
    ) -> Result<Self, Error> {
        let spec = &stream.spec;
        let dataset = &spec.datasets[place];
        refuse_streams(spec, dataset)?;
        let own = |own: &&Position| own.dataset == dataset.name && own.topic != IMAGE_TOPIC;
        let Some(position) = positions.iter().find(own) else {
            return Err(refused(
                format!("nothing of dataset `{}` was merged yet", dataset.name),
                "run `merge-job rebuild --from source`: a merge reads all that is staged"
                    .to_owned(),
            ));
        };
        let number = recognise(session, stream).await?;
        if number > 1 {
            return Err(refused(
                format!(
                    "rows of dataset `{}` are staged from several topic partitions",
                    dataset.name
                ),
                from_source("no snapshot of those is known to be complete"),
            ));
        }
        let (low, high) = bounds(session, spec, dataset, position).await?;
        refuse_what_may_be_trimmed(session, stream, dataset, position, low).await?;
        let catalog = tables::read(session, spec).await?;
        let counts = Counts::read(session, dataset, &catalog, position, low).await?;
        let most = i64::try_from(spec.limits.max_quarantined).unwrap_or(i64::MAX);
        if counts.nulls > most {
            return Err(refused(
                format!(
                    "{} of the {} staged rows of dataset `{}` have a null in its key, more than the {most} that a batch sets aside",
                    counts.nulls, counts.rows, dataset.name
                ),
                from_source("they were staged in an older shape"),
            ));
        }
        let before = before(session, spec, dataset, position, low).await?;
        if before.is_none() && low > 0 && !is_first(session, dataset, position, low).await? {
            return Err(no_snapshot(dataset));
        }
        Ok(Self {
            topic: position.topic.clone(),
            partition: position.partition,
            low,
            high,
            merged: position.watermark,
            before,
            rows: counts.rows,
            nulls: counts.nulls,
            null_deletes: counts.null_deletes,
        })
    }

    /// The watermark to go back to; none where the snapshot is not merged yet, and comes anyway.
    pub(crate) fn back_to(&self) -> Option<i64> {
        let before = self
            .before
            .as_ref()
            .map_or(self.low - 1, |(offset, _)| *offset);
        (self.low <= self.merged).then_some(before)
    }

    /// Up to where rows have to be merged until the table lacks none.
    pub(crate) fn upto(&self) -> i64 {
        self.merged.max(self.high)
    }
}

/// Keeps a trim off: it holds the lowest row of a partition, and then asks for the watermark, which goes back here. Else it could
/// remove rows that were merged, and are merged again by the time that it is done. Whatever it has removed is seen afterwards.
pub(crate) async fn hold(
    session: &Session,
    dataset: &DatasetSpec,
    positions: &[Position],
) -> Result<(), Error> {
    let table = trim::staged::Staged {
        table: &dataset.staging,
        is_dataset: true,
    };
    for position in positions.iter().filter(|own| own.dataset == dataset.name) {
        let topic: [Bound<'_>; 2] = [
            (&position.topic, Type::TEXT),
            (&position.partition, Type::INT4),
        ];
        let any = format!(
            "select from {} s where s.__connect_topic = $1 and s.__connect_partition = $2 limit 1",
            dataset.staging.quoted()
        );
        // The lowest row may be gone by the time that it was waited for, and then none is held.
        while session
            .query("hold the lowest row", &table.lock_lowest(), &topic)
            .await?
            .is_empty()
            && !session
                .query("look for a staged row", &any, &topic)
                .await?
                .is_empty()
        {}
    }
    Ok(())
}

fn refused(what: String, remedy: String) -> Error {
    Error::Staged { what, remedy }
}

fn from_source(reason: &str) -> String {
    format!("{reason}: rebuild `--from source`, and take a new snapshot (docs/operations.md)")
}

fn refuse_streams(spec: &StreamSpec, dataset: &DatasetSpec) -> Result<(), Error> {
    let name = &dataset.name;
    if !spec.input.is_events() {
        return Err(Error::Usage(format!(
            "dataset `{name}` is read from the source whole, nothing of it is staged: rebuild it `--from source`"
        )));
    }
    if spec.stream.dataset.is_none() {
        return Err(Error::Usage(format!(
            "dataset `{name}` is merged in one transaction with the others of its store: it cannot go back in staging while they \
             do not; rebuild it `--from source`"
        )));
    }
    Ok(())
}

/// What is staged must be the topic that was merged; returns how many partitions it has.
async fn recognise(session: &Session, stream: &Stream) -> Result<usize, Error> {
    let found = topics::find(session, stream.id, &stream.spec).await?;
    for (part, found) in &found {
        if let Some(Refusal { what, remedy }) = Refusal::of(&stream.spec, part, found.generation) {
            return Err(Error::Staged { what, remedy });
        }
    }
    Ok(found.keys().filter(|part| part.1 != IMAGE_TOPIC).count())
}

/// First and last offset of the last complete snapshot, merged or not.
async fn bounds(
    session: &Session,
    spec: &StreamSpec,
    dataset: &DatasetSpec,
    position: &Position,
) -> Result<(i64, i64), Error> {
    let rows = session
        .query(
            "look for a complete snapshot",
            &snapshot::find(std::slice::from_ref(dataset), spec.source),
            &[
                (&vec![0_i32], Type::INT4_ARRAY),
                (&vec![position.topic.as_str()], Type::TEXT_ARRAY),
                (&vec![position.partition], Type::INT4_ARRAY),
                (&vec![-1_i64], Type::INT8_ARRAY),
            ],
        )
        .await?;
    let bounds = |row: &tokio_postgres::Row| {
        let (low, high): (Option<i64>, Option<i64>) = (row.get("low"), row.get("high"));
        low.zip(high)
    };
    let found = rows.iter().find_map(bounds);
    found.ok_or_else(|| no_snapshot(dataset))
}

fn no_snapshot(dataset: &DatasetSpec) -> Error {
    refused(
        format!(
            "staging holds no complete snapshot of dataset `{}`, from its first row to its last",
            dataset.name
        ),
        from_source("its rows would not all come back (an incremental snapshot has no end)"),
    )
}

/// Rows may be trimmed once they were merged for longer than they are kept; which are gone, nothing tells. They may have been
/// kept for a shorter time until now, so a snapshot that is not later than all that was trimmed is none.
async fn refuse_what_may_be_trimmed(
    session: &Session,
    stream: &Stream,
    dataset: &DatasetSpec,
    position: &Position,
    low: i64,
) -> Result<(), Error> {
    if low > position.watermark {
        return Ok(());
    }
    let kept = i64::try_from(stream.spec.limits.staged_seconds).unwrap_or(i64::MAX);
    let rows = session
        .query(
            "see when the snapshot was merged",
            &format!(
                "select coalesce(min(b.finished_at) > clock_timestamp() - $6 * interval '1 second', false)\n       \
                        and not exists (select from milepost.streams o\n                        \
                                        join milepost.retention r on r.platform = o.platform and r.store = o.store and r.dataset = $2\n                        \
                                        join {staging} s on s.__connect_topic = $3 and s.__connect_partition = $4 and s.__connect_offset = $5\n                       \
                                       where o.id = $1 and r.trimmed_source_ts_us >= coalesce(s.__source_ts_us, 0)) as is_kept\n  \
                   from milepost.batches b cross join lateral jsonb_array_elements(b.positions_to) p\n \
                  where b.stream_id = $1 and b.status = 'succeeded' and p ->> 'dataset' = $2 and p ->> 'topic' = $3\n   \
                    and (p ->> 'partition')::integer = $4 and (p ->> 'offset')::bigint >= $5",
                staging = dataset.staging.quoted()
            ),
            &[
                (&stream.id, Type::INT8),
                (&dataset.name, Type::TEXT),
                (&position.topic, Type::TEXT),
                (&position.partition, Type::INT4),
                (&low, Type::INT8),
                (&kept, Type::INT8),
            ],
        )
        .await?;
    if rows.first().is_some_and(|row| row.get("is_kept")) {
        return Ok(());
    }
    Err(refused(
        format!(
            "the snapshot of dataset `{}` was merged longer ago than staged rows are kept ({kept} s), or rows of its time were trimmed: rows behind it may be trimmed",
            dataset.name
        ),
        from_source("staging does not tell whether it has all of them"),
    ))
}

/// Counts of staged rows.
struct Counts {
    rows: i64,
    nulls: i64,
    null_deletes: i64,
}

impl Counts {
    async fn read(
        session: &Session,
        dataset: &DatasetSpec,
        catalog: &Catalog,
        position: &Position,
        low: i64,
    ) -> Result<Self, Error> {
        let nulls: Vec<String> = dataset
            .key_columns()
            .map(|column| {
                // A column that a publish has not added yet is null in every row.
                if catalog.has_column(&dataset.staging, &column.staged_as) {
                    format!("s.{} is null", column.staged_as.quoted())
                } else {
                    "true".to_owned()
                }
            })
            .collect();
        let sql = format!(
            "select count(*) as rows, count(*) filter (where is_null) as nulls,\n       \
                    count(*) filter (where is_null and __op = 'd') as null_deletes\n  \
               from (select s.__op, s.__op is distinct from 't' and ({nulls}) as is_null from {staging} s\n         \
                      where s.__connect_topic = $1 and s.__connect_partition = $2 and s.__connect_offset >= $3) r",
            nulls = nulls.join(" or "),
            staging = dataset.staging.quoted()
        );
        let values: [Bound<'_>; 3] = [
            (&position.topic, Type::TEXT),
            (&position.partition, Type::INT4),
            (&low, Type::INT8),
        ];
        let found = session.query("count staged rows", &sql, &values).await?;
        let count = |column: &str| found.first().map_or(0, |row| row.get::<_, i64>(column));
        Ok(Self {
            rows: count("rows"),
            nulls: count("nulls"),
            null_deletes: count("null_deletes"),
        })
    }
}

/// The staged row before the snapshot: the watermark goes back to it, and the topic is recognised by it.
async fn before(
    session: &Session,
    spec: &StreamSpec,
    dataset: &DatasetSpec,
    position: &Position,
    low: i64,
) -> Result<Option<(i64, Value)>, Error> {
    let rows = session
        .query(
            "read the row before the snapshot",
            &generation::last_below(dataset, spec.source),
            &[
                (&position.topic, Type::TEXT),
                (&position.partition, Type::INT4),
                (&low, Type::INT8),
            ],
        )
        .await?;
    Ok(rows.first().and_then(|row| {
        let identity: &str = row.get("identity");
        Some((row.get("off"), serde_json::from_str(identity).ok()?))
    }))
}

/// Does a snapshot row say that it is the first? The lowest row that is staged looks like one where others were trimmed.
async fn is_first(
    session: &Session,
    dataset: &DatasetSpec,
    position: &Position,
    low: i64,
) -> Result<bool, Error> {
    let sql = format!(
        "select coalesce(s.__snapshot in ('first', 'first_in_data_collection'), false) from {} s\n \
          where s.__connect_topic = $1 and s.__connect_partition = $2 and s.__connect_offset = $3",
        dataset.staging.quoted()
    );
    let values: [Bound<'_>; 3] = [
        (&position.topic, Type::TEXT),
        (&position.partition, Type::INT4),
        (&low, Type::INT8),
    ];
    let rows = session
        .query("read the first row of the snapshot", &sql, &values)
        .await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// The statement that takes a partition back to before its snapshot. `$1` stream, `$2` dataset, `$3` topic, `$4` partition, `$5`
/// the watermark, `$6` what the row there is recognised by, or null, `$7` the first offset of the snapshot, `$8` up to where rows
/// have to be merged again.
///
/// The fence begins anew with the snapshot, and how late the dataset is, is told by what is merged again.
pub(crate) fn go_back() -> String {
    format!(
        "update milepost.positions p set watermark = $5, fence_commit = null, fence_row = null, fence_order = null,\n       \
                newest_source_ts_us = null, in_snapshot = true, snapshot_from = $7, refill_after = null, refill_upto = $8,\n       \
                watermark_row = jsonb_strip_nulls(jsonb_build_object('staged', $6::jsonb))\n  \
           from milepost.streams s\n where {OWN}"
    )
}

/// The statement that waits for a snapshot that is staged and not merged yet. `$1` stream, `$2` dataset, `$3` topic, `$4`
/// partition, `$5` up to where rows have to be merged.
pub(crate) fn go_on() -> String {
    format!(
        "update milepost.positions p set refill_after = null, refill_upto = $5, watermark_row = p.watermark_row - 'image'\n  \
           from milepost.streams s\n where {OWN}"
    )
}

const OWN: &str = "s.id = $1 and p.platform = s.platform and p.store = s.store and p.dataset = $2 and p.topic = $3 and p.partition = $4";
