//! What a person says of a topic partition that a stream does not recognise.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use milepost_job_spec::TableRef;
use tokio_postgres::Config;
use tokio_postgres::types::Type;

use crate::Confirmation;
use crate::control::stream::{self, Stream};
use crate::count::counted;
use crate::error::Error;
use crate::quarantine::entry;
use crate::session::{Bound, Session};
use crate::staging::transaction::Part;
use crate::topics::{Found, State, find};

/// What is said of which partitions.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The platform.
    pub platform: String,
    /// The store.
    pub store: String,
    /// The dataset; none for the topic of the store's transactions.
    pub dataset: Option<String>,
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: BTreeSet<i32>,
    /// What they are.
    pub meaning: Meaning,
}

/// What a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A new topic or partition of the same source. It may be announced before its first row.
    New,
    /// The topic was deleted and made again: what is staged of it goes, and its offsets begin anew. The highest merged source
    /// position stays, until a snapshot begins: what the connector delivers again is no news.
    Recreated,
    /// The topic is the one that was merged; what is staged of it now is taken for what was.
    Same,
}

/// Says what partitions of a topic are; returns what was done, or would be, for a person.
///
/// # Errors
/// [`Error::UnknownStream`] if no published stream has the dataset; [`Error::Usage`] if that cannot be said of a partition;
/// [`Error::Held`] if a merge of the stream runs.
pub async fn accept(
    config: &Config,
    acceptance: &Acceptance,
    confirmation: Confirmation,
) -> Result<String, Error> {
    let session = Session::connect(config).await?;
    let dataset = acceptance.dataset.as_deref();
    let streams = stream::published(
        &session,
        &acceptance.platform,
        Some(&acceptance.store),
        dataset,
    )
    .await?;
    let own = streams
        .iter()
        .find_map(|stream| Own::of(stream, dataset))
        .ok_or_else(|| {
            Error::Usage(format!(
                "no stream of store `{}` reads a topic of transactions: give --dataset",
                acceptance.store
            ))
        })?;
    stream::hold(&session, own.stream).await?;
    let text = own.accept(&session, acceptance, confirmation).await?;
    match confirmation {
        Confirmation::Plan => {
            session.script("end reading", "rollback").await?;
            Ok(text + "nothing was changed: add --yes to do it\n")
        }
        Confirmation::Confirmed => {
            entry::tell(&session, &own.stream.spec.stream, text.trim_end()).await?;
            session.script("commit", "commit").await?;
            Ok(text)
        }
    }
}

/// A dataset of a stream, or its transactions.
struct Own<'a> {
    stream: &'a Stream,
    index: usize,
    /// As in `milepost.positions`.
    name: &'a str,
    table: &'a TableRef,
}

impl<'a> Own<'a> {
    fn of(stream: &'a Stream, dataset: Option<&str>) -> Option<Self> {
        let spec = &stream.spec;
        let Some(dataset) = dataset else {
            return spec.transactions.as_ref().map(|table| Self {
                stream,
                index: spec.datasets.len(),
                name: "",
                table,
            });
        };
        let index = spec.datasets.iter().position(|own| own.name == dataset)?;
        let own = &spec.datasets[index];
        Some(Self {
            stream,
            index,
            name: &own.name,
            table: &own.staging,
        })
    }

    /// Looks, and does it where it is confirmed.
    async fn accept(
        &self,
        session: &Session,
        acceptance: &Acceptance,
        confirmation: Confirmation,
    ) -> Result<String, Error> {
        let mut found = find(session, self.stream.id, &self.stream.spec).await?;
        let mut text = String::new();
        for &partition in &acceptance.partitions {
            let part = (self.index, acceptance.topic.clone(), partition);
            let place = format!("topic `{}`, partition {partition}", acceptance.topic);
            let of = found.remove(&part);
            let known = of.as_ref().and_then(|of| of.position.as_ref());
            let is_one_of_many = acceptance.partitions.len() > 1 || self.knows(&part.1, &found);
            if acceptance.meaning == Meaning::New && self.is_without_key() && is_one_of_many {
                return Err(Error::Usage(format!(
                    "dataset `{}` has no key, so its topic has one partition, and no other is accepted: see docs/operations.md",
                    self.name
                )));
            }
            let merged = match (acceptance.meaning, known) {
                (Meaning::New, Some(_)) => {
                    return Err(Error::Usage(format!(
                        "{place} is known already: see `merge-job topics list`"
                    )));
                }
                (Meaning::Recreated | Meaning::Same, None) => {
                    return Err(Error::Usage(format!(
                        "nothing was merged from {place}: see `merge-job topics list`, or accept it as new"
                    )));
                }
                (_, known) => known.map_or(-1, |known| known.watermark),
            };
            let values: [Bound<'_>; 4] = [
                (&self.stream.id, Type::INT8),
                (&self.name, Type::TEXT),
                (&acceptance.topic, Type::TEXT),
                (&partition, Type::INT4),
            ];
            let state = of.as_ref().map(|of| State::of(of.generation).to_string());
            let told = format!("{place} ({})", state.as_deref().unwrap_or("not staged"));
            let _ = match acceptance.meaning {
                Meaning::New => writeln!(text, "{told}: new, merged from its first staged row on"),
                Meaning::Same => writeln!(
                    text,
                    "{told}: the same, merged from offset {} on",
                    merged + 1
                ),
                Meaning::Recreated => {
                    let old = self.old(session, &place, &values).await?;
                    writeln!(
                        text,
                        "{told}: made again, {} and {} of the old one removed, merged from its first row on; merged rows stay; \
                         set the sink's consumer group to the beginning of the topic",
                        counted(old.staged, "staged row", "staged rows"),
                        counted(
                            old.closed,
                            "closed quarantine entry",
                            "closed quarantine entries"
                        )
                    )
                }
            };
            if confirmation == Confirmation::Confirmed {
                self.write(session, acceptance.meaning, &values).await?;
            }
        }
        Ok(text)
    }

