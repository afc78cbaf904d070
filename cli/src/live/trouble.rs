use std::fmt;
use std::time::Duration;

use milepost_job_spec::Outcome;

/// An answer, or why there is none.
pub(crate) type Answer<T> = Result<T, Trouble>;

/// Why a question got no answer. No text in it holds an address, a user or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The environment lacks these variables, so nobody was asked.
    Unconfigured(Vec<String>),
    /// What the model or a variable says is unusable.
    Unusable(String),
    /// Nobody listens there.
    Unreachable(String),
    /// It takes the connection and says nothing.
    Silent(Duration),
    /// It refuses who asks.
    Login(String),
    /// It answers with a status of HTTP that is no success.
    Status(u16, String),
    /// What answers is something else.
    Stranger(String),
    /// It refuses the question.
    Refused(String),
}

impl Trouble {
    /// How a command ends that met this.
    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Unconfigured(_) | Self::Unusable(_) | Self::Login(_) => Outcome::Usage,
            Self::Unreachable(_) | Self::Silent(_) | Self::Status(..) | Self::Stranger(_) => {
                Outcome::Unreachable
            }
            Self::Refused(_) => Outcome::Findings,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unconfigured(variables) => {
                write!(
                    f,
                    "not asked: the environment has no {}",
                    variables.join(" and no ")
                )
            }
            Self::Unusable(why) => write!(f, "not asked: {why}"),
            Self::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Self::Silent(waited) => write!(f, "does not answer within {} s", waited.as_secs()),
            Self::Login(why) => write!(f, "refuses the login: {why}"),
            Self::Status(code, said) if said.is_empty() => write!(f, "answers {code}"),
            Self::Status(code, said) => write!(f, "answers {code}: {said}"),
            Self::Stranger(what) => f.write_str(what),
            Self::Refused(why) => write!(f, "refuses the question: {why}"),
        }
    }
}
