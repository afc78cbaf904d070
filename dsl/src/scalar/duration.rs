use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::text;

const UNITS: [(&str, u64); 5] = [
    ("w", 7 * 24 * 3600),
    ("d", 24 * 3600),
    ("h", 3600),
    ("m", 60),
    ("s", 1),
];

/// A length of time in whole seconds, written as `5m` or `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

/// Why a text is no duration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "`{0}` is no duration: write a whole number above 0 and one unit of `s`, `m`, `h`, `d`, `w`, \
     such as `5m` or `30d`, at most 100 years"
)]
pub struct DurationError(String);

/// Longer than any retention; keeps every sum of durations far from overflow.
const MAX_SECONDS: u64 = 100 * 366 * 24 * 3600;

impl Duration {
    /// A length in seconds, from 1 to a hundred years; none otherwise.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Option<Self> {
        if seconds >= 1 && seconds <= MAX_SECONDS {
            Some(Self(seconds))
        } else {
            None
        }
    }

    /// The length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let parse = || {
            let split = text.find(|c: char| !c.is_ascii_digit())?;
            let (number, unit) = text.split_at(split);
            let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
            Self::from_seconds(number.parse::<u64>().ok()?.checked_mul(*seconds)?)
        };
        parse().ok_or_else(|| DurationError(text.to_owned()))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Weeks are read but not written: `365d` is what people expect back.
        let (unit, seconds) = UNITS[1..]
            .iter()
            .find(|(_, seconds)| self.0.is_multiple_of(*seconds))
            .expect("every number is a multiple of one second");
        write!(f, "{}{unit}", self.0 / seconds)
    }
}

text!(
    Duration, "a duration", examples: ["7m", "30d"],
    pattern: "^[0-9]+[smhdw]$"
);

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("90s", 90, "90s")]
    #[test_case("5m", 300, "5m")]
    #[test_case("60m", 3600, "1h")]
    #[test_case("365d", 31_536_000, "365d")]
    #[test_case("2w", 1_209_600, "14d")]
    fn a_duration_is_read_and_written(text: &str, seconds: u64, canonical: &str) {
        let duration: Duration = text.parse().unwrap();
        assert_eq!(duration.seconds(), seconds);
        assert_eq!(duration.to_string(), canonical);
    }

    #[test_case(""; "empty")]
    #[test_case("5"; "no unit")]
    #[test_case("m"; "no number")]
    #[test_case("0d"; "nothing")]
    #[test_case("-5m"; "negative")]
    #[test_case("1.5h"; "fraction")]
    #[test_case("5 m"; "space")]
    #[test_case("5M"; "upper case")]
    #[test_case("1h30m"; "two units")]
    #[test_case("99999999999999999999d"; "overflow")]
    #[test_case("200000d"; "more than a hundred years")]
    fn another_text_is_no_duration(text: &str) {
        assert!(text.parse::<Duration>().is_err());
    }
}
