//! Names in Kafka, Kafka Connect and at the source: topics, connectors, replication slots, publications.
//!
//! A topic has at most 249 characters of `[A-Za-z0-9._-]`; a replication slot at most 63 of `[a-z0-9_]`. The topic prefix of
//! a store holds the platform's name too: two platforms may ingest one store through one Kafka cluster and from one source.

use milepost_job_spec::{Digest, MAX_IDENT_BYTES};

use super::{join, shorten};

/// The longest name of a topic.
pub const MAX_TOPIC_BYTES: usize = 249;

/// The prefix of a store's topics: Debezium's `topic.prefix`, unique in the Kafka cluster.
#[must_use]
pub fn topic_prefix(platform: &str, store: &str) -> String {
    shorten(join(&[platform, store]), MAX_IDENT_BYTES)
}

/// The replication slot of a store at its source; one prefix has one slot.
#[must_use]
pub fn slot(platform: &str, store: &str) -> String {
    topic_prefix(platform, store)
}

/// The publication of a store at its source.
#[must_use]
pub fn publication(platform: &str, store: &str) -> String {
    topic_prefix(platform, store)
}

/// The topic that Debezium writes a table's events to, by its own rule: what is illegal becomes `_`, what is too long is cut.
#[must_use]
pub fn table_topic(prefix: &str, source_table: &str) -> String {
    let mut topic = format!("{prefix}.");
    for c in source_table.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => topic.push(c),
            // Java counts in UTF-16: a character beyond its first plane is two.
            _ => topic.extend(std::iter::repeat_n('_', c.len_utf16())),
        }
    }
    topic.truncate(MAX_TOPIC_BYTES);
    topic
}

/// The topic that Debezium writes BEGIN and END of transactions to.
#[must_use]
pub fn transaction_topic(prefix: &str) -> String {
    format!("{prefix}.transaction")
}

/// Does the topic of a table fit whole?
#[must_use]
pub fn topic_fits(prefix: &str, source_table: &str) -> bool {
    prefix.len() + 1 + source_table.encode_utf16().count() <= MAX_TOPIC_BYTES
}

/// The topic in which a source connector keeps the shapes that its tables had; a table's topic has two dots or more.
#[must_use]
pub fn schema_history_topic(prefix: &str) -> String {
    format!("{prefix}.schema-history")
}

/// The number by which MySQL and MariaDB know a reader of their binary log; a second one of a number ends the first.
///
/// From the names alone, so that it stays, and high, where those are not that people give to servers.
#[must_use]
pub fn server_id(platform: &str, store: &str) -> u32 {
    let digest = Digest::of(join(&[platform, store]).as_bytes());
    let number = u32::from_str_radix(&digest.as_str()[..8], 16)
        .expect("a digest begins with hexadecimal digits");
    number | 1 << 31
}

/// The connector that reads a store.
#[must_use]
pub fn source_connector(platform: &str, store: &str) -> String {
    format!("{platform}.{store}.source")
}

/// The connector that writes a store's events to staging tables.
#[must_use]
pub fn sink_connector(platform: &str, store: &str) -> String {
    format!("{platform}.{store}.sink")
}

/// What a dataset is called among the transforms of its store's sink.
#[must_use]
pub fn transform(dataset: &str) -> String {
    super::fold(dataset)
}

/// The connector that writes a store's transaction ends to its control table.
#[must_use]
pub fn control_connector(platform: &str, store: &str) -> String {
    format!("{platform}.{store}.control")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::kubernetes;
    use super::super::tests::own_name;
    use super::*;

    proptest! {
        #[test]
        fn slots_are_legal_and_distinct(
            one in (own_name(), own_name()),
            other in (own_name(), own_name()),
        ) {
            let name = slot(&one.0, &one.1);
            prop_assert!(name.len() <= 63);
            prop_assert!(name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')));
            prop_assume!(one != other);
            prop_assert_ne!(name, slot(&other.0, &other.1));
        }

        #[test]
        fn connectors_are_legal_and_distinct(
            one in (own_name(), own_name()),
            other in (own_name(), own_name()),
        ) {
            prop_assume!(one != other);
            let of = |(platform, store): &(String, String)| [
                source_connector(platform, store),
                sink_connector(platform, store),
                control_connector(platform, store),
            ];
            let names = [of(&one), of(&other)].concat();
            for name in &names {
                prop_assert!(name.len() <= MAX_TOPIC_BYTES);
                // Strimzi makes a resource of Kubernetes of it: a subdomain, as a Secret's name is.
                prop_assert!(kubernetes::is_secret_name(name), "{}", name);
                prop_assert!(
                    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
                    "{}", name
                );
            }
            let distinct: BTreeSet<&String> = names.iter().collect();
            prop_assert_eq!(distinct.len(), names.len());
        }

        #[test]
        fn a_topic_is_legal(prefix in "[a-z_]{1,10}", table in ".{1,300}") {
            let topic = table_topic(&prefix, &table);
            prop_assert!(topic.len() <= MAX_TOPIC_BYTES);
            let longer = format!("{table}x");
            prop_assert_eq!(topic_fits(&prefix, &longer), table_topic(&prefix, &longer) != topic);
            prop_assert!(
                topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
                "{}", topic
            );
        }
    }

    #[test]
    fn topics_are_called_as_debezium_calls_them() {
        assert_eq!(
            table_topic("p", "public.Order lines"),
            "p.public.Order_lines"
        );
        assert_eq!(table_topic("p", "caf\u{e9}.\u{1f600}"), "p.caf_.__");
        assert_eq!(table_topic("p", &"x".repeat(300)).len(), MAX_TOPIC_BYTES);
    }

    #[test]
    fn a_character_becomes_as_many_as_java_counts() {
        assert_eq!(table_topic("p", "public.a,b é😀"), "p.public.a_b____");
    }
}
