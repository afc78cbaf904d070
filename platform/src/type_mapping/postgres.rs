//! Types of Postgres sources (`docs/decisions/0001-staging-contract.md`).

use milepost_dsl::scalar::DataType;
use milepost_job_spec::Placeholder;

use super::{Cast, Mapping, PLACEHOLDER, Unmappable, digits};

/// The placeholder in a `uuid[]`: the connector's version-3 UUID of the text.
const UUID_PLACEHOLDER: &str = "{b68a35a7-17ad-35b3-af2a-ae46edb4545a}";

/// Postgres moves no value of at most 24 bytes out of line, of which 4 are its header.
const ALWAYS_INLINE_BYTES: u32 = 20;
/// The most bytes of a character in UTF-8.
const CHARACTER_BYTES: u32 = 4;
/// Digits of a number that surely stays in line: 8 bytes of headers, then 2 for each of at most 8 groups of 4 digits, of which
/// the first and the last may hold one digit only.
const ALWAYS_INLINE_DIGITS: u16 = 28;

/// How a type is staged and merged.
pub(super) fn map(data_type: &DataType) -> Result<Mapping, Unmappable> {
    let text = || Some(Placeholder::Text(PLACEHOLDER.to_owned()));
    let characters = |name: &str, length: u32| {
        let inline = length.saturating_mul(CHARACTER_BYTES) <= ALWAYS_INLINE_BYTES;
        let placeholder = if inline { None } else { text() };
        Mapping::through_text(format!("{name}({length})"), placeholder)
    };
    Ok(match data_type {
        DataType::SmallInt => Mapping::same("smallint"),
        DataType::Integer => Mapping::same("integer"),
        DataType::BigInt => Mapping::same("bigint"),
        DataType::Real => Mapping::same("real").altered("NaN, infinities and -0 arrive as 0"),
        DataType::Double => {
            Mapping::same("double precision").altered("NaN, infinities and -0 arrive as 0")
        }
        DataType::Decimal { precision, scale } => {
            let inline = *precision <= ALWAYS_INLINE_DIGITS;
            let placeholder = if inline { None } else { text() };
            Mapping::through_text(format!("numeric({precision},{scale})"), placeholder)
        }
        DataType::UnconstrainedDecimal => Mapping::through_text("numeric", text()),
        DataType::Boolean => Mapping::same("boolean"),
        DataType::Char { length } => characters("character", *length),
        DataType::VarChar { length } => characters("character varying", *length),
        DataType::Text => Mapping::through_text("text", text()),
        DataType::Bytea => Mapping {
            placeholder: Some(Placeholder::Bytes(PLACEHOLDER.to_owned())),
            ..Mapping::same("bytea")
        },
        DataType::Date => Mapping::same("date").altered(
            "infinity, dates before year 1 and those of 5 to 14 October 1582 arrive as other dates",
        ),
        DataType::Time { precision } => {
            Mapping::same(digits("time", *precision, " without time zone"))
                .altered("24:00:00 stops the sink")
        }
        DataType::Timestamp { precision } => {
            // Infinity arrives as a moment in the year 294247; the merge knows it.
            Mapping::same(digits("timestamp", *precision, " without time zone"))
        }
        DataType::TimestampWithTimeZone { precision } => {
            Mapping::same(digits("timestamp", *precision, " with time zone"))
        }
        DataType::TimeWithTimeZone { .. } => {
            return Err(Unmappable {
                reason: "its zone is lost, times arrive in UTC",
                help: "make it `time` or `timestamp with time zone` at the source",
            });
        }
        DataType::Interval => Mapping::through_text("interval", None),
        DataType::Uuid => Mapping::same("uuid"),
        DataType::Json => Mapping::through_text("json", text()).cast(Cast::Text),
        DataType::Jsonb => Mapping::through_text("jsonb", text()).cast(Cast::Text),
        DataType::Enum => Mapping::through_text("text", None),
        DataType::Known(name) => return known(name),
        DataType::Array(element) => return array(element),
    })
}

