//! What can go wrong at a source whose tables are read.

use thiserror::Error as ThisError;

use crate::error::Error;

/// Why no image was read. None of it is about the platform's database, where nothing was changed.
#[derive(Debug, ThisError)]
pub enum SourceError {
    /// The server is not there.
    #[error("cannot reach the source at {place}")]
    Unreachable {
        /// Host, port and database.
        place: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The server takes connections, or statements, and says nothing.
    #[error("the source at {place} does not answer within {seconds} s")]
    Silent {
        /// Host, port and database.
        place: String,
        /// How long we waited.
        seconds: u64,
    },
    /// The server is there and refuses user or password.
    #[error("the source at {place} refuses the login")]
    Login {
        /// Host, port and database.
        place: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A statement failed there.
    #[error("failed to {label} at the source ({place})")]
    Failed {
        /// What was being done, as an infinitive.
        label: String,
        /// Host, port and database.
        place: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A table is not as an image needs it: missing, without a column, closed to the reader.
    #[error("the source at {place} {what}")]
    Refused {
        /// Host, port and database.
        place: String,
        /// What it does not have, or does not let us do.
        what: String,
        /// What to do.
        remedy: String,
    },
}

impl SourceError {
    /// The same error, where it is one of connecting, as one of the source.
    pub(super) fn of_connecting(error: Error) -> Error {
        match error {
            Error::Connect { place, source } => Self::Unreachable { place, source }.into(),
            Error::Silent { place, seconds } => Self::Silent { place, seconds }.into(),
            Error::Login { place, source } => Self::Login { place, source }.into(),
            other => other,
        }
    }
}
