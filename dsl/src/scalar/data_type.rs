use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{did_you_mean, text};

/// The type of a column, in the words of SQL. `Display` is the canonical form.
///
/// The language knows more types than a platform maps: a platform's lint says which it cannot carry, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataType {
    /// `smallint`: two bytes.
    SmallInt,
    /// `integer`: four bytes.
    Integer,
    /// `bigint`: eight bytes.
    BigInt,
    /// `real`: a binary fraction of four bytes.
    Real,
    /// `double precision`: a binary fraction of eight bytes.
    Double,
    /// `decimal(18,4)`: exact.
    Decimal {
        /// All digits.
        precision: u16,
        /// Digits after the point.
        scale: u16,
    },
    /// `decimal`: exact, of any size.
    UnconstrainedDecimal,
    /// `boolean`.
    Boolean,
    /// `char(3)`: text of a fixed length, padded with spaces.
    Char {
        /// The length in characters.
        length: u32,
    },
    /// `varchar(40)`: text of a bounded length.
    VarChar {
        /// The most characters.
        length: u32,
    },
    /// `text`.
    Text,
    /// `bytea`: bytes.
    Bytea,
    /// `date`.
    Date,
    /// `time(3)`: the time of a day; 0 to 6 digits of a second, 6 if not said.
    Time {
        /// Digits of a second.
        precision: Option<u8>,
    },
    /// `timestamp(3)`: a moment without time zone; 0 to 6 digits of a second, 6 if not said.
    Timestamp {
        /// Digits of a second.
        precision: Option<u8>,
    },
    /// `timestamp(3) with time zone`: a moment; 0 to 6 digits of a second, 6 if not said.
    TimestampWithTimeZone {
        /// Digits of a second.
        precision: Option<u8>,
    },
    /// `time with time zone`.
    TimeWithTimeZone {
        /// Digits of a second.
        precision: Option<u8>,
    },
    /// `interval`: a length of time.
    Interval,
    /// `uuid`.
    Uuid,
    /// `json`: a document as it was written.
    Json,
    /// `jsonb`: a document without its layout.
    Jsonb,
    /// `enum`: one of a list of texts that the source keeps.
    Enum,
    /// Another type of Postgres that the language knows by name only: `inet`, `money`, `tsrange`.
    Known(&'static str),
    /// `integer[]`: a list of values.
    Array(Box<DataType>),
}

/// Why a text is no type.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DataTypeError {
    /// No such type.
    #[error("there is no type `{name}`{}", hint.as_deref().map(|hint| format!(": {hint}")).unwrap_or_default())]
    Unknown {
        /// What was written.
        name: String,
        /// The nearest type.
        hint: Option<String>,
    },
    /// Brackets that do not close, or a text where a number should be.
    #[error(
        "`{text}` is no type: write it as `bigint`, `varchar(40)`, `decimal(18,4)` or `integer[]`"
    )]
    Grammar {
        /// What was written.
        text: String,
    },
    /// A number is missing, too many or out of its bounds.
    #[error("`{text}` is no type: {law}")]
    Arguments {
        /// What was written.
        text: String,
        /// What the type takes.
        law: &'static str,
    },
}

/// Types known by name, that take no argument here.
const KNOWN: [&str; 38] = [
    "bit",
    "bit varying",
    "varbit",
    "oid",
    "name",
    "tsquery",
    "pg_lsn",
    "jsonpath",
    "polygon",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
    "box",
    "cidr",
    "circle",
    "citext",
    "geography",
    "geometry",
    "hstore",
    "inet",
    "line",
    "ltree",
    "macaddr",
    "macaddr8",
    "money",
    "path",
    "point",
    "tsvector",
    "xml",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
];

/// Every name that a type may begin with, for "did you mean".
const NAMES: [&str; 34] = [
    "smallint",
    "int2",
    "integer",
    "int",
    "int4",
    "bigint",
    "int8",
    "real",
    "float4",
    "double precision",
    "float8",
    "decimal",
    "numeric",
    "boolean",
    "bool",
    "char",
    "character",
    "bpchar",
    "varchar",
    "character varying",
    "text",
    "bytea",
    "binary",
    "date",
    "time",
    "timestamp",
    "timestamp with time zone",
    "timestamptz",
    "timetz",
    "interval",
    "uuid",
    "json",
    "jsonb",
    "enum",
];

const NO_ARGUMENT: &str = "the type takes no number";
const SECONDS: &str = "write the digits of a second as a number from 0 to 6, as in `timestamp(3)`";
const CHARACTERS: &str =
    "write its length as a number from 1 to 10485760, as in `varchar(40)`, or use `text`";
