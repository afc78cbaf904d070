use std::io::{Read as _, Write as _};

use postgres::{Client, NoTls, SimpleQueryMessage};

/// A database of one test; every answer is text, as Postgres prints it.
pub struct Database {
    url: String,
    client: Client,
}

/// A row of an answer; a null is none.
pub(crate) type Row = Vec<Option<String>>;

impl Database {
    /// A connection to the database of this URL.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn connect(url: &str) -> Self {
        let client = Client::connect(url, NoTls)
            .unwrap_or_else(|error| panic!("failed to connect to {url}: {error}"));
        Self {
            url: url.to_owned(),
            client,
        }
    }

    /// What `MILEPOST_DATABASE_URL` is for this database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the database.
    #[must_use]
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    /// Where its server listens.
    pub(crate) fn port(&self) -> u16 {
        let address = self.url.rsplit('@').next().unwrap_or_default();
        let port = address
            .split('/')
            .next()
            .and_then(|host| host.rsplit(':').next());
        port.and_then(|port| port.parse().ok())
            .expect("the URL of a test database has a port")
    }

    /// Another connection to the same database.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::connect(&self.url)
    }

    /// Runs statements.
    ///
    /// # Panics
    /// If one of them fails.
    pub fn run(&mut self, sql: &str) {
        if let Err(error) = self.client.batch_execute(sql) {
            panic!("{}\n{sql}", explain(&error));
        }
    }

    /// The rows of a query.
    ///
    /// # Panics
    /// If it fails.
    pub fn rows(&mut self, sql: &str) -> Vec<Row> {
        let messages = self
            .client
            .simple_query(sql)
            .unwrap_or_else(|error| panic!("{}\n{sql}", explain(&error)));
        let row = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|n| row.get(n).map(str::to_owned))
                    .collect(),
            ),
            _ => None,
        };
        messages.iter().filter_map(row).collect()
    }

    /// The one value of a query.
    ///
    /// # Panics
    /// If it fails or gives no value.
    pub fn value(&mut self, sql: &str) -> String {
        let value = self
            .rows(sql)
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next()?);
        value.unwrap_or_else(|| panic!("no value from {sql}"))
    }

    /// Sends `text` to a `copy … from stdin`.
    ///
    /// # Panics
    /// If it fails.
    pub fn copy_in(&mut self, statement: &str, text: &str) {
        let copied = self.client.copy_in(statement).and_then(|mut writer| {
            writer
                .write_all(text.as_bytes())
                .expect("the server reads on");
            writer.finish()
        });
        if let Err(error) = copied {
            panic!("{}\n{statement}", explain(&error));
        }
    }

    /// What a query gives, as `copy … to stdout` writes it.
    ///
    /// # Panics
    /// If it fails.
    pub fn copy_out(&mut self, statement: &str) -> String {
        let mut text = String::new();
        let copied = self.client.copy_out(statement);
        match copied {
            Ok(mut reader) => reader
                .read_to_string(&mut text)
                .expect("the server writes UTF-8"),
            Err(error) => panic!("{}\n{statement}", explain(&error)),
        };
        text
    }
}

fn explain(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{error} {}", error.where_().unwrap_or_default()),
        None => error.to_string(),
    }
}
