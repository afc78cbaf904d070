//! What real Debezium connectors delivered, with the truth at every checkpoint: the fixtures `debezium-spike` (Postgres) and
//! `debezium-mariadb`.
//!
//! The captured rows are loaded beside the staging tables, in schema `delivered`, and staged from there, so that staging
//! gets them byte by byte; see the fixtures' READMEs, `docs/decisions/0001-staging-contract.md` and
//! `docs/decisions/0007-mysql-and-other-sources.md`.

mod mariadb;
mod postgres;
mod topic;

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use milepost_dsl::spec::SourceKind;
use milepost_job_spec::{ColumnSpec, Placeholder, SourcePosition, Strategy, StreamSpec, TableRef};

pub use topic::Topic;

use crate::shop;

/// A capture of one kind of source.
#[derive(Debug, Clone, Copy)]
pub struct Fixture {
    folder: &'static str,
    /// The kind, for the type mapping.
    pub kind: SourceKind,
    source: SourcePosition,
    /// The number of checkpoints after the snapshot, which is checkpoint 0.
    pub checkpoints: u32,
    /// The staging columns that, with the key, are the same in every delivery of an event and in no other.
    pub identity: &'static str,
    /// Name, key and columns of each table, in name order.
    pub tables: [(&'static str, &'static [&'static str], &'static [Column]); 3],
}

/// Postgres 15. The worker was killed before checkpoints 2 and 3.
pub const POSTGRES: Fixture = Fixture {
    folder: "debezium-spike",
    kind: SourceKind::Postgres,
    source: SourcePosition::Postgres,
    checkpoints: 3,
    identity: "__lsn",
    tables: [
        (
            "order_lines",
            &["order_id", "line_no"],
            postgres::ORDER_LINES,
        ),
        ("orders", &["id"], postgres::ORDERS),
        ("types_all", &["id"], postgres::TYPES_ALL),
    ],
};

/// MariaDB 10.11. The worker was killed before checkpoints 2, 3 and 4, the last time inside a transaction.
pub const MARIADB: Fixture = Fixture {
    folder: "debezium-mariadb",
    kind: SourceKind::MariaDb,
    source: SourcePosition::MariaDb,
    checkpoints: 4,
    identity: "__transaction_id, __source_pos, __source_row",
    tables: [
        (
            "order_lines",
            &["order_id", "line_no"],
            mariadb::ORDER_LINES,
        ),
        ("orders", &["id"], mariadb::ORDERS),
        ("types_all", &["id"], mariadb::TYPES_ALL),
    ],
};

/// The checkpoint of the rows in `lost-rows` of [`POSTGRES`]: they follow checkpoint 3 and have no truth.
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

/// What the connector writes in place of an unchanged large value.
const PLACEHOLDER: &str = "__debezium_unavailable_value";

impl Fixture {
    /// The fixture as one stream of three datasets, with END events.
    #[must_use]
    pub fn stream(&self, strategy: Strategy) -> StreamSpec {
        let mut stream = shop::stream(strategy);
        stream.source = self.source;
        stream.datasets = self
            .tables
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

    /// What the source's table held at a checkpoint, as CSV with a header.
    #[must_use]
    pub fn truth(&self, dataset: &str, checkpoint: u32) -> String {
        self.unpack(&format!("truth-{checkpoint}/{dataset}.csv.gz"))
    }

    fn unpack(&self, name: &str) -> String {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures")
            .join(self.folder)
            .join(name);
        let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut text = String::new();
        GzDecoder::new(file)
            .read_to_string(&mut text)
            .expect("the fixture is UTF-8");
        text
    }
}

/// The placeholder of a column, in the form of a spec.
#[must_use]
pub fn placeholder(unchanged: Unchanged) -> Option<Placeholder> {
    match unchanged {
        Unchanged::Never => None,
        Unchanged::Text => Some(Placeholder::Text(PLACEHOLDER.to_owned())),
        Unchanged::Bytes => Some(Placeholder::Bytes(PLACEHOLDER.to_owned())),
        Unchanged::As(text) => Some(Placeholder::Text(text.to_owned())),
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
