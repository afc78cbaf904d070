//! The fixture `cdc-shop`: real change events of a small shop, with the truth at five checkpoints.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use milepost_job_spec::{
    ColumnSpec, DatasetPolicy, DatasetSpec, Input, Limits, Placeholder, STREAM_SPEC_VERSION,
    SourcePosition, Strategy, StreamKey, StreamSpec, TableRef,
};
use milepost_simulator::{Image, Op, StagedRow};

/// The number of checkpoints after the snapshot, which is checkpoint 0.
pub const CHECKPOINTS: u32 = 5;

/// What the connector writes in place of an unchanged large value.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// The shop as one stream of four datasets.
#[must_use]
pub fn stream(strategy: Strategy) -> StreamSpec {
    let mut datasets = vec![
        dataset(
            "customers",
            strategy,
            &["id"],
            &[
                ("id", "bigint"),
                ("name", "text"),
                ("email", "character varying(200)?"),
                ("balance", "numeric(12,2)?"),
                ("vip", "boolean?"),
                ("joined", "date?"),
                ("updated_at", "timestamp with time zone?"),
                ("notes", "text?"),
                ("prefs", "jsonb?"),
            ],
        ),
        dataset(
            "documents",
            strategy,
            &["id"],
            &[
                ("id", "uuid"),
                ("title", "text?"),
                ("body", "text?"),
                ("meta", "jsonb?"),
                ("version", "integer?"),
            ],
        ),
        dataset(
            "order_lines",
            strategy,
            &["order_id", "line_no"],
            &[
                ("order_id", "bigint"),
                ("line_no", "integer"),
                ("sku", "text?"),
                ("quantity", "integer?"),
                ("price", "numeric(10,2)?"),
            ],
        ),
        dataset(
            "orders",
            strategy,
            &["id"],
            &[
                ("id", "bigint"),
                ("customer_id", "bigint?"),
                ("status", "text?"),
                ("placed_at", "timestamp(6) without time zone?"),
                ("total", "numeric(14,4)?"),
            ],
        ),
    ];
    datasets.sort_by(|left, right| left.name.cmp(&right.name));
    StreamSpec {
        version: STREAM_SPEC_VERSION,
        stream: StreamKey {
            platform: "main".to_owned(),
            store: "shop".to_owned(),
            dataset: None,
        },
        input: Input::Events,
        origin: None,
        source: SourcePosition::Postgres,
        datasets,
        transactions: None,
        limits: Limits {
            max_rows: 100_000,
            max_quarantined: 1000,
            incomplete_transaction_seconds: 600,
            staged_seconds: 7 * 24 * 60 * 60,
        },
    }
}

/// The same datasets as a stream each.
#[must_use]
pub fn single_streams(stream: &StreamSpec) -> Vec<StreamSpec> {
    let single = |dataset: &DatasetSpec| {
        let mut spec = stream.clone();
        spec.stream.dataset = Some(dataset.name.clone());
        spec.datasets = vec![dataset.clone()];
        spec.transactions = None;
        spec
    };
    stream.datasets.iter().map(single).collect()
}

/// A dataset of the store `shop`, without its key where it is appended; a `?` after a type makes the column nullable.
#[must_use]
pub fn dataset(
    name: &str,
    strategy: Strategy,
    key: &[&str],
    columns: &[(&str, &str)],
) -> DatasetSpec {
    let table = |schema: &str, suffix: &str| TableRef {
        schema: ident(schema),
        name: ident(&format!("shop__{name}{suffix}")),
    };
    let partition = |suffix| strategy.is_milestoned().then(|| table("main", suffix));
    DatasetSpec {
        name: name.to_owned(),
        source_name: format!("shop.{name}"),
        naming: 1,
        staging: table("main_staging", ""),
        merge: table("main", ""),
        live: partition("__live"),
        closed: partition("__closed"),
        source_table: None,
        strategy,
        policy: DatasetPolicy::default(),
        key: key
            .iter()
            .filter(|_| !strategy.is_append())
            .map(|name| ident(name))
            .collect(),
        columns: columns
            .iter()
            .map(|(name, merge_type)| column(name, merge_type))
            .collect(),
        views: Vec::new(),
    }
}

