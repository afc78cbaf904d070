//! Types of SQL Server sources, by Debezium's documentation of its connector: nothing here was seen.
//!
//! Numbers are staged as text, whatever form the connector gives them; the merge casts.

use milepost_dsl::scalar::DataType;

use super::{Cast, Mapping, Unmappable, digits};

/// How a type is staged and merged.
pub(super) fn map(data_type: &DataType) -> Result<Mapping, Unmappable> {
    let text = |merge: &str| Mapping::through_text(merge, None).cast(Cast::Text);
    Ok(match data_type {
        DataType::SmallInt => text("smallint"),
        DataType::Integer => text("integer"),
        DataType::BigInt => text("bigint"),
        DataType::Real => text("real"),
        DataType::Double => text("double precision"),
        DataType::Decimal { precision, scale } => text(&format!("numeric({precision},{scale})")),
        DataType::UnconstrainedDecimal => text("numeric"),
        DataType::Boolean | DataType::Known("bit") => text("boolean"),
        DataType::Char { length } => text(&format!("character({length})")).altered(NUL),
        DataType::VarChar { length } => text(&format!("character varying({length})")).altered(NUL),
        DataType::Text => text("text").altered(NUL),
        DataType::Uuid => text("uuid"),
        DataType::Json => text("json"),
        DataType::Jsonb => text("jsonb"),
        DataType::Bytea => Mapping::same("bytea"),
        DataType::Date => {
            Mapping::same("date").altered("dates of 5 to 14 October 1582 may arrive as other dates")
        }
        DataType::Time { precision } => {
            Mapping::same(digits("time", *precision, " without time zone")).altered(SEVENTH_DIGIT)
        }
        DataType::Timestamp { precision } => {
            Mapping::same(digits("timestamp", *precision, " without time zone"))
                .altered(SEVENTH_DIGIT)
        }
        DataType::TimestampWithTimeZone { precision } => {
            Mapping::same(digits("timestamp", *precision, " with time zone"))
                .altered("the zone is lost, and the seventh digit of a second is rounded away")
        }
        DataType::Interval
        | DataType::Enum
        | DataType::TimeWithTimeZone { .. }
        | DataType::Array(_)
        | DataType::Known(_) => {
            return Err(Unmappable {
                reason: "SQL Server has no such type, or its connector is not documented to write it exactly",
                help: "leave the column out, or keep a copy of it as `varchar` at the source",
            });
        }
    })
}

const NUL: &str = "a NUL character stops the sink";
const SEVENTH_DIGIT: &str = "the seventh digit of a second is rounded away";

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("bigint", "text", "bigint")]
    #[test_case("decimal(19,4)", "text", "numeric(19,4)")]
    #[test_case("bit", "text", "boolean")]
    #[test_case("uuid", "text", "uuid")]
    #[test_case(
        "timestamp",
        "timestamp without time zone",
        "timestamp without time zone"
    )]
    fn a_type_is_mapped(written: &str, staging: &str, merge: &str) {
        let mapping = map(&written.parse().unwrap()).unwrap();
        assert_eq!(
            (mapping.staging.as_str(), mapping.merge.as_str()),
            (staging, merge)
        );
        assert_eq!(mapping.cast.is_some(), staging == "text");
    }

    #[test_case("xml")]
    #[test_case("interval")]
    #[test_case("text[]")]
    fn what_is_not_certain_is_refused(written: &str) {
        assert!(map(&written.parse().unwrap()).is_err());
    }
}
