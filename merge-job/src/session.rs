//! One connection to a Postgres, the platform's or a source's, with its round trips counted.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CancelToken, Client, Config, NoTls, Row, SimpleQueryMessage, SimpleQueryRow};

use crate::error::Error;
use crate::stop;

/// A value and its type, bound to a statement.
pub type Bound<'a> = (&'a (dyn ToSql + Sync), Type);

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A statement that returns rows, with its values.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// What is being done, as an infinitive.
    pub label: &'static str,
    /// The statement.
    pub sql: &'a str,
    /// Its values.
    pub values: &'a [Bound<'a>],
}

/// A connection. Each method is one round trip.
pub struct Session {
    client: Client,
    /// Says that it is open, to whoever may have to cancel what it does.
    _open: Arc<()>,
    round_trips: AtomicU64,
}

impl Session {
    /// Connects, with keepalives short enough that a dead peer is noticed within a minute.
    ///
    /// # Errors
    /// [`Error::Connect`] if the server cannot be reached or refuses the login.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        let mut config = config.clone();
        config
            .application_name("milepost merge-job")
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        // All of it, login included: a peer that takes the connection and says nothing is as good as none.
        match tokio::time::timeout(CONNECT_TIMEOUT, open(&config)).await {
            Ok(client) => {
                let client = client?;
                let open = stop::opened(|| Cancel {
                    token: client.cancel_token(),
                    config,
                });
                Ok(Self {
                    client,
                    _open: open,
                    round_trips: AtomicU64::new(0),
                })
            }
            Err(_) => Err(Error::silent(&config, CONNECT_TIMEOUT)),
        }
    }

    /// Round trips made since the connection was opened.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }

    /// Is the connection gone?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    fn count(&self) {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs several statements that take no values in one round trip; returns the rows of all, as text.
    ///
    /// # Errors
    /// [`Error::Sql`] with `label`, which says what was being done.
    pub async fn script(
        &self,
        label: &'static str,
        sql: &str,
    ) -> Result<Vec<SimpleQueryRow>, Error> {
        let messages = self.simple(label, sql).await?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .collect())
    }

    /// The same; returns how many rows each statement touched.
    ///
    /// # Errors
    /// [`Error::Sql`] with `label`.
    pub async fn script_counts(&self, label: &'static str, sql: &str) -> Result<Vec<u64>, Error> {
        let messages = self.simple(label, sql).await?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::CommandComplete(count) => Some(count),
                _ => None,
            })
            .collect())
    }

    async fn simple(
        &self,
        label: &'static str,
        sql: &str,
    ) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.count();
        self.client
            .simple_query(sql)
            .await
            .map_err(|source| Error::sql(label, source))
    }

    /// Runs one statement with bound values; returns its rows.
    ///
    /// # Errors
    /// [`Error::Sql`] with `label`.
    pub async fn query(
        &self,
        label: &'static str,
        sql: &str,
        values: &[Bound<'_>],
    ) -> Result<Vec<Row>, Error> {
        self.count();
        self.client
            .query_typed(sql, values)
            .await
            .map_err(|source| Error::sql(label, source))
    }

    /// Runs two queries in one round trip, the second of which sees what the first saw and later; returns the rows of both.
    ///
    /// # Errors
    /// [`Error::Sql`] with the label of the one that failed.
    pub async fn query_both(
        &self,
        first: Query<'_>,
        second: Query<'_>,
    ) -> Result<(Vec<Row>, Vec<Row>), Error> {
        self.count();
        let (one, two) = tokio::join!(
            self.client.query_typed(first.sql, first.values),
            self.client.query_typed(second.sql, second.values)
        );
        let one = one.map_err(|source| Error::sql(first.label, source))?;
        let two = two.map_err(|source| Error::sql(second.label, source))?;
        Ok((one, two))
    }

    /// Runs one statement with bound values; returns how many rows it touched.
    ///
    /// # Errors
    /// [`Error::Sql`] with `label`.
    pub async fn execute(
        &self,
        label: &'static str,
        sql: &str,
        values: &[Bound<'_>],
    ) -> Result<u64, Error> {
        self.count();
        self.client
            .execute_typed(sql, values)
            .await
            .map_err(|source| Error::sql(label, source))
    }
}

/// At which end a copy from server to server failed.
pub(crate) enum CopyError {
    /// At the other one.
    There(tokio_postgres::Error),
    /// At this one.
    Here(tokio_postgres::Error),
}

impl Session {
    /// Runs `copy … from stdin` with the rows of a `copy … to stdout` at another server; returns how many they were.
    ///
    /// Rows pass through in pieces of a few kilobytes, or one by one where they are larger: neither side is read faster than
    /// the other takes.
    pub(crate) async fn copy_from(
        &self,
        other: &Self,
        out: &str,
        into: &str,
    ) -> Result<u64, CopyError> {
        self.count();
        other.count();
        let sink = self.client.copy_in(into).await.map_err(CopyError::Here)?;
        let mut sink = pin!(sink);
        let rows = other.client.copy_out(out).await.map_err(CopyError::There)?;
        let mut rows = pin!(rows);
        while let Some(row) = rows.next().await {
            let row = row.map_err(CopyError::There)?;
            sink.feed(row).await.map_err(CopyError::Here)?;
        }
        sink.finish().await.map_err(CopyError::Here)
    }
}

/// Ends the statement of a session. The server then rolls the transaction back, or does so when the connection closes.
pub(crate) struct Cancel {
    token: CancelToken,
    config: Config,
}

impl Cancel {
    /// Asks the server to stop; gives up after two seconds, since the process is about to end anyway.
    pub(crate) async fn cancel(&self) {
        let asked = async {
            match crate::tls::connector(&self.config) {
                Ok(Some(tls)) => self.token.cancel_query(tls).await.is_ok(),
                Ok(None) => self.token.cancel_query(NoTls).await.is_ok(),
                Err(_) => false,
            }
        };
        if !tokio::time::timeout(Duration::from_secs(2), asked)
            .await
            .unwrap_or(false)
        {
            tracing::debug!("the running statement could not be cancelled");
        }
    }
}

async fn open(config: &Config) -> Result<Client, Error> {
    let failed = |source| Error::connect(config, source);
    Ok(match crate::tls::connector(config)? {
        Some(tls) => {
            let (client, connection) = config.connect(tls).await.map_err(failed)?;
            spawn(connection);
            client
        }
        None => {
            let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
            spawn(connection);
            client
        }
    })
}

fn spawn<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    // The task ends with the connection; whoever waits for a statement then gets the error.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    });
}
