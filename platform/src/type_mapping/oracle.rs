//! Types of Oracle sources, by Debezium's documentation of its connector: nothing here was seen.
//!
//! Numbers are staged as text, whatever form the connector gives a `NUMBER`; the merge casts.

use milepost_dsl::scalar::DataType;

use super::{Cast, Mapping, Unmappable, digits};

/// How a type is staged and merged.
pub(super) fn map(data_type: &DataType) -> Result<Mapping, Unmappable> {
    let text = |merge: &str| Mapping::through_text(merge, None).cast(Cast::Text);
    let refused = |reason, help| Err(Unmappable { reason, help });
    Ok(match data_type {
        DataType::SmallInt => text("smallint"),
        DataType::Integer => text("integer"),
        DataType::BigInt => text("bigint"),
        DataType::Real => text("real"),
        DataType::Double => text("double precision"),
        DataType::Decimal { precision, scale } => text(&format!("numeric({precision},{scale})")),
        DataType::UnconstrainedDecimal => text("numeric"),
        DataType::Boolean => text("boolean"),
        DataType::Char { length } => text(&format!("character({length})")).altered(NUL),
        DataType::VarChar { length } => text(&format!("character varying({length})")).altered(NUL),
        DataType::Timestamp { precision } => {
            Mapping::same(digits("timestamp", *precision, " without time zone"))
                .altered("digits of a second beyond the sixth are rounded away")
        }
        DataType::TimestampWithTimeZone { precision } => {
            Mapping::same(digits("timestamp", *precision, " with time zone")).altered(
                "the zone is lost, and digits of a second beyond the sixth are rounded away",
            )
        }
        DataType::Date => {
            return refused(
                "a `DATE` of Oracle has a time of day",
                "write `timestamp(0)`",
            );
        }
        DataType::Text | DataType::Bytea | DataType::Json | DataType::Jsonb => {
            return refused(
                "an unchanged large value of Oracle is left out, in a form that nobody saw yet",
                "write `varchar(4000)` for a `VARCHAR2`, leave a `CLOB`, `BLOB` or `RAW` out",
            );
        }
        DataType::Time { .. }
        | DataType::TimeWithTimeZone { .. }
        | DataType::Interval
        | DataType::Uuid
        | DataType::Enum
        | DataType::Array(_)
        | DataType::Known(_) => {
            return refused(
                "Oracle has no such type, or its connector is not documented to write it exactly",
                "leave the column out, or keep a copy of it as `VARCHAR2` at the source",
            );
        }
    })
}

const NUL: &str = "a NUL character stops the sink";

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("integer", "text", "integer")]
    #[test_case("decimal(38,10)", "text", "numeric(38,10)")]
    #[test_case("varchar(4000)", "text", "character varying(4000)")]
    #[test_case(
        "timestamp(0)",
        "timestamp(0) without time zone",
        "timestamp(0) without time zone"
    )]
    fn a_type_is_mapped(written: &str, staging: &str, merge: &str) {
        let mapping = map(&written.parse().unwrap()).unwrap();
        assert_eq!(
            (mapping.staging.as_str(), mapping.merge.as_str()),
            (staging, merge)
        );
        assert_eq!(mapping.cast.is_some(), staging == "text");
    }

    #[test_case("date")]
    #[test_case("text")]
    #[test_case("bytea")]
    #[test_case("interval")]
    fn what_is_not_certain_is_refused(written: &str) {
        assert!(map(&written.parse().unwrap()).is_err());
    }
}
