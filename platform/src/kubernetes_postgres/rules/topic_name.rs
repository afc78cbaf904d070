use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::dataset_path;
use crate::kubernetes_postgres::Served;
use crate::naming::kafka;
use crate::naming::source_table::SourceTable;

static ABOUT: About = About {
    id: RuleId::new("topic-name"),
    severity: Severity::Error,
    summary: "Kafka can hold the topics that others fill",
    explanation: "The topic of a dataset is the prefix, a dot and `from`. Debezium writes `_` for what is no \
                  letter, digit, `.`, `_` or `-` of ASCII, and so does Milepost when it looks for the \
                  topic. A topic has at most 249 characters, so a longer one is not there.",
};

/// Topics that nobody can fill.
#[derive(Debug)]
pub(super) struct TopicName;

impl Rule<Served<'_>> for TopicName {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, dataset, _) in served.datasets() {
            let Some(topics) = store.ingestion.topics() else {
                // A connector of ours cuts the name as it is cut here; `name-collision` sees the result.
                continue;
            };
            let table = SourceTable::of(&store.ingestion, dataset);
            if kafka::topic_fits(topics.prefix.as_str(), &table.topic) {
                continue;
            }
            findings.push(
                ABOUT
                    .finding(
                        dataset_path(store, dataset),
                        dataset.source_name.span,
                        format!(
                            "the topic of `{}` would have more than {} characters with its prefix",
                            dataset_path(store, dataset),
                            kafka::MAX_TOPIC_BYTES,
                        ),
                    )
                    .with_related(topics.prefix.span, "the prefix")
                    .with_help("`from` is how the topic's name goes on after the prefix"),
            );
        }
    }
}
