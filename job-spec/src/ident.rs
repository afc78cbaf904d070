use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest identifier of Postgres, in bytes (`NAMEDATALEN` − 1).
pub const MAX_IDENT_BYTES: usize = 63;

/// A Postgres identifier exactly as it is stored in the catalog: 1 to 63 bytes, no NUL.
///
/// Its `Display` is the bare name, for messages; [`PgIdent::quoted`] is the form for SQL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PgIdent(String);

/// Why a text is no Postgres identifier.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum IdentError {
    /// The text is empty.
    #[error("an identifier of Postgres has at least 1 byte")]
    Empty,
    /// The text is too long.
    #[error("`{name}` has {bytes} bytes, an identifier of Postgres has at most {MAX_IDENT_BYTES}")]
    TooLong {
        /// The text.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// The text holds a NUL character.
    #[error("an identifier of Postgres cannot hold a NUL character")]
    Nul,
}

impl PgIdent {
    /// The bare name, as the catalog holds it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in double quotes, for SQL text.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\"\""))
    }
}

impl FromStr for PgIdent {
    type Err = IdentError;

    fn from_str(name: &str) -> Result<Self, IdentError> {
        if name.is_empty() {
            return Err(IdentError::Empty);
        }
        if name.contains('\0') {
            return Err(IdentError::Nul);
        }
        if name.len() > MAX_IDENT_BYTES {
            return Err(IdentError::TooLong {
                name: name.to_owned(),
                bytes: name.len(),
            });
        }
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for PgIdent {
    type Error = IdentError;

    fn try_from(name: String) -> Result<Self, IdentError> {
        name.parse()
    }
}

impl From<PgIdent> for String {
    fn from(ident: PgIdent) -> Self {
        ident.0
    }
}

impl fmt::Display for PgIdent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table (or view, or function) in a schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRef {
    /// The schema.
    pub schema: PgIdent,
    /// The name in the schema.
    pub name: PgIdent,
}

impl TableRef {
    /// `"schema"."name"`, for SQL text.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}", self.schema.quoted(), self.name.quoted())
    }
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_name_is_doubled() {
        assert_eq!("a\"b".parse::<PgIdent>().unwrap().quoted(), "\"a\"\"b\"");
    }

    #[test]
    fn length_is_counted_in_bytes() {
        assert!("é".repeat(31).parse::<PgIdent>().is_ok());
        assert!(matches!(
            "é".repeat(32).parse::<PgIdent>(),
            Err(IdentError::TooLong { bytes: 64, .. })
        ));
    }
}
