use std::borrow::Cow;

use milepost_dsl::model::{Dataset, Datastore, Origin};

use super::streams::position;
use crate::naming::kafka;
use crate::naming::source_table::SourceTable;

/// The topics of a store: those that its source connector fills, or those that others do.
pub(super) struct StoreTopics<'a> {
    store: &'a Datastore,
    /// What the topics' names begin with; a dot follows.
    pub(super) prefix: Cow<'a, str>,
    /// The topic of transactions; none where others fill the topics and write none, nor where END events have no place among
    /// those of tables.
    pub(super) transactions: Option<Cow<'a, str>>,
}

impl<'a> StoreTopics<'a> {
    /// The topics of a store on a platform.
    pub(super) fn of(platform: &str, store: &'a Datastore) -> Self {
        let (prefix, transactions): (_, Option<Cow<'a, str>>) = match &store.ingestion.origin {
            Origin::Cdc(_) => {
                let prefix = kafka::topic_prefix(platform, store.name.as_str());
                let transactions = kafka::transaction_topic(&prefix);
                (Cow::Owned(prefix), Some(Cow::Owned(transactions)))
            }
            // The merge job reads the source itself: nothing of it is in Kafka.
            Origin::SqlSnapshot(_) => (Cow::Borrowed(""), None),
            Origin::Topics(topics) => (
                Cow::Borrowed(topics.prefix.as_str()),
                topics
                    .transactions
                    .as_ref()
                    .map(|topic| Cow::Borrowed(topic.as_str())),
            ),
        };
        Self {
            store,
            prefix,
            transactions: transactions.filter(|_| position(store.ingestion.kind()).places_ends()),
        }
    }

    /// The topic of a dataset's events.
    pub(super) fn of_dataset(&self, dataset: &Dataset) -> String {
        let table = SourceTable::of(&self.store.ingestion, dataset);
        kafka::table_topic(&self.prefix, &table.topic)
    }
}
