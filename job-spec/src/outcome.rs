/// How a command ended: the exit codes of both binaries.
///
/// Airflow reads them; the numbers never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The work is done.
    Done,
    /// Findings: lint errors, drift, a failed verification, a failed merge.
    Findings,
    /// Usage, configuration or unreadable input.
    Usage,
    /// Something could not be reached: database, git remote, Kubernetes, Kafka Connect.
    Unreachable,
    /// Another run holds the stream; nothing was changed.
    Held,
    /// Stopped by a signal with work left; nothing is half done.
    Stopped,
}

impl Outcome {
    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Held => 75,
            Self::Stopped => 76,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_contract() {
        let all = [
            Outcome::Done,
            Outcome::Findings,
            Outcome::Usage,
            Outcome::Unreachable,
            Outcome::Held,
            Outcome::Stopped,
        ];
        assert_eq!(all.map(Outcome::code), [0, 1, 2, 3, 75, 76]);
    }
}
