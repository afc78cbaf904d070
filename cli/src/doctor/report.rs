//! Findings for people, and for scripts.

use serde::Serialize;

use super::finding::{Finding, Grade};

/// The version of the JSON; it rises when a key changes its meaning or goes.
const VERSION: u32 = 1;

/// A line per finding, the remedy under what did not pass, a summary.
pub(super) fn human(findings: &[Finding], colour: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = finding.grade.word();
        let word = match (colour, finding.grade) {
            (false, _) => word.to_owned(),
            (true, Grade::Pass) => format!("\u{1b}[32m{word}\u{1b}[0m"),
            (true, Grade::Warn) => format!("\u{1b}[33m{word}\u{1b}[0m"),
            (true, Grade::Fail) => format!("\u{1b}[31m{word}\u{1b}[0m"),
        };
        text.push_str(&format!("{word} {}: {}\n", finding.what, finding.finding));
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!(
                "     remedy: {}\n",
                remedy.replace('\n', "\n             ")
            ));
        }
    }
    let count = |grade| {
        findings
            .iter()
            .filter(|finding| finding.grade == grade)
            .count()
    };
    let warnings = count(Grade::Warn);
    let plural = if warnings == 1 { "" } else { "s" };
    text.push_str(&format!(
        "{} passed, {warnings} warning{plural}, {} failed\n",
        count(Grade::Pass),
        count(Grade::Fail)
    ));
    text
}

/// One document with a version.
pub(super) fn json(platform: &str, findings: &[Finding]) -> String {
    #[derive(Serialize)]
    struct Report<'a> {
        version: u32,
        platform: &'a str,
        checks: Vec<Check<'a>>,
        summary: Summary,
    }
    #[derive(Serialize)]
    struct Check<'a> {
        grade: Grade,
        what: &'a str,
        finding: &'a str,
        remedy: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Summary {
        passed: usize,
        warnings: usize,
        failed: usize,
    }
    let count = |grade| {
        findings
            .iter()
            .filter(|finding| finding.grade == grade)
            .count()
    };
    let report = Report {
        version: VERSION,
        platform,
        checks: findings
            .iter()
            .map(|finding| Check {
                grade: finding.grade,
                what: &finding.what,
                finding: &finding.finding,
                remedy: finding.remedy.as_deref(),
            })
            .collect(),
        summary: Summary {
            passed: count(Grade::Pass),
            warnings: count(Grade::Warn),
            failed: count(Grade::Fail),
        },
    };
    let mut text = serde_json::to_string_pretty(&report).expect("a report has only text keys");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> [Finding; 3] {
        [
            Finding::pass("a", "fine"),
            Finding::warn("b", "so so", "do this\nthen that"),
            Finding::fail("c", "broken", "mend it"),
        ]
    }

    #[test]
    fn a_remedy_stands_under_what_did_not_pass() {
        assert_eq!(
            human(&findings(), false),
            "pass a: fine\n\
             warn b: so so\n     remedy: do this\n             then that\n\
             fail c: broken\n     remedy: mend it\n\
             1 passed, 1 warning, 1 failed\n"
        );
        assert!(human(&findings(), true).contains("\u{1b}[31mfail\u{1b}[0m c"));
    }

    #[test]
    fn scripts_get_a_version() {
        let report: serde_json::Value = serde_json::from_str(&json("main", &findings())).unwrap();
        assert_eq!(report["version"], 1);
        assert_eq!(report["checks"][1]["grade"], "warn");
        assert_eq!(report["checks"][0]["remedy"], serde_json::Value::Null);
        assert_eq!(report["summary"]["failed"], 1);
    }
}
