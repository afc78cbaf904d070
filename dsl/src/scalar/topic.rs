use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::text;

/// The longest name of a topic in Kafka.
const MAX_BYTES: usize = 249;

/// The name of a topic of Kafka, or what names of topics begin with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(String);

/// Why a text is no name of a topic.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "`{0}` is no name of a topic: 1 to 249 letters, digits, `.`, `_` and `-`, and neither `.` nor `..`"
)]
pub struct TopicNameError(String);

impl TopicName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicName {
    type Err = TopicNameError;

    fn from_str(name: &str) -> Result<Self, TopicNameError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=MAX_BYTES).contains(&name.len());
        if fits && name.bytes().all(legal) && name != "." && name != ".." {
            Ok(Self(name.to_owned()))
        } else {
            Err(TopicNameError(name.to_owned()))
        }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text!(
    TopicName, "a name of a topic", examples: ["crm", "crm.transaction"],
    pattern: "^[A-Za-z0-9._-]{1,249}$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_a_name_that_kafka_takes() {
        assert!("eu.Crm_v2-x".parse::<TopicName>().is_ok());
        for bad in ["", ".", "..", "a b", "a/b", "\u{e9}", &"a".repeat(250)] {
            assert!(bad.parse::<TopicName>().is_err(), "{bad}");
        }
    }
}