const DIGITS: &str = "write all digits (1 to 1000) and those after the point (0 to all of them), as \
                      in `decimal(18,4)`, or none of the two";

/// Postgres stores no longer `varchar` (10 MB).
const MAX_CHARACTERS: u32 = 10_485_760;

impl FromStr for DataType {
    type Err = DataTypeError;

    fn from_str(text: &str) -> Result<Self, DataTypeError> {
        let lower = text.trim().to_ascii_lowercase();
        if let Some(element) = lower.strip_suffix("[]") {
            // Postgres does not tell `integer[][]` from `integer[]`.
            let element = element.trim_end_matches("[]");
            return Ok(Self::Array(Box::new(element.parse()?)));
        }
        let (name, arguments) = split(text, &lower)?;
        Self::from_parts(text, &name, &arguments)
    }
}

/// The words of a type without its arguments, and the arguments: `timestamp(3) with time zone` has the words
/// `timestamp with time zone`.
fn split(text: &str, lower: &str) -> Result<(String, Vec<u32>), DataTypeError> {
    let grammar = || DataTypeError::Grammar {
        text: text.to_owned(),
    };
    let (before, after, arguments) = match lower.split_once('(') {
        None => (lower, "", Vec::new()),
        Some((before, rest)) => {
            let (inside, after) = rest.split_once(')').ok_or_else(grammar)?;
            let number = |word: &str| word.trim().parse::<u32>().map_err(|_| grammar());
            let arguments = inside.split(',').map(number).collect::<Result<_, _>>()?;
            (before, after, arguments)
        }
    };
    let words: Vec<&str> = before
        .split_whitespace()
        .chain(after.split_whitespace())
        .collect();
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if words.is_empty() || !words.iter().all(|word| word.chars().all(legal)) {
        return Err(grammar());
    }
    Ok((words.join(" "), arguments))
}

impl DataType {
    fn from_parts(text: &str, name: &str, arguments: &[u32]) -> Result<Self, DataTypeError> {
        let law = |law| DataTypeError::Arguments {
            text: text.to_owned(),
            law,
        };
        let bare = |data_type| match arguments {
            [] => Ok(data_type),
            _ => Err(law(NO_ARGUMENT)),
        };
        let characters = || match *arguments {
            [length @ 1..=MAX_CHARACTERS] => Ok(length),
            _ => Err(law(CHARACTERS)),
        };
        let seconds = || match *arguments {
            [] => Ok(None),
            [digits @ 0..=6] => Ok(u8::try_from(digits).ok()),
            _ => Err(law(SECONDS)),
        };
        match name {
            "smallint" | "int2" => bare(Self::SmallInt),
            "integer" | "int" | "int4" => bare(Self::Integer),
            "bigint" | "int8" => bare(Self::BigInt),
            "real" | "float4" => bare(Self::Real),
            "double precision" | "double" | "float8" => bare(Self::Double),
            "decimal" | "numeric" => decimal(arguments).ok_or_else(|| law(DIGITS)),
            "boolean" | "bool" => bare(Self::Boolean),
            "char" | "character" | "bpchar" => Ok(Self::Char {
                length: characters()?,
            }),
            "varchar" | "character varying" => Ok(Self::VarChar {
                length: characters()?,
            }),
            "text" | "string" => bare(Self::Text),
            "bytea" | "binary" => bare(Self::Bytea),
            "date" => bare(Self::Date),
            "time" | "time without time zone" => Ok(Self::Time {
                precision: seconds()?,
            }),
            "timetz" | "time with time zone" => Ok(Self::TimeWithTimeZone {
                precision: seconds()?,
            }),
            "timestamp" | "timestamp without time zone" => Ok(Self::Timestamp {
                precision: seconds()?,
            }),
            "timestamptz" | "timestamp with time zone" => Ok(Self::TimestampWithTimeZone {
                precision: seconds()?,
            }),
            "interval" => bare(Self::Interval),
            "uuid" => bare(Self::Uuid),
            "json" => bare(Self::Json),
            "jsonb" => bare(Self::Jsonb),
            "enum" => bare(Self::Enum),
            _ => match KNOWN.into_iter().find(|known| *known == name) {
                Some(known) => bare(Self::Known(known)),
                None => Err(DataTypeError::Unknown {
                    name: name.to_owned(),
                    hint: did_you_mean(name, NAMES.into_iter().chain(KNOWN)),
                }),
            },
        }
    }
}

