//! What can go wrong, in words for the operator. `retry.rs` decides what follows from each.

use milepost_job_spec::{PlanError, SpecError};
use thiserror::Error as ThisError;
use tokio_postgres::Config;
use tokio_postgres::error::SqlState;

use crate::image::SourceError;
use crate::staging::taken::Split;
use crate::staging::truncate::Truncate;

/// Why a command did not end as asked. `Display` is a fragment that does not repeat its source.
#[derive(Debug, ThisError)]
pub enum Error {
    /// Usage, configuration, or input that cannot be read.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A stream spec of another version or shape.
    #[error("`{place}` holds no usable stream spec")]
    Spec {
        /// The file or row.
        place: String,
        /// Why.
        #[source]
        source: SpecError,
    },
    /// A platform plan of another version or shape.
    #[error("`{place}` holds no usable platform plan")]
    Plan {
        /// The file.
        place: String,
        /// Why.
        #[source]
        source: PlanError,
    },
    /// The server is not there.
    #[error("cannot reach the database at {place}")]
    Connect {
        /// Host, port and database.
        place: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The server takes the connection and says nothing.
    #[error("the database at {place} does not answer within {seconds} s")]
    Silent {
        /// Host, port and database.
        place: String,
        /// How long we waited.
        seconds: u64,
    },
    /// The server is there and refuses user or password.
    #[error("the database at {place} refuses the login")]
    Login {
        /// Host, port and database.
        place: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A statement failed.
    #[error("failed to {label}")]
    Sql {
        /// What was being done, as an infinitive.
        label: &'static str,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The connection broke after COMMIT was sent and before its answer came: the control row knows what happened.
    #[error("lost the answer to the commit of batch {number}")]
    Commit {
        /// The batch's number.
        number: i64,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The connection broke after COMMIT of an erasure was sent and before its answer came: its audit row knows what happened.
    #[error("lost the answer to the commit of erasure {id}; it was not committed")]
    LostErasure {
        /// The number of its audit row.
        id: i64,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Another run holds the stream.
    #[error("another run holds stream `{0}`; nothing was changed")]
    Held(String),
    /// A signal asked us to stop.
    #[error("stopped by a signal with work left; nothing is half done")]
    Stopped,
    /// The control schema is missing or older than this release.
    #[error("{0}")]
    Migrate(String),
    /// Another spec was published, or the stream was retired, since the run read it.
    #[error("the spec of stream `{0}` was published anew while it ran")]
    Outdated(String),
    /// No such stream in the published plan.
    #[error("the published plan has no stream `{0}`")]
    UnknownStream(String),
    /// The publish was refused.
    #[error("{0}")]
    Publish(String),
    /// A table, view, schema or role is not what the spec says, and no additive change makes it so.
    #[error("{table} is not what its spec says: {difference}")]
    Shape {
        /// The object with its kind: table `main.shop__orders`.
        table: String,
        /// What differs.
        difference: String,
        /// What to do.
        remedy: String,
    },
    /// The staged rows cannot be merged.
    #[error("{what}")]
    Staged {
        /// What is wrong with them.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// What was asked for cannot be done as things are; nothing was changed.
    #[error("{what}")]
    Obstacle {
        /// What stands against it.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// Staged rows of which nobody knows what came first. A new snapshot behind them supersedes them.
    #[error("{what}")]
    Unordered {
        /// What is wrong with them.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A truncate that nothing lets pass: a batch may go up to it.
    #[error("the source truncated dataset `{dataset}` (topic `{}`, partition {}, offset {})", .truncate.topic, .truncate.partition, .truncate.offset)]
    Truncated {
        /// The dataset's name.
        dataset: String,
        /// Where.
        truncate: Truncate,
        /// What to do.
        remedy: String,
    },
    /// The batch has a part of a transaction that took keys: it is tried again around it.
    #[error("transaction {} of the source is not whole in the batch", .0.transaction.as_deref().unwrap_or("without a number"))]
    Split(Split),
    /// A complete snapshot lacks more rows than the dataset's policy lets be missing.
    #[error("{what}")]
    Missing {
        /// How many of how many.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// No image was read. The platform's database has no part in it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The tables changed under the batch.
    #[error("{0}")]
    Disturbed(String),
    /// The server was told to count no more what transactions write, while it did so for this dataset.
    #[error(
        "what was written to the table of dataset `{0}` was not counted: `track_counts` was turned off meanwhile"
    )]
    Uncounted(String),
    /// Findings that are no failure of ours: a verification that found something.
    #[error("{0}")]
    Findings(String),
    /// Output could not be written.
    #[error("cannot write the output")]
    Output(#[source] std::io::Error),
}

impl Error {
    /// The error of a failed connection attempt: a refused login is configuration, all else is reach.
    #[must_use]
    pub fn connect(config: &Config, source: tokio_postgres::Error) -> Self {
        let place = place(config);
        match source.code() {
            Some(code)
                if *code == SqlState::INVALID_PASSWORD
                    || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
            {
                Self::Login { place, source }
            }
            // The driver itself says so when the server asks for a password and there is none.
            _ if source.to_string().contains("password missing") => Self::Login { place, source },
            _ => Self::Connect { place, source },
        }
    }

    /// The error of a connection attempt that got no answer.
    #[must_use]
    pub fn silent(config: &Config, waited: std::time::Duration) -> Self {
        Self::Silent {
            place: place(config),
            seconds: waited.as_secs(),
        }
    }

    /// The error of a failed statement.
    #[must_use]
    pub const fn sql(label: &'static str, source: tokio_postgres::Error) -> Self {
        Self::Sql { label, source }
    }

    /// The SQLSTATE of the answer of the platform's database, where it gave one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Sql { source, .. }
            | Self::Connect { source, .. }
            | Self::Login { source, .. } => source.code().map(SqlState::code),
            _ => None,
        }
    }

    /// Did the connection to the platform's database break, so that a new one is needed?
    #[must_use]
    pub fn is_disconnect(&self) -> bool {
        match self {
            Self::Sql { source, .. }
            | Self::Commit { source, .. }
            | Self::LostErasure { source, .. } => {
                source.is_closed() || source.as_db_error().is_none()
            }
            _ => false,
        }
    }

    /// The error and its sources, on one line. Values of rows never take part: see [`crate::retry`].
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let part = match error.downcast_ref::<tokio_postgres::Error>() {
                // The primary message only: DETAIL and CONTEXT may carry values of rows.
                Some(postgres) => match postgres.as_db_error() {
                    Some(answer) => redacted(answer),
                    None => postgres.to_string(),
                },
                None => error.to_string(),
            };
            if !text.ends_with(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            source = error.source();
            if error
                .downcast_ref::<tokio_postgres::Error>()
                .is_some_and(|e| e.as_db_error().is_some())
            {
                break;
            }
        }
        text
    }
}

/// The server's message without values: data exceptions (class 22) quote the value, so only their condition is told.
fn redacted(answer: &tokio_postgres::error::DbError) -> String {
    let code = answer.code().code();
    if code.starts_with("22") {
        format!("a value does not fit its type (SQLSTATE {code})")
    } else {
        format!("{} (SQLSTATE {code})", answer.message())
    }
}

/// Host, port and database, for messages.
pub(crate) fn place(config: &Config) -> String {
    use tokio_postgres::config::Host;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        #[cfg(not(unix))]
        Some(_) => String::new(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config
        .get_dbname()
        .or(config.get_user())
        .unwrap_or("postgres");
    format!("{host}:{port}, database `{database}`")
}
