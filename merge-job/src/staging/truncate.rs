//! Truncates (T26): a `t` row is, in its place, a delete of every key live then, or nothing, or the end of the batch.
//!
//! The deletes that a truncate comes to are events like others, but no staged rows: their `x_topic` is null. So positions,
//! which are told by topic, never see them, and counts leave them out.

use milepost_job_spec::{OnTruncate, StreamKey, StreamSpec};

use crate::control::position::Position;
use crate::error::Error;
use crate::sql::literal;
use crate::staging::events::{STATE_TRUNCATE, STATE_VALID, Shape};

/// A truncate among the events of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncate {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its commit position, where the source tells one.
    pub commit: Option<i64>,
}

impl Truncate {
    /// Is it of this partition?
    pub(crate) fn is_in(&self, position: &Position) -> bool {
        self.topic == position.topic && self.partition == position.partition
    }

    /// Is it surely earlier than another one?
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        if (&self.topic, self.partition) == (&other.topic, other.partition) {
            return self.offset < other.offset;
        }
        matches!((self.commit, other.commit), (Some(own), Some(other)) if own < other)
    }

    /// The error of a stream that nothing lets pass it.
    pub(crate) fn stops(&self, spec: &StreamSpec, dataset: &str) -> Error {
        let stream = &spec.stream;
        let is_append = spec
            .datasets
            .iter()
            .any(|own| own.name == dataset && own.strategy.is_append());
        let only = stream
            .dataset
            .as_ref()
            .map_or_else(String::new, |dataset| format!(" --dataset {dataset}"));
        let command = format!(
            "merge-job merge --platform {} --store {}{only} --truncate",
            stream.platform, stream.store
        );
        let remedy = if is_append {
            format!(
                "all before it is merged, and rows without a key are never deleted; run `{command} ignore` to let it pass: see \
                 docs/operations.md"
            )
        } else {
            format!(
                "all before it is merged; run `{command} close-all` to delete the rows as the source did, or with `--truncate ignore` \
                 to keep them: see docs/operations.md"
            )
        };
        Error::Truncated {
            dataset: dataset.to_owned(),
            truncate: self.clone(),
            remedy,
        }
    }
}

/// The query for the truncates that are no replays, in position order.
#[must_use]
pub fn find(shape: &Shape<'_>) -> String {
    format!(
        "select x_topic, x_part, x_off, x_commit from {} where x_op = 't' and x_state = {STATE_VALID} order by x_topic, x_part, x_off",
        shape.events()
    )
}

/// The statements that let truncates take effect, in position order. They run as one script: all values are numbers.
///
/// Whatever a key's last event before the truncate left live is deleted there, and so is what the table has live of keys
/// without such an event. Both sides are as large as the table, so they are hashed, which a batch otherwise never does.
#[must_use]
pub fn execute(shape: &Shape<'_>, policy: OnTruncate, truncates: &[Truncate]) -> String {
    let events = shape.events();
    let mut script = String::new();
    if policy == OnTruncate::CloseAll {
        script.push_str("set local enable_hashjoin = on;\n");
        for truncate in truncates {
            script.push_str(&delete_all(shape, truncate.offset));
        }
        script.push_str("set local enable_hashjoin = off;\n");
    }
    script.push_str(&format!(
        "update {events} set x_state = {STATE_TRUNCATE} where x_op = 't' and x_state = {STATE_VALID}"
    ));
    script
}

fn delete_all(shape: &Shape<'_>, offset: i64) -> String {
    let events = shape.events();
    let mut columns = "x_part, x_off, x_op, x_ts, x_state, x_doubt".to_owned();
    let mut values = format!("t.x_part, t.x_off, 'd', t.x_ts, {STATE_VALID}::smallint, t.x_doubt");
    for place in shape.key() {
        columns.push_str(&format!(", c{place}"));
        values.push_str(&format!(", k.c{place}"));
    }
    for place in shape.fillable() {
        columns.push_str(&format!(", u{place}"));
        values.push_str(", false");
    }
    let stored: Vec<String> = shape
        .key()
        .into_iter()
        .map(|place| format!("l.{}", shape.dataset.columns[place].name.quoted()))
        .collect();
    format!(
        "insert into {events} ({columns})\n\
         select {values}\n  \
           from {events} t cross join (\n    \
             select {keys} from (select distinct on ({keys}) {keys}, x_op from {events}\n                                 \
               where x_state = {STATE_VALID} and x_off < {offset} order by {keys}, {rank} desc, x_topic nulls first) e where e.x_op not in ('d', 't')\n    \
             union all\n    \
             select {stored} from {live} l\n     \
              where not exists (select from {events} e where e.x_state = {STATE_VALID} and e.x_op <> 't' and e.x_off < {offset} and {same})) k\n \
          where t.x_op = 't' and t.x_topic is not null and t.x_off = {offset} and t.x_state = {STATE_VALID};\n",
        keys = shape.keys(""),
        rank = shape.rank(""),
        stored = stored.join(", "),
        live = shape.dataset.live_table().quoted(),
        same = shape.live_key("l.", "e.", None),
    )
}

/// The statement that takes back deletes behind a delete: the row that they were of was set aside since. The staged delete is
/// then the last of its key, and counts as what it did.
#[must_use]
pub fn take_back(shape: &Shape<'_>) -> String {
    format!(
        "delete from {events} where ctid in (\n  \
           select t from (select ctid as t, x_topic, x_op, lag(x_op) over (partition by {keys} order by {order}) as x_before\n                   \
                            from {events} where x_state = {STATE_VALID}) e\n   \
            where x_topic is null and x_op = 'd' and x_before = 'd')",
        events = shape.events(),
        keys = shape.keys(""),
        order = shape.order(""),
    )
}

/// The statement that closes entries of the quarantine that stand before a truncate which took effect. `$1` the offset of
/// the last one.
#[must_use]
pub fn supersede(shape: &Shape<'_>, stream: &StreamKey) -> String {
    format!(
        "update milepost.quarantine set status = 'superseded', closed_at = clock_timestamp()\n \
          where platform = {platform} and store = {store} and dataset = {dataset} and status = 'open' and \"offset\" < $1",
        platform = literal(&stream.platform),
        store = literal(&stream.store),
        dataset = literal(&shape.dataset.name),
    )
}