    fn is_without_key(&self) -> bool {
        let dataset = self.stream.spec.datasets.get(self.index);
        dataset.is_some_and(|dataset| dataset.key.is_empty())
    }

    /// Is a partition of the topic known?
    fn knows(&self, topic: &str, found: &BTreeMap<Part, Found>) -> bool {
        found.iter().any(|(part, found)| {
            part.0 == self.index && part.1 == topic && found.position.is_some()
        })
    }

    /// What a recreated partition leaves behind, at offsets that are those of other rows now. Refused while entries of it are
    /// open: their place among the rows of the new topic is none.
    async fn old(
        &self,
        session: &Session,
        place: &str,
        values: &[Bound<'_>],
    ) -> Result<Old, Error> {
        let sql = format!(
            "select (select count(*) from {} where __connect_topic = $3 and __connect_partition = $4) as staged,\n       \
                    count(*) filter (where q.status = 'open') as open, count(*) filter (where q.status <> 'open') as closed\n  \
               from milepost.streams s join milepost.quarantine q on q.platform = s.platform and q.store = s.store\n \
              where s.id = $1 and q.dataset = $2 and q.topic = $3 and q.partition = $4",
            self.table.quoted()
        );
        let rows = session
            .query("count what the old topic leaves", &sql, values)
            .await?;
        let count = |column: &str| rows.first().map_or(0, |row| row.get::<_, i64>(column));
        let open = count("open");
        if open > 0 {
            let (rows, are) = (
                counted(open, "row", "rows"),
                if open == 1 { "is" } else { "are" },
            );
            return Err(Error::Obstacle {
                what: format!("{rows} of {place} {are} in open quarantine"),
                remedy: "replay or discard them first: `merge-job quarantine list`".to_owned(),
            });
        }
        Ok(Old {
            staged: count("staged"),
            closed: count("closed"),
        })
    }

    async fn write(
        &self,
        session: &Session,
        meaning: Meaning,
        values: &[Bound<'_>],
    ) -> Result<(), Error> {
        let remove = format!(
            "delete from {} where __connect_topic = $1 and __connect_partition = $2",
            self.table.quoted()
        );
        let own = "from milepost.streams s\n \
             where s.id = $1 and p.platform = s.platform and p.store = s.store and p.dataset = $2 and p.topic = $3 and p.partition = $4";
        let sql = match meaning {
            Meaning::New => {
                "insert into milepost.positions (platform, store, dataset, topic, partition, watermark)\n\
                 select s.platform, s.store, $2, $3, $4, -1 from milepost.streams s where s.id = $1"
                    .to_owned()
            }
            Meaning::Same => format!(
                "update milepost.positions p set watermark_row = p.watermark_row - 'staged', lowest_offset = null, lowest_row = null {own}"
            ),
            // What says where the source stands stays; what says where the topic stands goes.
            Meaning::Recreated => format!(
                "update milepost.positions p set watermark = -1, lowest_offset = null, lowest_row = null, in_snapshot = false,\n       \
                        snapshot_from = null,\n       \
                        refill_after = case when coalesce(p.refill_after, p.refill_upto) is not null then -1 end, refill_upto = null,\n       \
                        watermark_row = jsonb_strip_nulls(jsonb_build_object('fence_tx', p.watermark_row -> 'fence_tx', 'appended', p.watermark_row -> 'appended'))\n  {own}"
            ),
        };
        session
            .execute("write what the topic is", &sql, values)
            .await?;
        if meaning == Meaning::Recreated {
            let entries = "delete from milepost.quarantine q using milepost.streams s\n \
                 where s.id = $1 and q.platform = s.platform and q.store = s.store and q.dataset = $2 and q.topic = $3 and q.partition = $4";
            session
                .execute("remove entries of a topic that is no more", entries, values)
                .await?;
            session
                .execute(
                    "remove rows of a topic that is no more",
                    &remove,
                    &values[2..],
                )
                .await?;
        }
        Ok(())
    }
}

/// What the old topic leaves behind.
struct Old {
    staged: i64,
    closed: i64,
}
