use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt as _;
use milepost_job_spec::Outcome;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::failure::{Failure, chain};

/// A connection to the demo's database.
pub(super) struct Database(Client);

/// A result as text: the names of its columns, and its rows with none for a null.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

impl Database {
    pub(super) async fn connect(url: &str) -> Result<Self, Failure> {
        let (client, connection) = tokio_postgres::connect(url, NoTls)
            .await
            .map_err(|error| unreachable(&error))?;
        // It ends with the client; what goes wrong on it is told to whoever waits for an answer.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self(client))
    }

    /// Runs statements that return nothing.
    pub(super) async fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.0
            .batch_execute(sql)
            .await
            .map_err(|error| refused(&error))
    }

    /// Feeds a `copy … from stdin`.
    pub(super) async fn copy_in(&self, statement: &str, text: String) -> Result<(), Failure> {
        let copy = async {
            let mut sink = pin!(self.0.copy_in(statement).await?);
            sink.send(Bytes::from(text)).await?;
            sink.finish().await
        };
        copy.await.map(|_| ()).map_err(|error| refused(&error))
    }

    /// Asks for rows.
    pub(super) async fn rows(&self, sql: &str) -> Result<Rows, Failure> {
        let answer = self.0.simple_query(sql).await;
        let mut result = Rows::default();
        for message in answer.map_err(|error| refused(&error))? {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    result.columns = columns.iter().map(|c| c.name().to_owned()).collect();
                }
                SimpleQueryMessage::Row(row) => {
                    let values = (0..row.len()).map(|place| row.get(place).map(str::to_owned));
                    result.rows.push(values.collect());
                }
                _ => {}
            }
        }
        Ok(result)
    }

    /// Asks for one value that is there.
    pub(super) async fn text(&self, sql: &str) -> Result<String, Failure> {
        let mut rows = self.rows(sql).await?.rows;
        let value = rows.pop().and_then(|mut row| row.pop()).flatten();
        value.ok_or_else(|| Failure::new(Outcome::Findings, format!("no row answers `{sql}`")))
    }
}

fn unreachable(error: &tokio_postgres::Error) -> Failure {
    Failure::new(
        Outcome::Unreachable,
        format!("the private Postgres does not answer: {}", chain(error)),
    )
}

fn refused(error: &tokio_postgres::Error) -> Failure {
    Failure::new(
        Outcome::Findings,
        format!("the private Postgres refused a statement: {}", chain(error)),
    )
}
