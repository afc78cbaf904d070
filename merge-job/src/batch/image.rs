//! A batch whose rows are images: the merge job reads whole tables of the source, and the usual steps merge them.
//!
//! The images are put into temporary tables of the staging tables' shape, so casts, refusals, quarantine and merge are those
//! of every batch. They stand for one complete snapshot behind the watermark: live rows that they do not have are closed.
//! The source is read after the stream is locked, so a later batch has a later image.

use std::collections::BTreeMap;

use milepost_job_spec::{IMAGE_TOPIC, StreamSpec};
use tokio_postgres::types::Type;

use crate::batch::cut::known;
use crate::batch::{
    Attempt, Batch, Cut, Ended, Open, Prepared, Progress, Reading, apply, fault, open, prepare,
    record,
};
use crate::control::stream::Stream;
use crate::error::Error;
use crate::image::{Source, heap};
use crate::session::Session;
use crate::staging::cut::Slice;
use crate::staging::events::Shape;
use crate::staging::refusal;

/// Runs one batch to its end. The transaction is rolled back by the caller, or with the connection, on an error.
///
/// # Errors
/// Whatever stands between the source and the commit; nothing is changed then.
pub(crate) async fn run(
    session: &Session,
    source: Source,
    stream: &Stream,
    attempt: &Attempt,
) -> Result<Ended, Error> {
    let stream = read_from_images(stream.clone());
    fault("open");
    let batch = open::open(session, &stream).await?;
    fault("cut");
    let batch = take(batch, source).await?;
    supersede(&batch).await?;
    let batch = prepare_once_read(batch, attempt).await?;
    let batch = apply::apply(batch).await?;
    record::record(batch).await
}

/// The stream as a batch of images sees it: the temporary tables stage its rows, as text.
fn read_from_images(mut stream: Stream) -> Stream {
    let StreamSpec {
        datasets,
        transactions,
        ..
    } = &mut stream.spec;
    for (place, dataset) in datasets.iter_mut().enumerate() {
        dataset.staging = heap::table(place);
        for column in &mut dataset.columns {
            "text".clone_into(&mut column.staging_type);
            // An image has every value.
            column.placeholder = None;
        }
    }
    *transactions = None;
    stream
}

/// Reads the tables of all datasets, and takes all of it.
async fn take(batch: Batch<'_, Open>, source: Source) -> Result<Batch<'_, Cut>, Error> {
    let session = batch.session;
    let spec = &batch.stream.spec;
    let snapshot = source.snapshot(&spec.datasets).await?;
    let mut slices = BTreeMap::new();
    let mut progress = Vec::new();
    for (index, dataset) in spec.datasets.iter().enumerate() {
        let mut position = known(&batch, &dataset.name, IMAGE_TOPIC, heap::PARTITION);
        let create = heap::create(dataset, spec.source, position.watermark);
        session.script("make a table for an image", &create).await?;
        let rows = snapshot.copy(index, session).await?;
        let high = position.watermark + i64::try_from(rows).unwrap_or(i64::MAX);
        progress.push(Progress {
            part: (index, IMAGE_TOPIC.to_owned(), heap::PARTITION),
            merged: high,
            visible: high,
        });
        position.newest_source_ts_us = snapshot.taken_us;
        slices.insert(index, vec![Slice { position, high }]);
    }
    // The source need not wait for the rest.
    drop(snapshot);
    drop(source);
    let settle: Vec<String> = spec.datasets.iter().map(heap::settle).collect();
    session
        .script("index the images", &settle.join(";\n"))
        .await?;
    Ok(batch.with(|open| Cut {
        open,
        slices,
        ends: None,
        exact: true,
        progress,
        anew: BTreeMap::new(),
    }))
}

/// Closes what is in quarantine: the images have those rows anew, or they are gone.
async fn supersede(batch: &Batch<'_, Cut>) -> Result<(), Error> {
    if batch.state.open.open_quarantine {
        close(batch, heap::SUPERSEDE).await?;
    }
    Ok(())
}

/// Closes what images left in quarantine, where events are staged now: the first snapshot of the connector has those rows.
pub(super) async fn supersede_by_events(batch: &Batch<'_, Cut>) -> Result<(), Error> {
    let Open {
        positions,
        open_quarantine,
        replay,
        ..
    } = &batch.state.open;
    let was_image = positions.iter().any(|own| own.topic == IMAGE_TOPIC);
    if *open_quarantine && was_image && !replay {
        close(batch, &heap::supersede_images()).await?;
    }
    Ok(())
}

async fn close(batch: &Batch<'_, Cut>, sql: &str) -> Result<(), Error> {
    let spec = &batch.stream.spec;
    let names: Vec<&str> = spec.datasets.iter().map(|own| own.name.as_str()).collect();
    batch
        .session
        .execute(
            "close superseded entries of images",
            sql,
            &[
                (&spec.stream.platform, Type::TEXT),
                (&spec.stream.store, Type::TEXT),
                (&names, Type::TEXT_ARRAY),
            ],
        )
        .await
        .map(drop)
}

/// Prepares the events; where a value does not cast, again and with care, but without reading the source again.
async fn prepare_once_read<'a>(
    batch: Batch<'a, Cut>,
    attempt: &Attempt,
) -> Result<Batch<'a, Prepared>, Error> {
    let session = batch.session;
    session
        .script("set a savepoint", "savepoint mp_image")
        .await?;
    let again = batch.clone();
    let attempt = |reading| Attempt {
        reading,
        ..attempt.clone()
    };
    match prepare::prepare(batch, &attempt(Reading::Trusting)).await {
        Err(error) if refusal::is_value_error(&error) => {}
        prepared => return prepared,
    }
    session
        .script("go back to a savepoint", "rollback to savepoint mp_image")
        .await?;
    prepare::prepare(again, &attempt(Reading::Careful)).await
}

/// Refuses an image that has several rows of a key, whether they fit or not: which of them is meant, nobody knows.
pub(super) async fn refuse_duplicates(
    batch: &Batch<'_, Cut>,
    shape: &Shape<'_>,
) -> Result<(), Error> {
    let is_known: Vec<String> = shape
        .key()
        .into_iter()
        .map(|place| format!("c{place} is not null"))
        .collect();
    let sql = format!(
        "select count(*) from (select 1 from {} where {} group by {} having count(*) > 1) k",
        shape.events(),
        is_known.join(" and "),
        shape.keys("")
    );
    let rows = batch
        .session
        .query("look for keys with several rows", &sql, &[])
        .await?;
    let count = rows.first().map_or(0, |row| row.get::<_, i64>(0));
    if count == 0 {
        return Ok(());
    }
    let dataset = shape.dataset;
    let key: Vec<&str> = dataset.key.iter().map(|name| name.as_str()).collect();
    let table = dataset
        .source_table
        .as_ref()
        .map_or_else(String::new, ToString::to_string);
    let key = key.join(", ");
    let of = format!("({key}) of dataset `{}`", dataset.name);
    Err(Error::Staged {
        what: match count {
            1 => format!("1 key {of} has several rows in `{table}` at the source"),
            _ => format!("{count} keys {of} have several rows each in `{table}` at the source"),
        },
        remedy: format!(
            "give `{table}` a unique constraint on these columns, or the dataset the key that its rows have"
        ),
    })
}
