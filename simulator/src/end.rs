use std::collections::BTreeMap;

use serde_json::json;

/// An event of the transaction topic, as `<store>__control` stages it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionEnd {
    /// The transaction topic.
    pub topic: String,
    /// Always 0: the topic has one partition.
    pub partition: i32,
    /// The offset in the topic.
    pub offset: i64,
    /// The message as JSON text.
    pub payload: String,
}

/// The message that the connector sends when a transaction of the source ends.
pub(crate) fn payload(
    transaction_id: &str,
    counts: &BTreeMap<&str, usize>,
    committed_ms: i64,
) -> String {
    let collections: Vec<_> = counts
        .iter()
        .map(|(name, count)| json!({"data_collection": name, "event_count": count}))
        .collect();
    json!({
        "status": "END",
        "id": transaction_id,
        "event_count": counts.values().sum::<usize>(),
        "data_collections": collections,
        "ts_ms": committed_ms,
    })
    .to_string()
}
