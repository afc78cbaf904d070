//! The tables of `debezium-mariadb`.

use super::Column;
use super::Unchanged::Never;

/// Table `types_all`: a column of every type that is supported.
pub(super) const TYPES_ALL: &[Column] = &[
    ("id", "bigint", "bigint", "bigint", Never),
    ("c_tinyint?", "smallint", "bigint", "smallint", Never),
    ("c_smallint?", "smallint", "bigint", "smallint", Never),
    ("c_integer?", "integer", "bigint", "integer", Never),
    ("c_mediumint?", "integer", "bigint", "integer", Never),
    ("c_bigint?", "bigint", "bigint", "bigint", Never),
    ("c_int_unsigned?", "bigint", "bigint", "bigint", Never),
    (
        "c_bigint_unsigned?",
        "decimal(20)",
        "text",
        "numeric(20,0)",
        Never,
    ),
    ("c_boolean?", "boolean", "text", "boolean", Never),
    ("c_bit1?", "bit", "text", "boolean", Never),
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
        "decimal(12,2)",
        "text",
        "numeric(12,2)",
        Never,
    ),
    (
        "c_numeric_65_30?",
        "decimal(65,30)",
        "text",
        "numeric(65,30)",
        Never,
    ),
    ("c_char5?", "char(5)", "text", "character(5)", Never),
    (
        "c_varchar20?",
        "varchar(20)",
        "text",
        "character varying(20)",
        Never,
    ),
    (
        "c_latin1?",
        "varchar(200)",
        "text",
        "character varying(200)",
        Never,
    ),
    ("c_text?", "text", "text", "text", Never),
    ("c_longtext?", "text", "text", "text", Never),
    ("c_binary4?", "bytea", "bytea", "bytea", Never),
    ("c_blob?", "bytea", "bytea", "bytea", Never),
    ("c_date?", "date", "date", "date", Never),
    (
        "c_datetime?",
        "timestamp(0)",
        "timestamp(0) without time zone",
        "timestamp(0) without time zone",
        Never,
    ),
    (
        "c_datetime3?",
        "timestamp(3)",
        "timestamp(3) without time zone",
        "timestamp(3) without time zone",
        Never,
    ),
    (
        "c_datetime6?",
        "timestamp(6)",
        "timestamp(6) without time zone",
        "timestamp(6) without time zone",
        Never,
    ),
    (
        "c_timestamp?",
        "timestamptz",
        "timestamp with time zone",
        "timestamp with time zone",
        Never,
    ),
    (
        "c_timestamp6?",
        "timestamptz",
        "timestamp with time zone",
        "timestamp with time zone",
        Never,
    ),
    (
        "c_time?",
        "time(6)",
        "bigint",
        "time(6) without time zone",
        Never,
    ),
    ("c_span?", "interval", "bigint", "interval", Never),
    ("c_year?", "smallint", "bigint", "smallint", Never),
    ("c_enum?", "enum", "text", "text", Never),
    ("c_set?", "text", "text", "text", Never),
    ("c_json?", "json", "text", "json", Never),
    ("version", "integer", "bigint", "integer", Never),
];

/// Table `orders`: a large text, and keys that change.
pub(super) const ORDERS: &[Column] = &[
    ("id", "bigint", "bigint", "bigint", Never),
    ("customer", "text", "text", "text", Never),
    ("status?", "text", "text", "text", Never),
    (
        "placed_at?",
        "timestamp(6)",
        "timestamp(6) without time zone",
        "timestamp(6) without time zone",
        Never,
    ),
    ("total?", "decimal(14,4)", "text", "numeric(14,4)", Never),
    ("notes?", "text", "text", "text", Never),
];

/// Table `order_lines`: many rows of one transaction, and of one event of the log.
pub(super) const ORDER_LINES: &[Column] = &[
    ("order_id", "bigint", "bigint", "bigint", Never),
    ("line_no", "integer", "bigint", "integer", Never),
    ("sku?", "text", "text", "text", Never),
    ("quantity?", "integer", "bigint", "integer", Never),
    ("price?", "decimal(10,2)", "text", "numeric(10,2)", Never),
];
