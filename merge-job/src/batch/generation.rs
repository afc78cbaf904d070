//! A batch only takes rows of topics that are still those that were merged: asked along with the cut, and again, for what may
//! have been overwritten since, along with the survey of what was read.

use std::collections::BTreeMap;

use milepost_job_spec::StreamSpec;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::batch::{Batch, Cut, Open};
use crate::control::position::{Fence, Position, Recognised};
use crate::error::Error;
use crate::session::{Bound, Query};
use crate::staging::generation::{self, Generation, Seen};
use crate::staging::transaction::Part;

/// Runs the query that cuts, and refuses what was staged of topics that were made again.
pub(super) async fn cut(
    batch: &Batch<'_, Open>,
    sql: &str,
    values: &[Bound<'_>],
) -> Result<Vec<Row>, Error> {
    let spec = &batch.stream.spec;
    let look = Look::new(spec, known(&batch.state), BTreeMap::new());
    let first = Query {
        label: "cut the staged rows",
        sql,
        values,
    };
    let (rows, seen) = look.along_with(batch.session, first).await?;
    look.judge(&seen)?;
    Ok(rows)
}

/// Runs the query that surveys what was read; the same again, and what the partitions are recognised by from now on.
pub(super) async fn survey(
    batch: &Batch<'_, Cut>,
    sql: &str,
    values: &[Bound<'_>],
) -> Result<(Vec<Row>, BTreeMap<Part, Recognised>), Error> {
    let spec = &batch.stream.spec;
    let cut = &batch.state;
    let first = Query {
        label: "survey the staged rows",
        sql,
        values,
    };
    // An image is read anew each time, and a replay reads what was kept.
    if cut.open.replay || !spec.input.is_events() {
        let rows = batch
            .session
            .query(first.label, first.sql, first.values)
            .await?;
        return Ok((rows, BTreeMap::new()));
    }
    let mut highs: BTreeMap<Part, i64> = BTreeMap::new();
    for (&index, slices) in &cut.slices {
        for slice in slices {
            let position = &slice.position;
            highs.insert(
                (index, position.topic.clone(), position.partition),
                slice.high,
            );
        }
    }
    if let (Some(ends), Some(topic)) = (&cut.ends, &cut.open.end_topic) {
        highs.insert(
            (spec.datasets.len(), topic.topic.clone(), topic.partition),
            ends.offset,
        );
    }
    let look = Look::new(spec, known(&cut.open), highs);
    let (rows, seen) = look.along_with(batch.session, first).await?;
    look.judge(&seen)?;
    let fresh: Vec<&Part> = seen
        .keys()
        .filter(|part| part.0 < spec.datasets.len())
        .filter(|part| !look.known.contains_key(*part) && !look.highs.contains_key(*part))
        .collect();
    if !fresh.is_empty() {
        announce(batch, &fresh).await?;
    }
    Ok((rows, look.recognised(seen)))
}

/// Makes partitions known that were there when the first rows of their dataset were merged, and of which this batch takes none.
async fn announce(batch: &Batch<'_, Cut>, parts: &[&Part]) -> Result<(), Error> {
    let spec = &batch.stream.spec;
    let name = |index: usize| spec.datasets.get(index).map_or("", |own| &own.name);
    let datasets: Vec<&str> = parts.iter().map(|part| name(part.0)).collect();
    let topics: Vec<&str> = parts.iter().map(|part| part.1.as_str()).collect();
    let partitions: Vec<i32> = parts.iter().map(|part| part.2).collect();
    batch
        .session
        .execute(
            "note the partitions that are staged",
            "insert into milepost.positions (platform, store, dataset, topic, partition, watermark)\n\
             select s.platform, s.store, p.dataset, p.topic, p.partition, -1\n  \
               from milepost.streams s cross join unnest($2::text[], $3::text[], $4::integer[]) as p(dataset, topic, partition)\n \
              where s.id = $1",
            &[
                (&batch.stream.id, Type::INT8),
                (&datasets, Type::TEXT_ARRAY),
                (&topics, Type::TEXT_ARRAY),
                (&partitions, Type::INT4_ARRAY),
            ],
        )
        .await
        .map(drop)
}

fn known(open: &Open) -> impl Iterator<Item = &Position> {
    open.positions.iter().chain(&open.end_topic)
}

/// A look at all topic partitions of a stream.
pub(crate) struct Look<'a> {
    spec: &'a StreamSpec,
    known: BTreeMap<Part, &'a Position>,
    highs: BTreeMap<Part, i64>,
}

impl<'a> Look<'a> {
    /// A look at partitions some of which are known, and some of which a batch takes up to an offset.
    pub(crate) fn new(
        spec: &'a StreamSpec,
        positions: impl Iterator<Item = &'a Position>,
        highs: BTreeMap<Part, i64>,
    ) -> Self {
        let mut known = BTreeMap::new();
        for position in positions {
            if let Some(index) = place(spec, &position.dataset) {
                known.insert(
                    (index, position.topic.clone(), position.partition),
                    position,
                );
            }
        }
        Self { spec, known, highs }
    }

    /// Runs a query and, behind it, the look.
    async fn along_with(
        &self,
        session: &crate::session::Session,
        first: Query<'_>,
    ) -> Result<(Vec<Row>, BTreeMap<Part, Seen>), Error> {
        let columns = Columns::of(self);
        let sql = self.sql();
        let second = Query {
            label: Self::LABEL,
            sql: &sql,
            values: &columns.values(),
        };
        let (rows, seen) = session.query_both(first, second).await?;
        Ok((rows, seen.iter().map(seen_part).collect()))
    }

    /// Looks.
    pub(crate) async fn look(
        &self,
        session: &crate::session::Session,
    ) -> Result<BTreeMap<Part, (Seen, Option<i64>)>, Error> {
        let columns = Columns::of(self);
        let rows = session
            .query(Self::LABEL, &self.sql(), &columns.values())
            .await?;
        Ok(rows
            .iter()
            .map(|row| {
                let (part, seen) = seen_part(row);
                (part, (seen, row.get("head")))
            })
            .collect())
    }

    const LABEL: &'static str = "recognise the topics";

    fn sql(&self) -> String {
        let spec = self.spec;
        generation::look(&spec.datasets, spec.transactions.as_ref(), spec.source)
    }

    /// What is known of a partition.
    pub(crate) fn known(&self, part: &Part) -> Option<&'a Position> {
        self.known.get(part).copied()
    }

    /// What a partition is to the rows that were merged.
    pub(crate) fn of(&self, part: &Part, seen: &Seen) -> Generation {
        // Without a key a topic has one partition, whatever a person says: another one is refused where rows are read.
        let has_key = self
            .spec
            .datasets
            .get(part.0)
            .is_none_or(|dataset| !dataset.key.is_empty());
        let mut known = self.known.iter();
        let beside = known.any(|(own, position)| {
            own.0 == part.0 && (has_key || own.1 != part.1) && position.recognised.is_some()
        });
        generation::judge(self.known(part), beside, seen)
    }

    fn judge(&self, seen: &BTreeMap<Part, Seen>) -> Result<(), Error> {
        for (part, seen) in seen {
            if let Some(Refusal { what, remedy }) =
                Refusal::of(self.spec, part, self.of(part, seen))
            {
                return Err(Error::Staged { what, remedy });
            }
        }
        Ok(())
    }

    fn recognised(&self, seen: BTreeMap<Part, Seen>) -> BTreeMap<Part, Recognised> {
        seen.into_iter()
            .filter_map(|(part, seen)| {
                let at_watermark = seen.at_high?;
                Some((
                    part,
                    Recognised {
                        at_watermark,
                        lowest: seen.lowest,
                    },
                ))
            })
            .collect()
    }
}

