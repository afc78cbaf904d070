//! Types of the model as Postgres holds them, in staging and merged, one table for each kind of source: what Debezium's
//! connector and JDBC sink do with every type under the settings of [`crate::kubernetes_postgres`]. Another setting of a
//! connector is another table.
//!
//! Postgres and MariaDB were seen, type by type (`docs/decisions/0001-staging-contract.md`,
//! `docs/decisions/0007-mysql-and-other-sources.md`). MySQL, SQL Server and Oracle rest on Debezium's documentation: what it
//! leaves open is refused.

mod mysql;
mod oracle;
mod postgres;
mod sql_server;

use milepost_dsl::scalar::DataType;
use milepost_dsl::spec::SourceKind;
use milepost_job_spec::Placeholder;

/// What Debezium writes in place of a large value that did not change: 28 characters.
pub const PLACEHOLDER: &str = "__debezium_unavailable_value";

/// How a type is staged and merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The type in the staging table.
    pub staging: String,
    /// The type in the merge table, as `format_type` prints it.
    pub merge: String,
    /// What stands for an unchanged value; none where the value is never stored out of line.
    pub placeholder: Option<Placeholder>,
    /// What the sink makes of the column before it is bound, where it would bind it as its staging column is not.
    pub cast: Option<Cast>,
    /// Which values arrive as others, if some do.
    pub altered: Option<&'static str>,
}

/// A cast of Kafka Connect's `Cast` transform. It also takes the column's semantic type away, by which the sink would bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// `string`.
    Text,
    /// `int64`.
    Number,
}

impl Cast {
    /// The word of the transform's `spec`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Number => "int64",
        }
    }
}

/// Why a platform cannot carry a type, and what to do instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unmappable {
    /// What happens to it on the way.
    pub reason: &'static str,
    /// What to write instead.
    pub help: &'static str,
}

impl Mapping {
    /// Staged as it is merged.
    fn same(data_type: impl Into<String>) -> Self {
        let data_type = data_type.into();
        Self {
            staging: data_type.clone(),
            merge: data_type,
            placeholder: None,
            cast: None,
            altered: None,
        }
    }

    /// Staged as text: the sink cannot bind the type, or its column cannot hold the placeholder.
    fn through_text(merge: impl Into<String>, placeholder: Option<Placeholder>) -> Self {
        Self {
            staging: "text".to_owned(),
            merge: merge.into(),
            placeholder,
            cast: None,
            altered: None,
        }
    }

    fn cast(self, cast: Cast) -> Self {
        Self {
            cast: Some(cast),
            ..self
        }
    }

    fn altered(self, altered: &'static str) -> Self {
        Self {
            altered: Some(altered),
            ..self
        }
    }
}

/// How a type is staged and merged.
///
/// # Errors
/// [`Unmappable`] if its values do not survive the way.
pub fn map(source: SourceKind, data_type: &DataType) -> Result<Mapping, Unmappable> {
    match source {
        SourceKind::Postgres => postgres::map(data_type),
        SourceKind::MySql => mysql::map(data_type),
        SourceKind::MariaDb => mysql::map_mariadb(data_type),
        SourceKind::SqlServer => sql_server::map(data_type),
        SourceKind::Oracle => oracle::map(data_type),
    }
}

/// `name(digits)zone`, the digits only if said.
fn digits(name: &str, precision: Option<u8>, zone: &str) -> String {
    let digits = precision.map(|digits| format!("({digits})"));
    format!("{name}{}{zone}", digits.unwrap_or_default())
}
