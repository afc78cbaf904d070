//! The only place of this program where a secret's value lives.

use std::fmt;

use milepost_job_spec::environment;
use milepost_platform::plan::Plan;

use super::Trouble;
use super::source::PostgresSource;

/// A shorter secret would make gaps in every sentence, and protects nothing.
const SHORTEST_HIDDEN: usize = 4;

/// A secret value: it cannot be printed, compared or serialised.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) const fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the call that needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The secrets that questions about a plan use, to be taken out of whatever is printed.
pub(crate) fn known(plan: &Plan) -> Vec<Secret> {
    let sources = plan
        .connect
        .files
        .iter()
        .filter_map(|file| PostgresSource::of(file, plan));
    let variables = std::iter::once(plan.index.database.password_variable.clone())
        .chain(
            plan.connect
                .login
                .as_ref()
                .map(|login| login.password_variable.clone()),
        )
        .chain(sources.map(|source| source.password_variable));
    let of_variables = variables.filter_map(|variable| std::env::var(variable).ok());
    let of_url = std::env::var(environment::URL)
        .ok()
        .and_then(|url| url.parse::<tokio_postgres::Config>().ok())
        .and_then(|config| String::from_utf8(config.get_password()?.to_vec()).ok());
    let of_connect = reqwest::Url::parse(&plan.connect.url)
        .ok()
        .and_then(|url| url.password().map(str::to_owned));
    of_variables
        .chain(of_url)
        .chain(of_connect)
        .filter(|value| value.len() >= SHORTEST_HIDDEN)
        .map(Secret::new)
        .collect()
}

/// A user and its password.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: Secret,
}

impl Login {
    /// Reads both variables of the environment; one that is empty counts as missing.
    ///
    /// # Errors
    /// [`Trouble::Unconfigured`] with the names of those that are missing.
    pub(crate) fn from_environment(
        user_variable: &str,
        password_variable: &str,
    ) -> Result<Self, Trouble> {
        let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (value(user_variable), value(password_variable)) {
            (Some(user), Some(password)) => Ok(Self {
                user,
                password: Secret::new(password),
            }),
            (user, password) => {
                let mut missing = Vec::new();
                if user.is_none() {
                    missing.push(user_variable.to_owned());
                }
                if password.is_none() {
                    missing.push(password_variable.to_owned());
                }
                Err(Trouble::Unconfigured(missing))
            }
        }
    }
}
