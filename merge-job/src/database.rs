//! Where the platform's Postgres and the sources of images are, and who we are there.

use std::str::FromStr as _;

use milepost_job_spec::environment::{
    HOST, NAME, PASSWORD_VARIABLE, PORT, SOURCE_URL, URL, USER_VARIABLE,
};
use milepost_job_spec::{DatabaseAddress, SourceDatabase, SourceDatabaseKind};
use tokio_postgres::Config;

use crate::error::Error;
use crate::secret::Secret;

/// Reads the connection from the environment: [`URL`], else the variables that the rendered DAG sets, else the
/// address of a plan at hand.
///
/// # Errors
/// [`Error::Usage`] if neither is there, or one does not parse. Messages never repeat a value.
pub fn config_from_environment(plan: Option<&DatabaseAddress>) -> Result<Config, Error> {
    if let Some(config) = url(URL)? {
        return Ok(config);
    }
    let variable = |name: &str| variable(name, URL);
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
    config(&address, URL)
}

/// The connection to a source whose tables are read: [`SOURCE_URL`], else the address of the spec, if it has one, with user and
/// password from the variables that it names.
///
/// # Errors
/// [`Error::Usage`] if a variable is not there or does not parse. Messages never repeat a value.
pub(crate) fn source_from_environment(source: Option<&SourceDatabase>) -> Result<Config, Error> {
    if let Some(config) = url(SOURCE_URL)? {
        return Ok(config);
    }
    let Some(source) = source else {
        return Err(Error::Usage(format!(
            "the stream's spec does not say where its source is: set {SOURCE_URL}=postgres://user:password@host:port/database"
        )));
    };
    match source.kind {
        SourceDatabaseKind::Postgres => {}
    }
    let address = DatabaseAddress {
        host: source.host.clone(),
        port: source.port,
        database: source.database.clone(),
        user_variable: source.user_variable.clone(),
        password_variable: source.password_variable.clone(),
    };
    config(&address, SOURCE_URL)
}

/// The connection of a URL in the environment, where there is one.
fn url(name: &str) -> Result<Option<Config>, Error> {
    let Ok(url) = std::env::var(name) else {
        return Ok(None);
    };
    // The parser's message is dropped: it may repeat parts of the URL, password included.
    Config::from_str(&url).map(Some).map_err(|_| {
        Error::Usage(format!(
            "{name} does not parse; write postgres://user:password@host:port/database"
        ))
    })
}

fn config(address: &DatabaseAddress, url: &str) -> Result<Config, Error> {
    let user = variable(&address.user_variable, url)?;
    let password = Secret::new(variable(&address.password_variable, url)?);
    let mut config = Config::new();
    config
        .host(&address.host)
        .port(address.port)
        .dbname(&address.database)
        .user(&user)
        .password(password.reveal());
    Ok(config)
}

/// A variable of the environment; `url` is the one that makes it superfluous.
fn variable(name: &str, url: &str) -> Result<String, Error> {
    std::env::var(name).map_err(|_| {
        Error::Usage(format!(
            "the environment has no {name}; set it, or {url}=postgres://user:password@host:port/database"
        ))
    })
}
