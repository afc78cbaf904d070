use super::finding::Finding;
use crate::live::Answer;

/// Merges never compare two machines' clocks, but people and lateness do.
const MOST_SKEW_MS: i64 = 5_000;

/// The clock of a server against ours.
pub(super) fn judge(what: &str, skew: &Answer<i64>) -> Finding {
    let what = format!("{what} clock");
    match skew {
        Ok(skew) => {
            let finding = format!(
                "{}.{:03} s {} this machine's",
                skew.abs() / 1000,
                skew.abs() % 1000,
                if *skew < 0 { "behind" } else { "ahead of" }
            );
            match skew.abs() > MOST_SKEW_MS {
                true => Finding::warn(
                    &what,
                    finding,
                    "let both follow the same time servers; until then lateness is wrong by so much",
                ),
                false => Finding::pass(&what, finding),
            }
        }
        Err(trouble) => Finding::trouble(&what, trouble, "ask again"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Grade;
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_by_more_than_five_seconds_is_told() {
        assert_eq!(judge("x", &Ok(-5_000)).grade, Grade::Pass);
        let found = judge("x", &Ok(-61_250));
        assert_eq!(found.grade, Grade::Warn);
        assert_eq!(found.finding, "61.250 s behind this machine's");
    }
}
