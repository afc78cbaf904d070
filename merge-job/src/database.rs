//! Where the platform's Postgres is, and who we are there.

use std::str::FromStr as _;

use milepost_job_spec::DatabaseAddress;
use milepost_job_spec::environment::{HOST, NAME, PASSWORD_VARIABLE, PORT, URL, USER_VARIABLE};
use tokio_postgres::Config;

use crate::error::Error;
use crate::secret::Secret;

/// Reads the connection from the environment: [`URL`], else the variables that the rendered DAG sets, else the
/// address of a plan at hand.
///
/// # Errors
/// [`Error::Usage`] if neither is there, or one does not parse. Messages never repeat a value.
pub fn config_from_environment(plan: Option<&DatabaseAddress>) -> Result<Config, Error> {
    if let Ok(url) = std::env::var(URL) {
        // The parser's message is dropped: it may repeat parts of the URL, password included.
        return Config::from_str(&url).map_err(|_| {
            Error::Usage(format!(
                "{URL} does not parse; write postgres://user:password@host:port/database"
            ))
        });
    }
    let address = match plan {
        Some(address) => address.clone(),
        None => DatabaseAddress {
            host: variable(HOST)?,
            port: variable(PORT)?
                .parse()
                .map_err(|_| Error::Usage(format!("{PORT} is no port number (1 to 65535)")))?,
            database: variable(NAME)?,
            user_variable: variable(USER_VARIABLE)?,
            password_variable: variable(PASSWORD_VARIABLE)?,
        },
    };
    let user = variable(&address.user_variable)?;
    let password = Secret::new(variable(&address.password_variable)?);
    let mut config = Config::new();
    config
        .host(&address.host)
        .port(address.port)
        .dbname(&address.database)
        .user(&user)
        .password(password.reveal());
    Ok(config)
}

fn variable(name: &str) -> Result<String, Error> {
    std::env::var(name).map_err(|_| {
        Error::Usage(format!(
            "the environment has no {name}; set it, or {URL}=postgres://user:password@host:port/database"
        ))
    })
}
