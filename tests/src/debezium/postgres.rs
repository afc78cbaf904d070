//! The tables of `debezium-spike`.

use super::Column;
use super::Unchanged::{As, Bytes, Never, Text};

const NUMBERS: &str = "{95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101}";

/// Table `types_all`: a column of every type.
pub(super) const TYPES_ALL: &[Column] = &[
    ("id", "bigint", "bigint", "bigint", Never),
    ("c_smallint?", "smallint", "smallint", "smallint", Never),
    ("c_integer?", "integer", "integer", "integer", Never),
    ("c_bigint?", "bigint", "bigint", "bigint", Never),
    ("c_real?", "real", "real", "real", Never),
    (
        "c_double?",
        "double precision",
        "double precision",
        "double precision",
        Never,
    ),
    (
        "c_numeric_12_2?",
        "numeric(12,2)",
        "text",
        "numeric(12,2)",
        Never,
    ),
    ("c_numeric?", "numeric", "text", "numeric", Text),
    ("c_boolean?", "boolean", "boolean", "boolean", Never),
    ("c_char5?", "char(5)", "text", "character(5)", Never),
    (
        "c_varchar20?",
        "varchar(20)",
        "text",
        "character varying(20)",
        Text,
    ),
    (
        "c_varchar200?",
        "varchar(200)",
        "text",
        "character varying(200)",
        Text,
    ),
    ("c_text?", "text", "text", "text", Text),
    ("c_bytea?", "bytea", "bytea", "bytea", Bytes),
    ("c_date?", "date", "date", "date", Never),
    (
        "c_time?",
        "time(6)",
        "time(6) without time zone",
        "time(6) without time zone",
        Never,
    ),
    (
        "c_timestamp3?",
        "timestamp(3)",
        "timestamp(3) without time zone",
        "timestamp(3) without time zone",
        Never,
    ),
    (
        "c_timestamp6?",
        "timestamp(6)",
        "timestamp(6) without time zone",
        "timestamp(6) without time zone",
        Never,
    ),
    (
        "c_timestamptz?",
        "timestamptz",
        "timestamp with time zone",
        "timestamp with time zone",
        Never,
    ),
    ("c_interval?", "interval", "text", "interval", Never),
    ("c_uuid?", "uuid", "uuid", "uuid", Never),
    ("c_json?", "json", "text", "json", Text),
    ("c_jsonb?", "jsonb", "text", "jsonb", Text),
    (
        "c_int_array?",
        "integer[]",
        "text",
        "integer[]",
        As(NUMBERS),
    ),
    (
        "c_bigint_array?",
        "bigint[]",
        "text",
        "bigint[]",
        As(NUMBERS),
    ),
    (
        "c_text_array?",
        "text[]",
        "text",
        "text[]",
        As("{__debezium_unavailable_value}"),
    ),
    (
        "c_uuid_array?",
        "uuid[]",
        "text",
        "uuid[]",
        As("{b68a35a7-17ad-35b3-af2a-ae46edb4545a}"),
    ),
    ("c_int4range?", "int4range", "text", "int4range", Text),
    ("c_numrange?", "numrange", "text", "numrange", Text),
    ("c_tstzrange?", "tstzrange", "text", "tstzrange", Text),
    ("c_inet?", "inet", "text", "inet", Never),
    ("c_cidr?", "cidr", "text", "cidr", Never),
    ("c_macaddr?", "macaddr", "text", "macaddr", Never),
    ("c_enum?", "enum", "text", "text", Never),
    ("c_xml?", "xml", "text", "xml", Text),
    ("c_money?", "money", "text", "numeric", Never),
    ("c_bit1?", "bit", "boolean", "boolean", Never),
    ("c_bit8?", "bit(8)", "bit(8)", "bit(8)", Never),
    (
        "c_hstore?",
        "hstore",
        "text",
        "jsonb",
        As(r#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#),
    ),
    ("version", "integer", "integer", "integer", Never),
];

/// Table `orders`: a large text, and keys that change.
pub(super) const ORDERS: &[Column] = &[
    ("id", "bigint", "bigint", "bigint", Never),
    ("customer", "text", "text", "text", Text),
    ("status?", "text", "text", "text", Text),
    (
        "placed_at?",
        "timestamp(6)",
        "timestamp(6) without time zone",
        "timestamp(6) without time zone",
        Never,
    ),
    ("total?", "numeric(14,4)", "text", "numeric(14,4)", Never),
    ("notes?", "text", "text", "text", Text),
];

/// Table `order_lines`: many rows of one transaction, and of one position.
pub(super) const ORDER_LINES: &[Column] = &[
    ("order_id", "bigint", "bigint", "bigint", Never),
    ("line_no", "integer", "integer", "integer", Never),
    ("sku?", "text", "text", "text", Text),
    ("quantity?", "integer", "integer", "integer", Never),
    ("price?", "numeric(10,2)", "text", "numeric(10,2)", Never),
];
