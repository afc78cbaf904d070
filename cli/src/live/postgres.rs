//! A connection to a Postgres that reads and changes nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use milepost_job_spec::environment;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Answer, Trouble, said, tls};

/// A server that is there answers a login within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// A statement is stopped by the server, so that none goes on there when we are gone; it gets a second to say so.
const STATEMENT: Duration = Duration::from_secs(5);
const STATEMENT_AND_ANSWER: Duration = Duration::from_secs(6);

/// A connection. A failed question leaves it usable for the next.
pub(super) struct Session(Client);

/// The variable that names the certificates to trust, as `psql` and `merge-job` read it.
const ROOTS: &str = "PGSSLROOTCERT";

impl Session {
    /// Connects, in the clear unless the configuration demands TLS.
    pub(super) async fn connect(config: &Config) -> Answer<Self> {
        let mut config = config.clone();
        config.application_name("milepost");
        let opened = async {
            let client = open(&config).await?;
            // For the session and in the server: whatever is asked, nothing is changed.
            client
                .batch_execute(&format!(
                    "set default_transaction_read_only = on; set statement_timeout = {}",
                    STATEMENT.as_millis()
                ))
                .await
                .map_err(|error| trouble(&error))?;
            Ok(Self(client))
        };
        tokio::time::timeout(PATIENCE, opened)
            .await
            .unwrap_or(Err(Trouble::Silent(PATIENCE)))
    }

    /// The rows of a statement.
    pub(super) async fn rows(
        &self,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Answer<Vec<Row>> {
        let asked = self.0.query_typed(sql, values);
        match tokio::time::timeout(STATEMENT_AND_ANSWER, asked).await {
            Ok(answer) => answer.map_err(|error| trouble(&error)),
            Err(_) => Err(Trouble::Silent(STATEMENT_AND_ANSWER)),
        }
    }

    /// The one row of a statement that has always one.
    pub(super) async fn row(
        &self,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Answer<Row> {
        let row = self.rows(sql, values).await?.into_iter().next();
        row.ok_or_else(|| Trouble::Stranger("its answer has no row".to_owned()))
    }

    /// By how many milliseconds the server's clock is ahead of ours; the answer's way back is halved.
    pub(super) async fn skew(&self) -> Answer<i64> {
        let before = now();
        let row = self
            .row(
                "select (extract(epoch from clock_timestamp()) * 1000)::bigint",
                &[],
            )
            .await?;
        let between = before + (now() - before) / 2;
        Ok(value::<i64>(&row, 0)? - between)
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// A value of an answer. A server that answers with another type is none that we know.
pub(super) fn value<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    place: usize,
) -> Answer<T> {
    row.try_get(place).map_err(|_| {
        Trouble::Stranger("its answer is not of the shape that Postgres's have".to_owned())
    })
}

async fn open(config: &Config) -> Answer<Client> {
    let failed = |error: tokio_postgres::Error| trouble(&error);
    if config.get_ssl_mode() == SslMode::Require {
        let tls = MakeRustlsConnect::new(tls::client(ROOTS)?);
        let (client, connection) = config.connect(tls).await.map_err(failed)?;
        tokio::spawn(async move {
            // It ends with the client; what goes wrong on it is told to whoever waits for an answer.
            let _ = connection.await;
        });
        return Ok(client);
    }
    let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}

fn trouble(error: &tokio_postgres::Error) -> Trouble {
    let Some(answer) = error.as_db_error() else {
        // The driver itself says so when the server asks for a password and there is none.
        return match error.to_string().contains("password missing") {
            true => Trouble::Login("it asks for a password, and there is none".to_owned()),
            false => Trouble::Unreachable(said::chain(error)),
        };
    };
    let code = answer.code();
    if *code == SqlState::INVALID_PASSWORD {
        return Trouble::Login("user or password is wrong".to_owned());
    }
    if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        // The server's own words name user, database and address.
        return Trouble::Login(match answer.message().contains("no encryption") {
            true => "it takes no connection in the clear from here (`sslmode=require`)".to_owned(),
            false => "the user does not exist there, or may not log in from here".to_owned(),
        });
    }
    let said = format!(
        "{} (SQLSTATE {})",
        said::line(answer.message()),
        code.code()
    );
    match code.code() {
        // Shutdown, crash recovery, starting up, too many connections, no such database.
        "57P01" | "57P02" | "57P03" | "53300" | "3D000" => Trouble::Unreachable(said),
        _ => Trouble::Refused(said),
    }
}

/// A configuration of these parts.
pub(super) fn config(host: &str, port: u16, database: &str, user: &str, password: &str) -> Config {
    let mut config = Config::new();
    config
        .host(host)
        .port(port)
        .dbname(database)
        .user(user)
        .password(password);
    // As libpq reads it, so that a source that takes nothing in the clear can be asked.
    if std::env::var("PGSSLMODE").is_ok_and(|mode| mode == "require" || mode.starts_with("verify-"))
    {
        config.ssl_mode(SslMode::Require);
    }
    config
}

/// The configuration that a URL in the environment holds, if there is one.
pub(super) fn from_url() -> Answer<Option<Config>> {
    match std::env::var(environment::URL) {
        // The parser's message may repeat parts of the URL, password included.
        Ok(url) => url.parse().map(Some).map_err(|_| {
            Trouble::Unusable(format!(
                "{} does not parse; write postgres://user:password@host:port/database",
                environment::URL
            ))
        }),
        Err(_) => Ok(None),
    }
}
