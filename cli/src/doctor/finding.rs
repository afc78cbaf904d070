use milepost_job_spec::Outcome;
use serde::Serialize;

use crate::live::Trouble;
use crate::live::secret::Secret;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Grade {
    /// As it should be.
    Pass,
    /// It works, and will not for ever, or could not be seen.
    Warn,
    /// It does not work.
    Fail,
}

impl Grade {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check: what was looked at, what is the case, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) grade: Grade,
    /// What was looked at: `connector main.shop.sink`.
    pub(super) what: String,
    /// What is the case.
    pub(super) finding: String,
    /// What to do; a check that passes has none.
    pub(super) remedy: Option<String>,
    /// How the command ends that found this.
    pub(super) outcome: Outcome,
}

impl Finding {
    pub(super) fn pass(what: &str, finding: impl Into<String>) -> Self {
        Self {
            grade: Grade::Pass,
            what: what.to_owned(),
            finding: finding.into(),
            remedy: None,
            outcome: Outcome::Done,
        }
    }

    pub(super) fn warn(what: &str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            grade: Grade::Warn,
            remedy: Some(remedy.into()),
            ..Self::pass(what, finding)
        }
    }

    pub(super) fn fail(what: &str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            grade: Grade::Fail,
            remedy: Some(remedy.into()),
            outcome: Outcome::Findings,
            ..Self::pass(what, finding)
        }
    }

    /// A question that got no answer.
    pub(super) fn trouble(what: &str, trouble: &Trouble, remedy: impl Into<String>) -> Self {
        Self {
            outcome: trouble.outcome(),
            ..Self::fail(what, trouble.to_string(), remedy)
        }
    }

    /// The same without any of these values, should a server have repeated one.
    pub(super) fn without(mut self, secrets: &[Secret]) -> Self {
        for secret in secrets {
            let hide = |text: &mut String| {
                if text.contains(secret.reveal()) {
                    *text = text.replace(secret.reveal(), "…");
                }
            };
            hide(&mut self.what);
            hide(&mut self.finding);
            self.remedy.iter_mut().for_each(hide);
        }
        self
    }
}

/// How a command ends that found these: the worst of them, where what cannot be reached is worse than what is wrong.
pub(super) fn outcome(findings: &[Finding]) -> Outcome {
    let outcomes = findings.iter().map(|finding| finding.outcome);
    outcomes.max().unwrap_or(Outcome::Done)
}

/// Some of these names, so that a line stays a line.
pub(super) fn some<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 5;
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.len() {
        0..=SHOWN => names.join(", "),
        more => format!("{} and {} more", names[..SHOWN].join(", "), more - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_worst_finding_decides_how_the_command_ends() {
        let pass = Finding::pass("a", "");
        let warn = Finding::warn("b", "", "");
        let fail = Finding::fail("c", "", "");
        let unset = Finding::trouble("d", &Trouble::Unconfigured(vec!["X".to_owned()]), "");
        let silent = Finding::trouble("e", &Trouble::Silent(Duration::from_secs(5)), "");
        let codes = |findings: &[&Finding]| {
            let findings: Vec<Finding> = findings.iter().map(|&finding| finding.clone()).collect();
            outcome(&findings).code()
        };
        assert_eq!(codes(&[]), 0);
        assert_eq!(codes(&[&warn, &pass]), 0);
        assert_eq!(codes(&[&warn, &fail, &pass]), 1);
        assert_eq!(codes(&[&unset, &fail]), 2);
        assert_eq!(codes(&[&silent, &unset, &fail]), 3);
    }

    #[test]
    fn a_secret_that_a_server_repeats_is_taken_out() {
        let secrets = [Secret::new("s3cr3t".to_owned())];
        let found =
            Finding::fail("x s3cr3t", "said s3cr3t twice: s3cr3t", "not s3cr3t").without(&secrets);
        assert_eq!(found.what, "x …");
        assert_eq!(found.finding, "said … twice: …");
        assert_eq!(found.remedy.as_deref(), Some("not …"));
    }

    #[test]
    fn a_list_of_names_stays_short() {
        assert_eq!(some(["a", "b"]), "`a`, `b`");
        assert_eq!(some(1..=7), "`1`, `2`, `3`, `4`, `5` and 2 more");
    }
}