/// Large values are texts and JSON; JSON is staged as text, for a placeholder is no JSON.
fn column(name: &str, merge_type: &str) -> ColumnSpec {
    let nullable = merge_type.ends_with('?');
    let merge_type = merge_type.trim_end_matches('?');
    let as_text = matches!(merge_type, "json" | "jsonb") || merge_type.ends_with("[]");
    let placeholder = match merge_type {
        "bytea" => Some(Placeholder::Bytes(UNAVAILABLE.to_owned())),
        _ if as_text || merge_type == "text" => Some(Placeholder::Text(UNAVAILABLE.to_owned())),
        _ => None,
    };
    ColumnSpec {
        name: ident(name),
        staged_as: ident(name),
        merge_type: merge_type.to_owned(),
        staging_type: if as_text { "text" } else { merge_type }.to_owned(),
        nullable,
        placeholder,
    }
}

fn ident(name: &str) -> milepost_job_spec::PgIdent {
    name.parse().expect("a name of ours is an identifier")
}

/// Every staged row of the fixture with the checkpoint before which it arrived, in the order of the source.
///
/// # Panics
/// If the fixture cannot be read.
#[must_use]
pub fn staged(stream: &StreamSpec) -> Vec<(u32, StagedRow)> {
    let mut rows = Vec::new();
    for (place, dataset) in stream.datasets.iter().enumerate() {
        let text = unpack(&format!("staging-{}.csv.gz", dataset.name));
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().expect("the fixture has a header").clone();
        for record in reader.records() {
            let record = record.expect("the fixture is CSV");
            let field = |name: &str| {
                let place = header.iter().position(|column| column == name)?;
                record.get(place).filter(|text| *text != "\\N")
            };
            let number =
                |name: &str| field(name).map(|text| text.parse::<u64>().expect("a number"));
            let columns = dataset.columns.iter().map(|column| {
                let text = field(column.staged_as.as_str())?;
                // The snapshot was taken by another reader, which spells a boolean out.
                Some(match (column.merge_type.as_str(), text) {
                    ("boolean", "true") => "t".to_owned(),
                    ("boolean", "false") => "f".to_owned(),
                    _ => text.to_owned(),
                })
            });
            let sequence: Vec<Option<String>> = field("__sequence")
                .map(|json| serde_json::from_str(json).expect("a sequence is JSON"))
                .unwrap_or_default();
            let last_commit = sequence.first().cloned().flatten();
            let row = StagedRow {
                dataset: place,
                topic: field("__connect_topic").expect("a topic").to_owned(),
                partition: 0,
                offset: field("__connect_offset")
                    .and_then(|t| t.parse().ok())
                    .expect("an offset"),
                op: match field("__op") {
                    Some("c") => Op::Create,
                    Some("u") => Op::Update,
                    Some("d") => Op::Delete,
                    _ => Op::Read,
                },
                columns: columns.collect(),
                source_ts_us: field("__source_ts_us").and_then(|text| text.parse().ok()),
                last_commit: last_commit.map(|lsn| lsn.parse().expect("an LSN")),
                stale_commit: None,
                lsn: number("__lsn"),
                transaction_id: field("__transaction_id").map(str::to_owned),
                total_order: number("__transaction_total_order"),
                snapshot: field("__snapshot").unwrap_or_default().to_owned(),
            };
            let checkpoint = field("checkpoint")
                .and_then(|t| t.parse().ok())
                .expect("a checkpoint");
            rows.push((checkpoint, row));
        }
    }
    rows.sort_by_key(|(checkpoint, row)| {
        (
            *checkpoint,
            row.op != Op::Read,
            row.last_commit,
            row.total_order,
            row.offset,
        )
    });
    rows
}

/// What the source's table held at a checkpoint, as CSV with a header.
#[must_use]
pub fn truth(dataset: &DatasetSpec, checkpoint: u32) -> String {
    unpack(&format!("truth-{checkpoint}/{}.csv.gz", dataset.name))
}

/// The same as images in the order of the spec's columns.
///
/// # Panics
/// If the fixture is no CSV.
#[must_use]
pub fn truth_images(dataset: &DatasetSpec, checkpoint: u32) -> Vec<Image> {
    let text = truth(dataset, checkpoint);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let field = |text: &str| (text != "\\N").then(|| text.to_owned());
    let image = |record: csv::StringRecord| record.iter().map(field).collect();
    reader
        .records()
        .map(|record| image(record.expect("the fixture is CSV")))
        .collect()
}

fn unpack(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/cdc-shop")
        .join(name);
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = String::new();
    GzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("the fixture is UTF-8");
    text
}
