//! END events: what the transaction topic says of a source transaction when it is over.

use std::collections::BTreeMap;

use milepost_job_spec::SourcePosition;
use serde::Deserialize;

use crate::staging::position;

/// The end of a source transaction: how many rows it has in each table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Offset in the transaction topic.
    pub offset: i64,
    /// The transaction.
    pub transaction: String,
    /// Where it is over, if the connector tells: above the commit position of its rows, not above those of later
    /// transactions.
    pub position: Option<i64>,
    /// Rows by the table's name at the source.
    pub counts: BTreeMap<String, u64>,
}

impl End {
    /// Rows in a table.
    pub(crate) fn count(&self, table: &str) -> u64 {
        self.counts.get(table).copied().unwrap_or(0)
    }
}

/// Reads a row of the transaction topic; none if it is no END.
///
/// # Errors
/// If the payload is no JSON of the connector's shape.
pub fn read(
    source: SourcePosition,
    offset: i64,
    payload: &str,
) -> Result<Option<End>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Collection {
        data_collection: String,
        event_count: u64,
    }
    #[derive(Deserialize)]
    struct Event {
        status: String,
        id: String,
        data_collections: Option<Vec<Collection>>,
    }
    /// With `schemas.enable` the converter wraps the message.
    #[derive(Deserialize)]
    struct Envelope {
        payload: Event,
    }
    let event: Event = serde_json::from_str(payload).or_else(|error| {
        serde_json::from_str(payload)
            .map(|Envelope { payload }| payload)
            .map_err(|_| error)
    })?;
    if event.status != "END" {
        return Ok(None);
    }
    let counts = event
        .data_collections
        .unwrap_or_default()
        .into_iter()
        .filter(|collection| collection.event_count > 0)
        .map(|collection| (collection.data_collection, collection.event_count))
        .collect();
    Ok(Some(End {
        offset,
        transaction: position::transaction(source, &event.id).to_owned(),
        position: position::end(source, &event.id),
        counts,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_names_its_transaction_with_or_without_a_position() {
        let payload = r#"{"status":"END","id":"571:53195832","event_count":1,
            "data_collections":[{"data_collection":"public.a","event_count":1}],"ts_ms":1}"#;
        let end = read(SourcePosition::Postgres, 7, payload).unwrap().unwrap();
        assert_eq!(
            (end.transaction.as_str(), end.position),
            ("571", Some(53_195_832))
        );
        assert_eq!(
            read(
                SourcePosition::Postgres,
                8,
                r#"{"status":"BEGIN","id":"571","ts_ms":1}"#
            )
            .unwrap(),
            None
        );
        assert!(read(SourcePosition::Postgres, 9, "{").is_err());
    }
}
