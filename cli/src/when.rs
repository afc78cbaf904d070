//! Moments for people: microseconds since 1970 as UTC, and how long ago that is.

use chrono::DateTime;

/// `2026-11-21 03:15:07 UTC`
pub(crate) fn utc(moment: i64) -> String {
    DateTime::from_timestamp_micros(moment).map_or_else(
        || "at no time".to_owned(),
        |moment| moment.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// `3 min ago`, or `never`.
pub(crate) fn ago(moment: Option<i64>, now: i64) -> String {
    moment.map_or_else(
        || "never".to_owned(),
        |moment| format!("{} ago", length(now - moment)),
    )
}

/// `for 3 min`, or `for how long is not known`.
pub(crate) fn since(moment: Option<i64>, now: i64) -> String {
    moment.map_or_else(
        || "for how long is not known".to_owned(),
        |moment| format!("for {}", length(now - moment)),
    )
}

/// A length of time in its greatest unit that leaves more than one.
pub(crate) fn length(microseconds: i64) -> String {
    let seconds = microseconds.max(0) / 1_000_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(-5 => "0 s"; "a clock that is behind")]
    #[test_case(119 => "119 s"; "seconds")]
    #[test_case(120 => "2 min"; "minutes")]
    #[test_case(7_200 => "2 h"; "hours")]
    #[test_case(172_800 => "2 d"; "days")]
    fn a_length(seconds: i64) -> String {
        length(seconds * 1_000_000)
    }

    #[test]
    fn moments_are_utc() {
        assert_eq!(utc(1_763_694_907_000_000), "2025-11-21 03:15:07 UTC");
        assert_eq!(utc(i64::MAX), "at no time");
        assert_eq!(ago(None, 0), "never");
    }
}
