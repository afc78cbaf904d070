use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::text;

/// The longest name of ours, in bytes: two of them and a separator stay below Kubernetes' and Postgres' 63 when cut.
pub const MAX_NAME_BYTES: usize = 40;

/// Why a text is no name of ours.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// Too long.
    #[error("`{name}` has {bytes} bytes, a name has at most {MAX_NAME_BYTES}")]
    TooLong {
        /// The text.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// Not of the grammar.
    #[error(
        "`{name}` is no name: a name is lowercase letters and digits in words joined by `-`, and \
         starts with a letter, such as `risk-live`"
    )]
    Grammar {
        /// The text.
        name: String,
    },
}

/// Why a text is no dataset or column name.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SourceNameError {
    /// Nothing there.
    #[error("a name of the source has at least one character")]
    Empty,
    /// A NUL character.
    #[error("a name of the source cannot hold a NUL character")]
    Nul,
}

fn check_name(name: &str) -> Result<(), NameError> {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.split('-').all(is_word)
    {
        return Err(NameError::Grammar {
            name: name.to_owned(),
        });
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong {
            name: name.to_owned(),
            bytes: name.len(),
        });
    }
    Ok(())
}

fn check_source_name(name: &str) -> Result<(), SourceNameError> {
    if name.is_empty() {
        Err(SourceNameError::Empty)
    } else if name.contains('\0') {
        Err(SourceNameError::Nul)
    } else {
        Ok(())
    }
}

macro_rules! name {
    ($(#[$meta:meta])* $name:ident, $check:path, $error:ty) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(name: &str) -> Result<Self, $error> {
                $check(name)?;
                Ok(Self(name.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! our_name {
    ($(#[$meta:meta])* $name:ident) => {
        name!($(#[$meta])* $name, check_name, NameError);
        text!(
            $name, "a name", examples: ["alpha", "beta"],
            pattern: "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
        );
    };
}

macro_rules! source_name {
    ($(#[$meta:meta])* $name:ident) => {
        name!($(#[$meta])* $name, check_source_name, SourceNameError);
        text!($name, "a name of the source", examples: ["alpha", "beta"]);
    };
}

our_name!(
    /// The name of the ecosystem.
    EcosystemName
);
our_name!(
    /// The name of a vendor of locations: `aws`.
    VendorName
);
our_name!(
    /// A step of a location's path: `stockholm`.
    LocationName
);
our_name!(
    /// The name of a governance zone, unique in the ecosystem.
    ZoneName
);
our_name!(
    /// The name of a team, unique in its zone.
    TeamName
);
our_name!(
    /// The name of a platform, unique in the ecosystem.
    PlatformName
);
our_name!(
    /// The name of a datastore, unique in the ecosystem.
    DatastoreName
);
our_name!(
    /// The name of a workspace, unique in the ecosystem.
    WorkspaceName
);
our_name!(
    /// The name of a dataset group, unique in its workspace.
    GroupName
);
our_name!(
    /// The name of a credential in the platform's credential store.
    CredentialName
);
our_name!(
    /// What a column's values are: `personal`.
    ClassificationName
);
source_name!(
    /// The name of a dataset, in the words of its source; unique in its datastore.
    DatasetName
);
source_name!(
    /// The name of a column, in the words of its source; unique in its dataset.
    ColumnName
);

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("a"; "one letter")]
    #[test_case("risk-live-2"; "words with a digit")]
    #[test_case("a2345678901234567890123456789012345678-0"; "forty bytes")]
    fn a_name_is_taken(name: &str) {
        assert_eq!(name.parse::<ZoneName>().unwrap().to_string(), name);
    }

    #[test_case(""; "empty")]
    #[test_case("Risk"; "upper case")]
    #[test_case("2risk"; "starts with a digit")]
    #[test_case("risk-"; "ends with a dash")]
    #[test_case("risk--live"; "two dashes")]
    #[test_case("risk_live"; "underscore")]
    #[test_case("risk.live"; "dot")]
    #[test_case("åsa"; "not ascii")]
    fn another_text_is_no_name(name: &str) {
        assert!(matches!(
            name.parse::<ZoneName>(),
            Err(NameError::Grammar { .. })
        ));
    }

    #[test]
    fn a_name_of_forty_one_bytes_is_too_long() {
        let error = "a".repeat(41).parse::<TeamName>().unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("has 41 bytes, a name has at most 40")
        );
    }

    #[test]
    fn a_source_may_call_its_columns_anything() {
        assert!("Ünïcode col.1 \"x\"".parse::<ColumnName>().is_ok());
        assert_eq!("".parse::<ColumnName>(), Err(SourceNameError::Empty));
        assert_eq!("a\0".parse::<ColumnName>(), Err(SourceNameError::Nul));
    }
}
