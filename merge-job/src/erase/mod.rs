//! `merge-job erase`: every row of a key is removed, from the merge table with its history, from staging and from quarantine,
//! and a row of `milepost.erasures` says so without values.
//!
//! Without a confirmation it returns the plan of what it would do. What is decided here is written down in
//! `docs/decisions/0016-erase.md`.

pub(crate) mod found;
pub(crate) mod key;
pub mod statement;
mod vacuum;

pub use crate::batch::erase::STEPS;
pub use key::{Given, MAX_KEYS};

use milepost_job_spec::{DatasetSpec, TableRef};
use tokio_postgres::Config;

use crate::Confirmation;
use crate::batch::erase::{self, Done, Request};
use crate::control::stream::{self, Stream};
use crate::count::counted;
use crate::erase::found::Found;
use crate::erase::key::Keys;
use crate::erase::statement::Place;
use crate::error::Error;
use crate::rebuild::kept;
use crate::run;
use crate::session::Session;
use crate::tables::{self, Change};

/// What is erased.
pub struct Erasure {
    /// The platform.
    pub platform: String,
    /// The store.
    pub store: String,
    /// The dataset.
    pub dataset: String,
    /// The keys.
    pub keys: Given,
    /// Why, for the audit. It should name a request, not a person.
    pub reason: Option<String>,
}

/// Erases keys; returns what was done, or would be, for a person.
///
/// # Errors
/// [`Error::UnknownStream`] if no published stream has the dataset; [`Error::Usage`] if it has no key or that is no key of it;
/// [`Error::Held`] if a merge of the stream runs; [`Error::Staged`] if rows of a key are not merged yet.
pub async fn erase(
    config: &Config,
    erasure: &Erasure,
    confirmation: Confirmation,
) -> Result<String, Error> {
    let mut session = Session::connect(config).await?;
    let streams = stream::published(
        &session,
        &erasure.platform,
        Some(&erasure.store),
        Some(&erasure.dataset),
    )
    .await?;
    let Some(mut stream) = streams.into_iter().next() else {
        return Err(Error::UnknownStream(erasure.dataset.clone()));
    };
    // What a plan would trip over, an erasure is stopped by.
    let changes = tables::differences(&stream.spec, &stream.catalog);
    if let Some(refusal) = changes.iter().flat_map(Change::refusals).next() {
        return Err(refusal.into());
    }
    if confirmation == Confirmation::Confirmed {
        run::reconcile(&session, &mut stream).await?;
    }
    let place = place(&stream, &erasure.dataset)?;
    if confirmation == Confirmation::Confirmed {
        refuse_kept(&session, place.dataset).await?;
    }
    let keys = Keys::parse(place.dataset, &erasure.keys)?;
    let request = Request {
        stream: &stream,
        place,
        keys: &keys,
        reason: erasure.reason.as_deref(),
    };
    match confirmation {
        Confirmation::Plan => {
            let found = request.plan(&session).await?;
            let kept = kept::of(&session, &place.dataset.merge).await?;
            Ok(plan(&stream, &place, &found, &kept))
        }
        Confirmation::Confirmed => {
            let done = match request.run(&session).await {
                Err(error) if error.is_disconnect() => {
                    session = Session::connect(config).await?;
                    request.after_lost_commit(&session, error).await?
                }
                Err(error) => {
                    session.script("roll back the erasure", "rollback").await?;
                    return Err(error);
                }
                Ok(done) => done,
            };
            erase::fault("vacuum");
            let vacuumed = vacuum::vacuum(&session, &place).await;
            Ok(told(&stream, &place, &done) + &vacuumed + AFTERWARDS)
        }
    }
}

/// What an erasure cannot reach, in a sentence for the operator.
const AFTERWARDS: &str = "outside of these tables nothing was erased: the source, Kafka's topics, backups, the write-ahead log and free space in files have \
    their own times; what the sink delivers again is staged again and takes another `erase`\n";

/// The dataset of a stream, which must have a key.
fn place<'a>(stream: &'a Stream, dataset: &str) -> Result<Place<'a>, Error> {
    let spec = &stream.spec;
    let own = spec.datasets.iter().find(|own| own.name == *dataset);
    let Some(dataset) = own else {
        return Err(Error::UnknownStream(format!("{}#{dataset}", spec.stream)));
    };
    if dataset.key.is_empty() {
        return Err(Error::Usage(format!(
            "dataset `{}` has no key, so nothing says which of its rows are of one thing: see \"Erase a key\" in docs/operations.md",
            dataset.name
        )));
    }
    Ok(Place {
        dataset,
        source: spec.source,
        is_of_events: spec.input.is_events(),
    })
}

fn heading(stream: &Stream, place: &Place<'_>, found: &Found) -> String {
    let key = &stream.spec.stream;
    format!(
        "{} of {}/{}#{}",
        found.keys(),
        key.platform,
        key.store,
        place.dataset.name
    )
}

fn plan(stream: &Stream, place: &Place<'_>, found: &Found, kept: &[TableRef]) -> String {
    let mut text = format!(
        "{}:\n{}",
        heading(stream, place, found),
        found.to_text(place)
    );
    text.push_str(
        "an erasure is no delete at the source: events that are not staged yet, and the next event, snapshot or image while the source has the row, \
         bring it back\n",
    );
    if found.unmerged > 0 {
        text.push_str(&format!(
            "{}; with --yes that is refused: merge first\n",
            unmerged(found)
        ));
    }
    for table in kept {
        text.push_str(&format!(
            "`{table}`, which a rebuild kept aside, is not looked at; with --yes that is refused: drop it first\n"
        ));
    }
    text.push_str("nothing was changed: add --yes to do it\n");
    text
}

/// Refuses to say that a key is erased while a table that a rebuild kept aside may have it.
async fn refuse_kept(session: &Session, dataset: &DatasetSpec) -> Result<(), Error> {
    let kept = kept::of(session, &dataset.merge).await?;
    let Some(table) = kept.first() else {
        return Ok(());
    };
    let name = table.quoted();
    Err(Error::Obstacle {
        what: format!(
            "table `{table}`, which a rebuild kept aside, may have these rows, be it under another key; nothing was erased"
        ),
        remedy: format!(
            "`drop table {name}`; or delete the rows there by SQL, then `comment on table {name} is null`, and it is none of ours any more"
        ),
    })
}

fn told(stream: &Stream, place: &Place<'_>, done: &Done) -> String {
    let found = &done.found;
    let batch = match done.batch {
        Some(number) => format!("erased in batch {number}"),
        None => "nothing was found".to_owned(),
    };
    format!(
        "{}: {batch}, erasure {}\n{}",
        heading(stream, place, found),
        done.id,
        found.to_text(place)
    )
}

/// `2 staged rows of them are not merged yet`
pub(crate) fn unmerged(found: &Found) -> String {
    let are = if found.unmerged == 1 { "is" } else { "are" };
    format!(
        "{} of the keys {are} not merged yet",
        counted(found.unmerged, "staged row", "staged rows")
    )
}
