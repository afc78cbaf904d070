//! The topic partitions of streams, for people and for programs.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;

use crate::control::stream;
use crate::error::Error;
use crate::session::Session;
use crate::staging::generation::Generation;
use crate::topics::{Found, find};

/// Topic partitions that are merged, or staged.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// The version of this shape.
    version: u32,
    /// By stream, dataset, topic and partition.
    pub partitions: Vec<Partition>,
}

/// A topic partition.
#[derive(Debug, Serialize)]
pub struct Partition {
    /// The store.
    pub store: String,
    /// The dataset; none for the topic of the store's transactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The topic.
    pub topic: String,
    /// The partition of the topic.
    pub partition: i32,
    /// What it is to the rows that were merged.
    pub state: State,
    /// The highest merged offset; none before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged: Option<i64>,
    /// The lowest staged offset; none where no row is staged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest: Option<i64>,
    /// The highest staged offset; none where no row is staged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest: Option<i64>,
}

/// What a topic partition is to the rows that were merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// What is staged follows what was merged; or nothing was merged yet.
    Known,
    /// New beside another from which rows were merged: it stops the stream.
    New,
    /// Another row stands where one was merged: it stops the stream.
    Recreated,
    /// The row at the last merged offset is not staged: it stops the stream.
    Missing,
}

impl State {
    pub(super) const fn of(generation: Generation) -> Self {
        match generation {
            Generation::Same => Self::Known,
            Generation::Beside => Self::New,
            Generation::Recreated(_) => Self::Recreated,
            Generation::Missing(_) => Self::Missing,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Known => "known",
            Self::New => "new",
            Self::Recreated => "recreated",
            Self::Missing => "missing",
        })
    }
}

/// Lists the topic partitions of a platform, of a store, or of a dataset of a store.
///
/// # Errors
/// [`Error::UnknownStream`] if the scope has no published stream; [`Error::Sql`] if a table cannot be read.
pub async fn list(
    session: &Session,
    platform: &str,
    store: Option<&str>,
    dataset: Option<&str>,
) -> Result<Listing, Error> {
    let mut partitions = Vec::new();
    for stream in stream::published(session, platform, store, dataset).await? {
        let begin = "begin isolation level repeatable read read only";
        session.script("begin to read", begin).await?;
        let found = find(session, stream.id, &stream.spec).await?;
        session.script("end reading", "rollback").await?;
        for ((index, topic, partition), found) in found {
            let own = stream.spec.datasets.get(index).map(|own| own.name.clone());
            if dataset.is_some() && own.as_deref() != dataset {
                continue;
            }
            let Found {
                position,
                generation,
                seen,
                head,
            } = found;
            partitions.push(Partition {
                store: stream.spec.stream.store.clone(),
                dataset: own,
                topic,
                partition,
                state: State::of(generation),
                merged: position.map(|own| own.watermark).filter(|at| *at >= 0),
                lowest: seen.lowest.map(|(offset, _)| offset),
                highest: head,
            });
        }
    }
    Ok(Listing {
        version: 1,
        partitions,
    })
}

impl Listing {
    /// For people: a line each.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let offset =
            |at: Option<i64>| at.map_or_else(|| "none".to_owned(), |offset| offset.to_string());
        for own in &self.partitions {
            let of = own
                .dataset
                .as_ref()
                .map_or_else(|| " transactions".to_owned(), |name| format!("#{name}"));
            let _ = writeln!(
                text,
                "{}{of}  {}/{}  {}  merged {}, staged {} to {}",
                own.store,
                own.topic,
                own.partition,
                own.state,
                offset(own.merged),
                offset(own.lowest),
                offset(own.highest)
            );
        }
        if self.partitions.is_empty() {
            text.push_str("nothing is staged, and nothing was merged\n");
        }
        text
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a listing has only text keys");
        text.push('\n');
        text
    }
}
