//! Open entries, for people and for programs. Keys and payloads are values of rows: only on demand.

use std::fmt::Write as _;

use serde::Serialize;

use crate::error::Error;
use crate::migrate;
use crate::quarantine::plan::counted;
use crate::quarantine::scope::{OPEN, Scope};
use crate::session::Session;

/// Open entries of the quarantine.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// The version of this shape.
    version: u32,
    /// The entries, in the order in which they would be replayed.
    pub entries: Vec<Entry>,
}

/// An open entry.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Its number, for `--id`.
    pub id: i64,
    /// The store.
    pub store: String,
    /// The dataset.
    pub dataset: String,
    /// The topic of the row.
    pub topic: String,
    /// The partition of the topic.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The batch that set it aside.
    pub batch_number: i64,
    /// Why it does not fit.
    pub reason: String,
    /// When it was set aside, in UTC.
    pub quarantined_at: String,
    /// How long ago that was.
    pub age_seconds: i64,
    /// The key, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<serde_json::Value>,
    /// The staged row, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<serde_json::Value>,
}

/// Reads the open entries of a scope.
///
/// # Errors
/// [`Error::Migrate`] without control tables; [`Error::Sql`] if they cannot be read.
pub async fn list(session: &Session, scope: &Scope, show_payload: bool) -> Result<Listing, Error> {
    migrate::require(session).await?;
    let sql = format!(
        "select q.id, q.store, q.dataset, q.topic, q.partition, q.\"offset\", q.batch_number, q.reason,\n       \
                to_char(q.quarantined_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as quarantined_at,\n       \
                extract(epoch from clock_timestamp() - q.quarantined_at)::bigint as age,\n       \
                case when $5::boolean then q.key end as key, case when $5::boolean then q.payload end as payload\n  \
           from milepost.quarantine q where {OPEN}\n \
          order by q.store, q.dataset, q.topic, q.partition, q.\"offset\""
    );
    let mut values = scope.values().to_vec();
    values.push((&show_payload, tokio_postgres::types::Type::BOOL));
    let rows = session
        .query("read the open entries", &sql, &values)
        .await?;
    let entries = rows
        .iter()
        .map(|row| Entry {
            id: row.get("id"),
            store: row.get("store"),
            dataset: row.get("dataset"),
            topic: row.get("topic"),
            partition: row.get("partition"),
            offset: row.get("offset"),
            batch_number: row.get("batch_number"),
            reason: row.get("reason"),
            quarantined_at: row.get("quarantined_at"),
            age_seconds: row.get("age"),
            key: row.get("key"),
            payload: row.get("payload"),
        })
        .collect();
    Ok(Listing {
        version: 1,
        entries,
    })
}

impl Listing {
    /// For people: one line per entry, then the sum.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            let Entry {
                id,
                store,
                dataset,
                topic,
                partition,
                offset,
                reason,
                ..
            } = entry;
            let age = age(entry.age_seconds);
            let _ = writeln!(
                text,
                "{id}  {store}#{dataset}  {topic}/{partition}@{offset}  {age}  {reason}"
            );
            for (name, value) in [("key", &entry.key), ("payload", &entry.payload)] {
                if let Some(value) = value {
                    let _ = writeln!(text, "    {name}: {value}");
                }
            }
        }
        let count = i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
        let _ = writeln!(text, "{} open", counted(count));
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

/// `40 s`, `12 min`, `5 h`, `9 d`.
fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        let ages = [0, 119, 120, 7200, 172_800].map(age);
        assert_eq!(ages, ["0 s", "119 s", "2 min", "2 h", "2 d"]);
    }
}
