//! The merge itself: events in, rows out. Pure statements; [`crate::batch`] runs them.
//!
//! Rows by key take two steps. *Reduce* makes the changes of a dataset from its events, in one statement. *Write* applies
//! them: what is closed first, then the live rows. The usual batch is written by searching each key ([`at_once`]), and told
//! by the server what became of it. Where more is to be known of changes before they are made, reducing looks each key up
//! once and keeps where its row stands (`ctid`), so that writing needs no second search of the index; that the rows touched
//! are as many as planned is checked, so a stranger's write is noticed. Rows without a key are appended in one step.

use std::collections::{BTreeMap, BTreeSet};

use milepost_job_spec::{Strategy, StreamKey};

use crate::staging::events::Shape;
use crate::staging::fill;

pub mod append;
pub mod at_once;
pub mod live;
pub mod milestoned;

/// Moments are bound as microseconds since 1970: exact, where a float would not be.
pub(crate) fn moment(microseconds: &str) -> String {
    format!("(timestamptz 'epoch' + ({microseconds}) * interval '1 microsecond')")
}

/// The commit time of an event, null for a snapshot row.
pub(crate) fn source_ts(event: &str) -> String {
    let moment = moment(&format!("{event}x_ts"));
    format!("case when {event}x_op = 'r' then null else {moment} end")
}

/// Do the images of event and live row differ? Images are compared byte by byte: that exists for every type and misses no
/// change (T01–T06).
pub(crate) fn differs(shape: &Shape<'_>, event: &str, live: &str) -> String {
    format!(
        "record_image_ne(row({}), row({}))",
        shape.all(event),
        shape.names(live)
    )
}

/// The statement that counts what the changes of all datasets will do, one row each, and reads the server's clock.
///
/// `changes` has the number of changes of each dataset that is merged [`at_once`]. Columns: place, inserted,
/// updated, deleted, unchanged, changes that come of rows beyond doubt, doubtful rows that were news after all, closed, most
/// effective events of one key, rows that go to the closed table, live rows to be inserted and updated, changes of which it
/// is not known yet what they do, images of deleted last rows for the datasets of `last_deletes` (whose values are those of
/// [`fill::last_images`], in order), clock in microseconds.
#[must_use]
pub fn count(
    shapes: &[Shape<'_>],
    changes: &BTreeMap<usize, u64>,
    stream: &StreamKey,
    last_deletes: &BTreeSet<usize>,
) -> String {
    let mut value = 1;
    let mut parts = Vec::new();
    for shape in shapes {
        let count = match (changes.get(&shape.index), shape.dataset.strategy) {
            (Some(changes), _) => at_once::count(shape, *changes),
            (None, Strategy::LiveOnly) => live::count(shape),
            (None, Strategy::Milestoned { .. }) => milestoned::count(shape),
            (None, Strategy::Append) => append::count(shape),
        };
        let images = if last_deletes.contains(&shape.index) {
            let images = fill::last_images(shape, stream, value);
            value += fill::LAST_IMAGES_VALUES;
            format!("({images})")
        } else {
            "null::jsonb".to_owned()
        };
        parts.push(format!(
            "select c.*, {images} as last_images from ({count}) c"
        ));
    }
    format!(
        "select n.*, (extract(epoch from clock_timestamp()) * 1000000)::bigint as clock_us\n  from (\n{}\n) n order by i",
        parts.join("\nunion all\n")
    )
}