fn decimal(arguments: &[u32]) -> Option<DataType> {
    let (precision, scale) = match *arguments {
        [] => return Some(DataType::UnconstrainedDecimal),
        [precision] => (precision, 0),
        [precision, scale] => (precision, scale),
        _ => return None,
    };
    if !(1..=1000).contains(&precision) || scale > precision {
        return None;
    }
    Some(DataType::Decimal {
        precision: u16::try_from(precision).ok()?,
        scale: u16::try_from(scale).ok()?,
    })
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_seconds = |f: &mut fmt::Formatter<'_>, name, precision: &Option<u8>, zone| {
            f.write_str(name)?;
            if let Some(digits) = precision {
                write!(f, "({digits})")?;
            }
            f.write_str(zone)
        };
        match self {
            Self::SmallInt => f.write_str("smallint"),
            Self::Integer => f.write_str("integer"),
            Self::BigInt => f.write_str("bigint"),
            Self::Real => f.write_str("real"),
            Self::Double => f.write_str("double precision"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::UnconstrainedDecimal => f.write_str("decimal"),
            Self::Boolean => f.write_str("boolean"),
            Self::Char { length } => write!(f, "char({length})"),
            Self::VarChar { length } => write!(f, "varchar({length})"),
            Self::Text => f.write_str("text"),
            Self::Bytea => f.write_str("bytea"),
            Self::Date => f.write_str("date"),
            Self::Time { precision } => of_seconds(f, "time", precision, ""),
            Self::TimeWithTimeZone { precision } => {
                of_seconds(f, "time", precision, " with time zone")
            }
            Self::Timestamp { precision } => of_seconds(f, "timestamp", precision, ""),
            Self::TimestampWithTimeZone { precision } => {
                of_seconds(f, "timestamp", precision, " with time zone")
            }
            Self::Interval => f.write_str("interval"),
            Self::Uuid => f.write_str("uuid"),
            Self::Json => f.write_str("json"),
            Self::Jsonb => f.write_str("jsonb"),
            Self::Enum => f.write_str("enum"),
            Self::Known(name) => f.write_str(name),
            Self::Array(element) => write!(f, "{element}[]"),
        }
    }
}

text!(DataType, "a type", examples: ["bigint", "decimal(18,4)"]);

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("bigint", "bigint")]
    #[test_case("INT", "integer")]
    #[test_case("double precision", "double precision")]
    #[test_case("numeric(12, 2)", "decimal(12,2)")]
    #[test_case("decimal(9)", "decimal(9,0)")]
    #[test_case("numeric", "decimal")]
    #[test_case("character varying(40)", "varchar(40)")]
    #[test_case("binary", "bytea")]
    #[test_case("timestamptz", "timestamp with time zone")]
    #[test_case("timestamp (3)  with time zone", "timestamp(3) with time zone")]
    #[test_case("timestamp(6)", "timestamp(6)")]
    #[test_case("time without time zone", "time")]
    #[test_case("tstzrange", "tstzrange")]
    #[test_case("text[][]", "text[]")]
    #[test_case("varchar(3)[]", "varchar(3)[]")]
    fn a_type_is_read_and_written(text: &str, canonical: &str) {
        let data_type: DataType = text.parse().unwrap();
        assert_eq!(data_type.to_string(), canonical);
        assert_eq!(canonical.parse::<DataType>().unwrap(), data_type);
    }

    #[test_case("bigintt", "there is no type `bigintt`: did you mean `bigint`?")]
    #[test_case("sequence", "there is no type `sequence`")]
    #[test_case("varchar", "write its length")]
    #[test_case("varchar(0)", "write its length")]
    #[test_case("varchar(10485761)", "write its length")]
    #[test_case("decimal(3,4)", "write all digits")]
    #[test_case("decimal(0)", "write all digits")]
    #[test_case("decimal(1001)", "write all digits")]
    #[test_case("decimal(9,-2)", "is no type: write it as")]
    #[test_case("timestamp(7)", "digits of a second")]
    #[test_case("bigint(4)", "takes no number")]
    #[test_case("varchar(40", "is no type: write it as")]
    #[test_case("(40)", "is no type: write it as")]
    #[test_case("", "is no type: write it as")]
    #[test_case("[]", "is no type: write it as")]
    #[test_case("text; drop table x", "is no type: write it as")]
    fn another_text_is_no_type(text: &str, expected: &str) {
        let message = text.parse::<DataType>().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn every_name_that_is_offered_is_taken() {
        for name in NAMES.into_iter().chain(KNOWN) {
            let bare = name.parse::<DataType>().is_ok();
            assert!(
                bare || format!("{name}(1)").parse::<DataType>().is_ok(),
                "{name}"
            );
        }
    }
}
