//! What a single word of the language may be: parsed once, trusted after.
//!
//! Each type is read through its `FromStr` and nothing else, and its error states the grammar.

mod credential;
mod cron;
mod data_type;
mod duration;
mod line;
mod location;
mod name;
mod percent;
mod reference;
mod repository;
mod topic;
mod written;

pub use credential::CredentialType;
pub use cron::{Cron, CronError};
pub use data_type::{DataType, DataTypeError};
pub use duration::{Duration, DurationError};
pub use line::{Line, LineError, Namespace, NamespaceError};
pub use location::{LocationError, LocationPath};
pub use name::{
    ClassificationName, ColumnName, CredentialName, DatasetName, DatastoreName, EcosystemName,
    GroupName, LocationName, MAX_NAME_BYTES, NameError, PlatformName, SourceNameError, TeamName,
    VendorName, WorkspaceName, ZoneName,
};
pub use percent::Percent;
pub use reference::{DatasetRef, ReferenceError, StreamRef, TeamRef};
pub use repository::{Repository, RepositoryError};
pub use topic::{TopicName, TopicNameError};

pub(crate) use written::{text, words};

/// The nearest of some words to a mistyped one, if it is near enough to be meant.
///
/// Only called when something is wrong already; the number of candidates that it looks at is bounded, so that a model
/// of any size answers at once.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const MOST_CANDIDATES: usize = 20_000;
    const MOST_BYTES: usize = 200;
    if word.len() > MOST_BYTES {
        return None;
    }
    let bound = 1 + word.chars().count() / 4;
    candidates
        .into_iter()
        .take(MOST_CANDIDATES)
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * bound)
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|&(distance, _)| distance <= bound)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The help for a mistyped word: the nearest one, or none.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, candidates).map(|near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_near_when_a_letter_or_two_are_wrong() {
        let words = ["customers", "orders", "order_lines"];
        assert_eq!(nearest("custmoers", words), Some("customers"));
        assert_eq!(nearest("oders", words), Some("orders"));
        assert_eq!(nearest("suppliers", words), None);
        assert_eq!(nearest(&"x".repeat(1000), words), None);
    }

    #[test]
    fn of_words_that_are_equally_near_the_first_in_order_is_taken() {
        assert_eq!(
            nearest("axe", ["aye", "age"]),
            nearest("axe", ["age", "aye"])
        );
    }
}
