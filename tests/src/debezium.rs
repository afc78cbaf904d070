//! The fixture `debezium-spike`: what a real Debezium delivered, with the truth at four checkpoints.
//!
//! The captured rows are loaded beside the staging tables, in schema `delivered`, and staged from there, so that staging
//! gets them byte by byte; see the fixture's README and `docs/decisions/0001-staging-contract.md`.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use milepost_job_spec::{ColumnSpec, Placeholder, Strategy, StreamSpec, TableRef};

use crate::{Database, shop};

/// The number of checkpoints after the snapshot, which is checkpoint 0.
pub const CHECKPOINTS: u32 = 3;
/// The checkpoint of the rows in `lost-rows`: they follow checkpoint 3 and have no truth.
pub const LOST: u32 = 4;

/// A column of the fixture's source: name, type in the model's words, type in staging, type when merged, placeholder.
///
/// A `?` after the name makes it nullable. The types are those of the decision's table.
pub type Column = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Unchanged,
);

/// In which form a column holds the placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchanged {
    /// The value is never stored out of line.
    Never,
    /// The placeholder itself.
    Text,
    /// Its bytes.
    Bytes,
    /// Another text, which the connector makes of it.
    As(&'static str),
}
use Unchanged::{As, Bytes, Never, Text};

/// What the connector writes in place of an unchanged large value.
pub const PLACEHOLDER: &str = "__debezium_unavailable_value";
const NUMBERS: &str = "{95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101}";

/// Table `types_all`: a column of every type.
pub const TYPES_ALL: &[Column] = &[
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
pub const ORDERS: &[Column] = &[
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
pub const ORDER_LINES: &[Column] = &[
    ("order_id", "bigint", "bigint", "bigint", Never),
    ("line_no", "integer", "integer", "integer", Never),
    ("sku?", "text", "text", "text", Text),
    ("quantity?", "integer", "integer", "integer", Never),
    ("price?", "numeric(10,2)", "text", "numeric(10,2)", Never),
];

/// The fixture as one stream of three datasets, with END events.
#[must_use]
pub fn stream(strategy: Strategy) -> StreamSpec {
    let datasets = [
        ("order_lines", &["order_id", "line_no"] as &[_], ORDER_LINES),
        ("orders", &["id"], ORDERS),
        ("types_all", &["id"], TYPES_ALL),
    ];
    let mut stream = shop::stream(strategy);
    stream.datasets = datasets
        .into_iter()
        .map(|(name, key, columns)| {
            let mut dataset = shop::dataset(name, strategy, key, &[]);
            dataset.columns = columns.iter().map(column).collect();
            dataset
        })
        .collect();
    stream.transactions = Some(TableRef {
        schema: ident("main_staging"),
        name: ident("shop__control"),
    });
    stream
}

/// The placeholder of a column, in the form of a spec.
#[must_use]
pub fn placeholder(unchanged: Unchanged) -> Option<Placeholder> {
    match unchanged {
        Never => None,
        Text => Some(Placeholder::Text(PLACEHOLDER.to_owned())),
        Bytes => Some(Placeholder::Bytes(PLACEHOLDER.to_owned())),
        As(text) => Some(Placeholder::Text(text.to_owned())),
    }
}

fn column(&(name, _, staging_type, merge_type, unchanged): &Column) -> ColumnSpec {
    let nullable = name.ends_with('?');
    let name = ident(name.trim_end_matches('?'));
    ColumnSpec {
        staged_as: name.clone(),
        name,
        merge_type: merge_type.to_owned(),
        staging_type: staging_type.to_owned(),
        nullable,
        placeholder: placeholder(unchanged),
    }
}

fn ident(name: &str) -> milepost_job_spec::PgIdent {
    name.parse().expect("a name of ours is an identifier")
}

/// A topic on its way into staging: a table's, or that of the source's transactions.
#[derive(Debug, Clone)]
pub struct Topic {
    /// The dataset, or `control`.
    pub name: String,
    staging: TableRef,
    columns: String,
    /// The first offset that is not staged.
    next: i64,
}

impl Topic {
    /// Every topic of the stream, loaded into schema `delivered` of a database that has the staging tables.
    #[must_use]
    pub fn load(database: &mut Database, stream: &StreamSpec) -> Vec<Self> {
        database.run("create schema delivered");
        let tables = stream.datasets.iter().map(|d| (&d.name, &d.staging));
        let control = ("control".to_owned(), &stream.transactions);
        let control = control.1.as_ref().map(|table| (&control.0, table));
        tables
            .chain(control)
            .map(|(name, staging)| Self::of(database, name, staging))
            .collect()
    }

    fn of(database: &mut Database, name: &str, staging: &TableRef) -> Self {
        let delivered = unpack(&format!("staging-{name}.csv.gz"));
        let header = delivered.lines().next().unwrap_or_default();
        let columns = header.trim_end_matches(",checkpoint").to_owned();
        let table = format!("delivered.{name}");
        database.run(&format!(
            "create table {table} (like {}, checkpoint integer not null default {LOST})",
            staging.quoted()
        ));
        let options = "format csv, null '\\N', header true";
        database.copy_in(
            &format!("copy {table} ({header}) from stdin ({options})"),
            &delivered,
        );
        // `lost-rows` has rows of one table only, and no column `checkpoint`.
        if matches!(name, "control" | "order_lines") {
            database.copy_in(
                &format!("copy {table} ({columns}) from stdin ({options})"),
                &unpack(&format!("lost-rows/staging-{name}.csv.gz")),
            );
        }
        Self {
            name: name.to_owned(),
            staging: staging.clone(),
            columns,
            next: 0,
        }
    }

    /// How many rows arrived up to a checkpoint and are not staged yet.
    #[must_use]
    pub fn left(&self, database: &mut Database, checkpoint: u32) -> i64 {
        let sql = format!(
            "select count(*) from delivered.{} where checkpoint <= {checkpoint} and __connect_offset >= {}",
            self.name, self.next
        );
        database.value(&sql).parse().expect("a count")
    }

    /// Stages the next rows: offsets have no gaps in the fixture.
    pub fn stage(&mut self, database: &mut Database, rows: i64) {
        let (from, to) = (self.next, self.next + rows);
        let (columns, name) = (&self.columns, &self.name);
        database.run(&format!(
            "insert into {} ({columns}) select {columns} from delivered.{name}
              where __connect_offset >= {from} and __connect_offset < {to}",
            self.staging.quoted()
        ));
        self.next = to;
    }

    /// Stages what arrived up to a checkpoint.
    pub fn stage_until(&mut self, database: &mut Database, checkpoint: u32) {
        let left = self.left(database, checkpoint);
        self.stage(database, left);
    }
}

/// What the source's table held at a checkpoint, as CSV with a header.
#[must_use]
pub fn truth(dataset: &str, checkpoint: u32) -> String {
    unpack(&format!("truth-{checkpoint}/{dataset}.csv.gz"))
}

fn unpack(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/debezium-spike")
        .join(name);
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = String::new();
    GzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("the fixture is UTF-8");
    text
}
