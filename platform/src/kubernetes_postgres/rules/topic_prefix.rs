use std::collections::BTreeMap;

use milepost_dsl::model::Datastore;
use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use crate::kubernetes_postgres::Served;
use crate::kubernetes_postgres::topics::StoreTopics;

static ABOUT: About = About {
    id: RuleId::new("topic-prefix"),
    severity: Severity::Error,
    summary: "no two stores of a platform read topics of one prefix",
    explanation: "A prefix stands for one source. Its tables belong to one datastore: there \
                  `multi-dataset` keeps the transactions of the source, and each event is staged once. \
                  The platform's own connectors fill topics whose prefix is made of the names of \
                  platform and datastore; if others filled them too, events of two sources would mix.",
};

/// Stores that share their topics.
#[derive(Debug)]
pub(super) struct TopicPrefix;

impl Rule<Served<'_>> for TopicPrefix {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        let platform = &served.platform.name;
        let stores = served.stores();
        // Those that the platform fills come first, so that the finding is about who reads them.
        let (filled, read): (Vec<&Datastore>, Vec<&Datastore>) = stores
            .into_iter()
            .map(|(store, _)| store)
            .filter(|store| store.ingestion.sql_snapshot().is_none())
            .partition(|store| store.ingestion.topics().is_none());
        let mut owners: BTreeMap<String, &Datastore> = BTreeMap::new();
        for store in filled {
            let prefix = StoreTopics::of(platform.as_str(), store).prefix;
            owners.insert(prefix.into_owned(), store);
        }
        for store in read {
            let Some(topics) = store.ingestion.topics() else {
                continue;
            };
            let prefix = &topics.prefix;
            let Some(&other) = owners.get(prefix.as_str()) else {
                owners.insert(prefix.to_string(), store);
                continue;
            };
            let (message, help) = match other.ingestion.topics() {
                None => (
                    format!(
                        "datastore `{}` reads topics of prefix `{prefix}`, which platform \
                         `{platform}` fills from datastore `{}`",
                        store.name, other.name
                    ),
                    format!("read the datasets of `{}` instead", other.name),
                ),
                Some(_) => (
                    format!(
                        "datastores `{}` and `{}` both read topics of prefix `{prefix}`",
                        other.name, store.name
                    ),
                    "put the datasets into one datastore".to_owned(),
                ),
            };
            findings.push(
                ABOUT
                    .finding(store.name.to_string(), prefix.span, message)
                    .with_related(other.name.span, "the other datastore")
                    .with_help(help),
            );
        }
    }
}
