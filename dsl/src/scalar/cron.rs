use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use croner::parser::{CronParser, Seconds, Year};
use thiserror::Error;

use super::{Duration, text};

/// When something starts: a cron expression of five fields, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cron(String);

/// Why a text is no cron expression.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CronError {
    /// Another number of fields.
    #[error(
        "`{text}` has {fields} fields, a schedule has five: minute, hour, day of the month, month, \
         day of the week, such as `*/5 * * * *`"
    )]
    Fields {
        /// The text.
        text: String,
        /// How many fields it has.
        fields: usize,
    },
    /// Five fields that mean nothing.
    #[error("`{text}` is no schedule: {reason}")]
    Meaning {
        /// The text.
        text: String,
        /// What is wrong, in the words of the cron parser.
        reason: String,
    },
}

impl Cron {
    /// The five fields, separated by one space.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Cron {
    /// The longest time between two starts, as far as a year of them shows; none if there are not two.
    #[must_use]
    pub fn longest_pause(&self) -> Option<Duration> {
        /// A week of a start every five minutes; enough of any schedule to see its pauses.
        const STARTS: usize = 2016;
        let cron = parser().parse(&self.0).ok()?;
        let start = DateTime::<Utc>::from_timestamp(0, 0)?;
        let starts: Vec<i64> = cron
            .iter_after(start)
            .take_while(|next| next.timestamp() <= YEAR_SECONDS)
            .take(STARTS)
            .map(|next| next.timestamp())
            .collect();
        let pauses = starts.windows(2).map(|pair| pair[1] - pair[0]);
        Duration::from_seconds(u64::try_from(pauses.max()?).ok()?)
    }
}

const YEAR_SECONDS: i64 = 366 * 24 * 3600;

fn parser() -> CronParser {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() != 5 {
            return Err(CronError::Fields {
                text: text.to_owned(),
                fields: fields.len(),
            });
        }
        let cron = fields.join(" ");
        let meaning = |reason: String| CronError::Meaning {
            text: text.to_owned(),
            reason,
        };
        // `L`, `W`, `#` and `?` are extensions that Airflow's cron parser reads differently or not at all.
        if let Some(extension) = extension(&cron) {
            return Err(meaning(format!(
                "`{extension}` is not understood by every scheduler; use digits, names of months and \
                 days, and `* , - /`"
            )));
        }
        parser()
            .parse(&cron)
            .map_err(|error| meaning(error.to_string()))?;
        Ok(Self(cron))
    }
}

/// The first word that is neither a number, nor one of the signs that every scheduler knows, nor a name.
fn extension(cron: &str) -> Option<&str> {
    const NAMES: &str =
        "SUN MON TUE WED THU FRI SAT JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC";
    let mut words = cron.split([' ', ',', '-', '/']);
    words.find(|word| {
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        let is_name = NAMES.split(' ').any(|name| name.eq_ignore_ascii_case(word));
        !(is_number || is_name || *word == "*")
    })
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text!(Cron, "a schedule", examples: ["*/5 * * * *", "0 3 * * *"]);

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("*/5 * * * *")]
    #[test_case("0 3 1,15 * MON-FRI")]
    #[test_case("15 */6 * JAN,JUL 0")]
    fn a_schedule_of_five_fields_is_taken(text: &str) {
        assert_eq!(text.parse::<Cron>().unwrap().as_str(), text);
    }

    #[test_case("* * * *", "has 4 fields"; "four fields")]
    #[test_case("0 */5 * * * *", "has 6 fields"; "seconds")]
    #[test_case("@daily", "has 1 fields"; "alias")]
    #[test_case("61 * * * *", "is no schedule"; "minute out of range")]
    #[test_case("* * * * FOO", "`FOO` is not understood"; "unknown day")]
    #[test_case("* * L * *", "`L` is not understood"; "last day")]
    #[test_case("* * ? * *", "is not understood by every scheduler"; "question mark")]
    fn another_text_is_no_schedule(text: &str, expected: &str) {
        let message = text.parse::<Cron>().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test_case("*/5 * * * *", Some("5m"))]
    #[test_case("0,10 * * * *", Some("50m"))]
    #[test_case("0 3 * * MON-FRI", Some("3d"))]
    #[test_case("0 0 30 2 *", None; "never")]
    fn the_longest_pause_is_seen(text: &str, expected: Option<&str>) {
        let pause = text.parse::<Cron>().unwrap().longest_pause();
        assert_eq!(pause.map(|pause| pause.to_string()).as_deref(), expected);
    }

    #[test]
    fn more_spaces_make_no_other_schedule() {
        assert_eq!("0  3 * * *".parse::<Cron>(), "0 3 * * *".parse::<Cron>());
    }
}