/// The place of a dataset; the transaction topic's is behind them.
fn place(spec: &StreamSpec, dataset: &str) -> Option<usize> {
    if dataset.is_empty() {
        return spec.transactions.as_ref().map(|_| spec.datasets.len());
    }
    spec.datasets.iter().position(|own| own.name == dataset)
}

/// The values of [`generation::look`].
struct Columns<'a> {
    places: Vec<i32>,
    topics: Vec<&'a str>,
    partitions: Vec<i32>,
    watermarks: Vec<Option<i64>>,
    lowest: Vec<Option<i64>>,
    highs: Vec<Option<i64>>,
}

impl<'a> Columns<'a> {
    fn of(look: &'a Look<'_>) -> Self {
        let mut columns = Self {
            places: Vec::new(),
            topics: Vec::new(),
            partitions: Vec::new(),
            watermarks: Vec::new(),
            lowest: Vec::new(),
            highs: Vec::new(),
        };
        let fresh = look
            .highs
            .keys()
            .filter(|part| !look.known.contains_key(*part));
        for part in look.known.keys().chain(fresh) {
            let position = look.known.get(part);
            let lowest = position
                .and_then(|position| position.recognised.as_ref())
                .and_then(|recognised| recognised.lowest.as_ref());
            columns
                .places
                .push(i32::try_from(part.0).unwrap_or(i32::MAX));
            columns.topics.push(&part.1);
            columns.partitions.push(part.2);
            columns
                .watermarks
                .push(position.map(|position| position.watermark));
            columns.lowest.push(lowest.map(|(offset, _)| *offset));
            columns.highs.push(look.highs.get(part).copied());
        }
        columns
    }

