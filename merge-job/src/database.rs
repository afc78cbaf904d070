//! Where the platform's Postgres is, and who we are there.

use std::str::FromStr as _;

use milepost_job_spec::DatabaseAddress;
use tokio_postgres::Config;

use crate::error::Error;
use crate::secret::Secret;

/// The environment variable that overrides address and credential, for local use.
pub const DATABASE_URL: &str = "MILEPOST_DATABASE_URL";
/// Host, port and database of the plan, as the DAG hands them to the pod.
pub const HOST: &str = "MILEPOST_DATABASE_HOST";
/// See [`HOST`].
pub const PORT: &str = "MILEPOST_DATABASE_PORT";
/// See [`HOST`].
pub const NAME: &str = "MILEPOST_DATABASE_NAME";
/// The name of the environment variable that holds the user: the credential's.
pub const USER_VARIABLE: &str = "MILEPOST_DATABASE_USER_VARIABLE";
/// The name of the environment variable that holds the password.
pub const PASSWORD_VARIABLE: &str = "MILEPOST_DATABASE_PASSWORD_VARIABLE";

/// Reads the connection from the environment: [`DATABASE_URL`], else the variables that the rendered DAG sets, else the
/// address of a plan at hand.
///
/// # Errors
/// [`Error::Usage`] if neither is there, or one does not parse. Messages never repeat a value.
pub fn config_from_environment(plan: Option<&DatabaseAddress>) -> Result<Config, Error> {
    if let Ok(url) = std::env::var(DATABASE_URL) {
        // The parser's message is dropped: it may repeat parts of the URL, password included.
        return Config::from_str(&url).map_err(|_| {
            Error::Usage(format!(
                "{DATABASE_URL} does not parse; write postgres://user:password@host:port/database"
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
            "the environment has no {name}; set it, or {DATABASE_URL}=postgres://user:password@host:port/database"
        ))
    })
}