/// Types that the language knows by name.
fn known(name: &str) -> Result<Mapping, Unmappable> {
    let refused = |reason, help| Err(Unmappable { reason, help });
    match name {
        "cidr" | "inet" | "macaddr" | "macaddr8" => Ok(Mapping::through_text(name, None)),
        "daterange" | "int4range" | "int8range" | "numrange" | "tsrange" | "tstzrange" | "xml" => {
            let placeholder = Placeholder::Text(PLACEHOLDER.to_owned());
            Ok(Mapping::through_text(name, Some(placeholder)))
        }
        // A bit without a length is a single one.
        "bit" => Ok(Mapping::same("boolean")),
        "money" => Ok(Mapping::through_text("numeric", None)),
        "hstore" => {
            let placeholder = format!(r#"{{"{PLACEHOLDER}":"{PLACEHOLDER}"}}"#);
            let placeholder = Some(Placeholder::Text(placeholder));
            Ok(Mapping::through_text("jsonb", placeholder).cast(Cast::Text))
        }
        "citext" | "ltree" => refused(
            "the type belongs to an extension that the platform's database may lack",
            "write `text`, which carries the same values",
        ),
        _ => refused(
            "Debezium's JDBC sink cannot write it",
            "leave the column out, or keep a copy of it as `text` at the source",
        ),
    }
}

/// Arrays whose unchanged large value can be told from a null one.
fn array(element: &DataType) -> Result<Mapping, Unmappable> {
    let placeholder = match element {
        // The bytes of the placeholder as numbers.
        DataType::Integer | DataType::BigInt => {
            let bytes: Vec<String> = PLACEHOLDER.bytes().map(|byte| byte.to_string()).collect();
            format!("{{{}}}", bytes.join(","))
        }
        DataType::Text | DataType::VarChar { .. } => format!("{{{PLACEHOLDER}}}"),
        DataType::Uuid => UUID_PLACEHOLDER.to_owned(),
        DataType::SmallInt
        | DataType::Real
        | DataType::Double
        | DataType::Decimal { .. }
        | DataType::UnconstrainedDecimal
        | DataType::Boolean
        | DataType::Char { .. }
        | DataType::Bytea
        | DataType::Date
        | DataType::Time { .. }
        | DataType::Timestamp { .. }
        | DataType::TimestampWithTimeZone { .. }
        | DataType::TimeWithTimeZone { .. }
        | DataType::Interval
        | DataType::Json
        | DataType::Jsonb
        | DataType::Enum
        | DataType::Known(_)
        | DataType::Array(_) => {
            return Err(Unmappable {
                reason: "an unchanged large array of these cannot be told from a null one, or the \
                         sink cannot write it",
                help: "leave the column out, or keep a copy of it as `jsonb` at the source",
            });
        }
    };
    let element = map(element)?;
    Ok(Mapping::through_text(
        format!("{}[]", element.merge),
        Some(Placeholder::Text(placeholder)),
    )
    .altered("arrays of several dimensions arrive as nulls"))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("bigint", "bigint", "bigint", false)]
    #[test_case("decimal(12,2)", "text", "numeric(12,2)", false)]
    #[test_case("decimal(38,10)", "text", "numeric(38,10)", true)]
    #[test_case("decimal", "text", "numeric", true)]
    #[test_case("char(5)", "text", "character(5)", false)]
    #[test_case("varchar(20)", "text", "character varying(20)", true)]
    #[test_case("varchar(200)", "text", "character varying(200)", true)]
    #[test_case("text", "text", "text", true)]
    #[test_case(
        "timestamp",
        "timestamp without time zone",
        "timestamp without time zone",
        false
    )]
    #[test_case(
        "timestamp(3)",
        "timestamp(3) without time zone",
        "timestamp(3) without time zone",
        false
    )]
    #[test_case(
        "timestamptz",
        "timestamp with time zone",
        "timestamp with time zone",
        false
    )]
    #[test_case(
        "timestamptz(3)",
        "timestamp(3) with time zone",
        "timestamp(3) with time zone",
        false
    )]
    #[test_case(
        "time(6)",
        "time(6) without time zone",
        "time(6) without time zone",
        false
    )]
    #[test_case("double precision", "double precision", "double precision", false)]
    #[test_case("interval", "text", "interval", false)]
    #[test_case("enum", "text", "text", false)]
    #[test_case("jsonb", "text", "jsonb", true)]
    #[test_case("hstore", "text", "jsonb", true)]
    #[test_case("money", "text", "numeric", false)]
    #[test_case("bit", "boolean", "boolean", false)]
    #[test_case("bytea", "bytea", "bytea", true)]
    #[test_case("varchar(20)[]", "text", "character varying(20)[]", true)]
    fn a_type_is_mapped(written: &str, staging: &str, merge: &str, placeholder: bool) {
        let mapping = map(&written.parse().unwrap()).unwrap();
        assert_eq!(mapping.staging, staging);
        assert_eq!(mapping.merge, merge);
        assert_eq!(mapping.placeholder.is_some(), placeholder);
    }

    #[test_case(
        "bigint[]",
        "{95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101}"
    )]
    #[test_case("text[]", "{__debezium_unavailable_value}")]
    #[test_case("uuid[]", "{b68a35a7-17ad-35b3-af2a-ae46edb4545a}")]
    fn the_placeholder_of_an_array(written: &str, expected: &str) {
        let mapping = map(&written.parse().unwrap()).unwrap();
        assert_eq!(
            mapping.placeholder,
            Some(Placeholder::Text(expected.to_owned()))
        );
    }

    #[test_case("timetz")]
    #[test_case("citext")]
    #[test_case("point")]
    #[test_case("smallint[]")]
    #[test_case("numeric(3,1)[]")]
    fn a_type_that_does_not_survive_is_refused(written: &str) {
        assert!(map(&written.parse().unwrap()).is_err());
    }
}