    fn values(&self) -> [Bound<'_>; 6] {
        [
            (&self.places, Type::INT4_ARRAY),
            (&self.topics, Type::TEXT_ARRAY),
            (&self.partitions, Type::INT4_ARRAY),
            (&self.watermarks, Type::INT8_ARRAY),
            (&self.lowest, Type::INT8_ARRAY),
            (&self.highs, Type::INT8_ARRAY),
        ]
    }
}

fn seen_part(row: &Row) -> (Part, Seen) {
    let index = usize::try_from(row.get::<_, i32>("i")).unwrap_or(0);
    let json = |column: &str| {
        row.get::<_, Option<&str>>(column)
            .and_then(|text| serde_json::from_str(text).ok())
    };
    let seen = Seen {
        lowest: row.get::<_, Option<i64>>("lowest").zip(json("lowest_row")),
        lowest_place: row.get::<_, Option<i64>>("commit").map(|commit| Fence {
            commit,
            row: row.get("row"),
            order: None,
        }),
        at_watermark: json("at_watermark"),
        at_high: json("at_high"),
    };
    ((index, row.get("topic"), row.get("part")), seen)
}

/// Why nothing is merged while a partition is not the one that was merged.
pub(crate) struct Refusal {
    pub(crate) what: String,
    pub(crate) remedy: String,
}

impl Refusal {
    pub(crate) fn of(spec: &StreamSpec, part: &Part, found: Generation) -> Option<Self> {
        let (index, topic, partition) = part;
        let dataset = spec.datasets.get(*index);
        let of = dataset.map_or_else(
            || "the transactions".to_owned(),
            |dataset| format!("dataset `{}`", dataset.name),
        );
        let place = format!("topic `{topic}`, partition {partition}, of {of}");
        let accept = |meaning: &str| accept(spec, part, meaning);
        let (what, remedy) = match found {
            Generation::Same => return None,
            Generation::Beside => (
                format!("{place} is new: rows of another topic or partition were merged"),
                format!(
                    "if it holds changes of the same source, run `{}`; else see what writes to the staging table",
                    accept("new")
                ),
            ),
            Generation::Recreated(offset) => (
                format!(
                    "{place} is not the one that was merged: another row stands at offset {offset}"
                ),
                format!(
                    "if the topic was deleted and made again, stop its sink and run `{}`: see docs/operations.md",
                    accept("recreated")
                ),
            ),
            Generation::Missing(offset) => (
                format!(
                    "{place}: the row at offset {offset}, the last that was merged, is not staged any more"
                ),
                format!(
                    "staging was emptied or restored: set the sink's consumer group back to offset {offset}; if the topic does not have \
                 it any more, run `{}`: see docs/operations.md",
                    accept("same")
                ),
            ),
        };
        Some(Self { what, remedy })
    }
}

/// The command that says what a partition is.
fn accept(spec: &StreamSpec, (index, topic, partition): &Part, meaning: &str) -> String {
    let stream = &spec.stream;
    let of = match spec.datasets.get(*index) {
        Some(dataset) => format!("--dataset {}", dataset.name),
        None => "--transactions".to_owned(),
    };
    format!(
        "merge-job topics accept --platform {} --store {} {of} --topic {topic} --partition {partition} --as {meaning}",
        stream.platform, stream.store
    )
}
