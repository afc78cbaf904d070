//! `merge-job topics`: which topic partitions a stream knows, and what a person says of one that it does not recognise.
//!
//! [`list()`] reads; [`accept()`] writes to the control tables, and with [`Meaning::Recreated`] removes staged rows of a topic
//! that is no more. It changes nothing until it is confirmed: without that it returns the plan of what it would do.

mod accept;
mod list;

pub use accept::{Acceptance, Meaning, accept};
pub use list::{Listing, Partition, State, list};

use std::collections::BTreeMap;

use milepost_job_spec::StreamSpec;

use crate::batch::generation::Look;
use crate::batch::open;
use crate::control::position::Position;
use crate::error::Error;
use crate::session::Session;
use crate::staging::generation::{Generation, Seen};
use crate::staging::transaction::Part;

/// A topic partition as it is known and staged.
pub(crate) struct Found {
    position: Option<Position>,
    pub(crate) generation: Generation,
    seen: Seen,
    /// The highest visible offset.
    head: Option<i64>,
}

/// All topic partitions of a stream. In a transaction: keys are compared as texts, so its settings are those of a batch.
pub(crate) async fn find(
    session: &Session,
    stream: i64,
    spec: &StreamSpec,
) -> Result<BTreeMap<Part, Found>, Error> {
    let script = format!("{}; {}", open::SETTINGS, open::positions(stream));
    let rows = session
        .script("read the positions of the stream", &script)
        .await?;
    let positions: Vec<Position> = rows.iter().map(open::position).collect();
    let look = Look::new(spec, positions.iter(), BTreeMap::new());
    let seen = look.look(session).await?;
    Ok(seen
        .into_iter()
        .map(|(part, (seen, head))| {
            let found = Found {
                position: look.known(&part).cloned(),
                generation: look.of(&part, &seen),
                seen,
                head,
            };
            (part, found)
        })
        .collect())
}
