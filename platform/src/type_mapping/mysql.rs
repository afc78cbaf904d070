//! Types of MySQL and MariaDB sources (`docs/decisions/0007-mysql-and-other-sources.md`).
//!
//! Nothing is left out of an event (`binlog_row_image=FULL`), so no column has a placeholder. Whole numbers are staged as
//! `bigint` and everything else that the model may call by a narrower name as text: a value that the model did not expect is
//! quarantined by the merge, and does not stop the sink.

use milepost_dsl::scalar::DataType;

use super::{Cast, Mapping, Unmappable, digits};

const NO_SUCH_TYPE: Unmappable = Unmappable {
    reason: "MySQL and MariaDB have no such type",
    help: "write what the column is at the source, or `text`, see docs/language.md",
};

/// `float`. A table that is read again would differ from what the log has said of it.
const FLOAT: Unmappable = Unmappable {
    reason: "a snapshot reads 6 digits of a `float`, the log has all",
    help: "keep it as `double` at the source and write `double precision` here",
};

/// How a type of MySQL is staged and merged.
pub(super) fn map(data_type: &DataType) -> Result<Mapping, Unmappable> {
    let number = |merge: &str| Mapping {
        merge: merge.to_owned(),
        ..Mapping::same("bigint")
    };
    let text = |merge: String| Mapping::through_text(merge, None);
    Ok(match data_type {
        DataType::SmallInt => number("smallint"),
        DataType::Integer => number("integer"),
        DataType::BigInt => number("bigint").altered(
            "`bigint unsigned` above 9223372036854775807 stops the sink, write `decimal(20)` for it",
        ),
        DataType::Real => return Err(FLOAT),
        DataType::Double => Mapping::same("double precision"),
        // A decimal is a text already, `bigint unsigned` a number: the cast makes both a text.
        DataType::Decimal { precision, scale } => {
            text(format!("numeric({precision},{scale})")).cast(Cast::Text)
        }
        DataType::UnconstrainedDecimal => text("numeric".to_owned()).cast(Cast::Text),
        // `tinyint(1)` arrives as a number, `bit(1)` as true or false: both are read from their text, and 2 is neither.
        DataType::Boolean | DataType::Known("bit") => text("boolean".to_owned()).cast(Cast::Text),
        DataType::Char { length } => text(format!("character({length})")).altered(NUL),
        DataType::VarChar { length } => text(format!("character varying({length})")).altered(NUL),
        DataType::Text => text("text".to_owned()).altered(NUL),
        DataType::Enum => text("text".to_owned())
            .altered("a comma in a label arrives with a backslash before it, but in a snapshot without"),
        DataType::Bytea => Mapping::same("bytea"),
        DataType::Date => Mapping::same("date").altered(ZERO_DATE),
        DataType::Timestamp { precision } => {
            Mapping::same(digits("timestamp", *precision, " without time zone")).altered(ZERO_DATE)
        }
        DataType::TimestampWithTimeZone { precision } => {
            Mapping::same(digits("timestamp", *precision, " with time zone"))
                .altered("0000-00-00 00:00:00 arrives as null in a snapshot, as 1970-01-01 later")
        }
        // Microseconds, of which the sink would make a time of a day: it stops at -1 and at 24:00:00.000001.
        DataType::Time { precision } => Mapping {
            merge: digits("time", *precision, " without time zone"),
            ..Mapping::same("bigint")
        }
        .cast(Cast::Number)
        .altered("times below 00:00:00 or above 24:00:00 are quarantined, write `interval` for them"),
        DataType::Interval => Mapping {
            merge: "interval".to_owned(),
            ..Mapping::same("bigint")
        }
        .cast(Cast::Number),
        DataType::Uuid => text("uuid".to_owned()).cast(Cast::Text),
        DataType::Json => text("json".to_owned()).cast(Cast::Text).altered(SPACES),
        DataType::Jsonb => text("jsonb".to_owned()).cast(Cast::Text),
        DataType::TimeWithTimeZone { .. } | DataType::Array(_) | DataType::Known(_) => {
            return Err(NO_SUCH_TYPE);
        }
    })
}

/// How a type of MariaDB is staged and merged.
pub(super) fn map_mariadb(data_type: &DataType) -> Result<Mapping, Unmappable> {
    match data_type {
        DataType::Uuid => Err(Unmappable {
            reason: "Debezium reads other bytes than the value's from the log of MariaDB",
            help: "keep it as `char(36)` at the source and write `char(36)` here",
        }),
        // A text to MariaDB.
        DataType::Json => map(data_type).map(|mapping| Mapping {
            altered: None,
            ..mapping
        }),
        _ => map(data_type),
    }
}

const SPACES: &str =
    "a snapshot has spaces after `:` and `,` that later changes have not, write `jsonb` for it";
const NUL: &str = "a NUL character stops the sink";
const ZERO_DATE: &str = "0000-00-00 and dates with a zero in them arrive as null (in a column that is not nullable, as \
                         1970-01-01), those of 5 to 14 October 1582 as other dates";

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("smallint", "bigint", "smallint", None)]
    #[test_case("bigint", "bigint", "bigint", None)]
    #[test_case("decimal(20)", "text", "numeric(20,0)", Some("string"))]
    #[test_case("boolean", "text", "boolean", Some("string"))]
    #[test_case("bit", "text", "boolean", Some("string"))]
    #[test_case("varchar(20)", "text", "character varying(20)", None)]
    #[test_case("bytea", "bytea", "bytea", None)]
    #[test_case(
        "timestamp(3)",
        "timestamp(3) without time zone",
        "timestamp(3) without time zone",
        None
    )]
    #[test_case("time(6)", "bigint", "time(6) without time zone", Some("int64"))]
    #[test_case("interval", "bigint", "interval", Some("int64"))]
    #[test_case("jsonb", "text", "jsonb", Some("string"))]
    fn a_type_is_mapped(written: &str, staging: &str, merge: &str, cast: Option<&str>) {
        let data_type = written.parse().unwrap();
        let mapping = map(&data_type).unwrap();
        assert_eq!(map_mariadb(&data_type), Ok(mapping.clone()));
        assert_eq!(mapping.staging, staging);
        assert_eq!(mapping.merge, merge);
        assert_eq!(mapping.cast.map(Cast::word), cast);
        assert_eq!(mapping.placeholder, None);
    }

    #[test_case("inet")]
    #[test_case("timetz")]
    #[test_case("integer[]")]
    #[test_case("hstore")]
    fn a_type_that_does_not_exist_there_is_refused(written: &str) {
        assert_eq!(map(&written.parse().unwrap()), Err(NO_SUCH_TYPE));
    }

    #[test]
    fn a_float_is_refused_and_a_double_is_not() {
        assert_eq!(map(&DataType::Real), Err(FLOAT));
        assert_eq!(map_mariadb(&DataType::Real), Err(FLOAT));
        assert_eq!(map(&DataType::Double).unwrap().altered, None);
    }

    #[test]
    fn a_document_of_mysql_is_written_in_two_ways() {
        let mapping = map(&DataType::Json).unwrap();
        assert_eq!(
            (mapping.merge.as_str(), mapping.cast),
            ("json", Some(Cast::Text))
        );
        assert_eq!(mapping.altered, Some(SPACES));
        let of_mariadb = Mapping {
            altered: None,
            ..mapping
        };
        assert_eq!(map_mariadb(&DataType::Json), Ok(of_mariadb));
    }

    #[test]
    fn a_uuid_of_mariadb_is_refused() {
        assert!(map_mariadb(&DataType::Uuid).is_err());
        assert!(map(&DataType::Uuid).is_ok());
    }
}
