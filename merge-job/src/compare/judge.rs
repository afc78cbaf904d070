//! Lag and divergence told apart. Pure.

use std::collections::BTreeMap;

use super::difference::{Difference, Kind};
use super::staged::Staged;

/// What is known of the connector, and of what it had to deliver when the source was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Something later is merged, or the slot says that all of it is in Kafka.
    Passed,
    /// The slot says that it is not.
    Behind,
    /// Nothing: there is no such slot, and nothing later was merged.
    #[default]
    Unknown,
    /// The source is older than what is merged: a standby that lags, a copy, a restored backup.
    Older,
}

/// What became of the rows that differed at first.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Rows that differ and stay so: what a repair makes equal.
    pub diverged: Vec<Difference>,
    /// Rows of the source that the table cannot hold: no repair brings them in.
    pub unfit: Vec<Difference>,
    /// Rows that are equal by now.
    pub arrived: u64,
    /// Rows of which staging has an event that is not merged yet.
    pub staged: u64,
    /// Rows that still differ, and not as they did at first: somebody is writing them.
    pub moving: u64,
    /// Rows that differ, and of which the connector may know.
    pub undelivered: u64,
    /// Rows that differ from a source that is older than what is merged.
    pub older: u64,
    /// What is known of the connector.
    pub delivery: Delivery,
}

/// Judges the rows that differed in a first look by a second one, some time later. `staged` has the keys of events that were
/// staged and not merged at the second look.
///
/// - What is equal by then was lag; so is what has an event that only waits for its merge.
/// - What differs in another way is being written: nothing can be said of it.
/// - What differs in the same way was not touched by anything that arrived in between. Where the connector has not passed what
///   the source had at the first look, it may still be delivered.
/// - Beside a source that is older than what is merged nothing says who is right.
/// - All else has diverged.
pub(super) fn judge(
    first: &[Difference],
    second: &[Difference],
    staged: &Staged,
    delivery: Delivery,
) -> Verdict {
    let second: BTreeMap<_, _> = second
        .iter()
        .map(|own| {
            (
                (&own.key, own.kind == Kind::Unfit, own.source_key.as_ref()),
                own,
            )
        })
        .collect();
    let by_key: BTreeMap<_, _> = second.values().map(|own| (&own.key, *own)).collect();
    let mut verdict = Verdict {
        delivery,
        ..Verdict::default()
    };
    for own in first {
        let exact = (&own.key, own.kind == Kind::Unfit, own.source_key.as_ref());
        let later = second.get(&exact).or_else(|| by_key.get(&own.key));
        match later {
            // Nothing finds it again.
            None if own.at_source().contains(&None) => verdict.unfit.push(own.clone()),
            None => verdict.arrived += 1,
            Some(_) if staged.has(own) => verdict.staged += 1,
            Some(later) if own.kind == Kind::Unfit && later.kind == Kind::Unfit => {
                verdict.unfit.push(own.clone());
            }
            Some(later) if later.trace() != own.trace() => verdict.moving += 1,
            Some(_) => match delivery {
                Delivery::Behind => verdict.undelivered += 1,
                Delivery::Older => verdict.older += 1,
                Delivery::Passed | Delivery::Unknown => verdict.diverged.push(own.clone()),
            },
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn difference(key: &str, merged: Option<i64>, source: Option<i64>) -> Difference {
        let key = vec![Some(key.to_owned())];
        Difference {
            source_key: source.map(|_| key.clone()),
            key,
            kind: match (merged, source) {
                (None, _) => Kind::Missing,
                (_, None) => Kind::Extra,
                _ => Kind::Differs,
            },
            merged,
            source,
        }
    }

    /// Diverged, arrived, staged, moving, undelivered.
    fn counts(verdict: &Verdict) -> [u64; 5] {
        let diverged = u64::try_from(verdict.diverged.len()).expect("a small number");
        [
            diverged,
            verdict.arrived,
            verdict.staged,
            verdict.moving,
            verdict.undelivered,
        ]
    }

    #[test_case(None, false, Delivery::Unknown => [0, 1, 0, 0, 0]; "what is equal later was lag")]
    #[test_case(Some(difference("1", Some(1), Some(2))), false, Delivery::Unknown => [1, 0, 0, 0, 0]; "what stays as it was has diverged")]
    #[test_case(Some(difference("1", Some(1), Some(2))), false, Delivery::Passed => [1, 0, 0, 0, 0]; "also where the connector has passed")]
    #[test_case(Some(difference("1", Some(1), Some(2))), false, Delivery::Behind => [0, 0, 0, 0, 1]; "but not before")]
    #[test_case(Some(difference("1", Some(1), Some(2))), false, Delivery::Older => [0; 5]; "nor beside an older source")]
    #[test_case(Some(difference("1", Some(1), Some(2))), true, Delivery::Passed => [0, 0, 1, 0, 0]; "what waits for its merge is lag")]
    #[test_case(Some(difference("1", Some(2), Some(3))), false, Delivery::Passed => [0, 0, 0, 1, 0]; "what changed on both sides is being written")]
    #[test_case(Some(difference("1", Some(1), None)), false, Delivery::Passed => [0, 0, 0, 1, 0]; "what was deleted at the source meanwhile too")]
    fn a_difference_is_judged_by_what_it_is_later(
        later: Option<Difference>,
        is_staged: bool,
        delivery: Delivery,
    ) -> [u64; 5] {
        let first = [difference("1", Some(1), Some(2))];
        let second: Vec<Difference> = later.into_iter().collect();
        let staged = Staged::of(is_staged.then(|| first[0].key.clone()));
        counts(&judge(&first, &second, &staged, delivery))
    }

    #[test]
    fn a_key_that_only_the_second_look_finds_is_no_ones_business() {
        let second = [difference("2", None, Some(1))];
        let verdict = judge(&[], &second, &Staged::default(), Delivery::Passed);
        assert_eq!(counts(&verdict), [0; 5]);
    }
}
