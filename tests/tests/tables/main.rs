//! Tables before rows: what publish makes, widens and refuses, what readers see, and what verify finds.
//!
//! One test binary, so that one private cluster serves all of it.

use acceptance::{Database, Job, Run, publish_model, shop};
use milepost_job_spec::{
    DatasetSpec, Input, Limits, PgIdent, STREAM_SPEC_VERSION, SourcePosition, Strategy, StreamKey,
    StreamSpec, Versions, ViewSpec,
};

mod additive;
mod command;
mod locks;
mod migrate;
mod publish;
mod reconcile_views;
mod refused;
mod retention;
mod strategy;
mod verify;
mod views;

const MILESTONED: Strategy = Strategy::Milestoned {
    versions: Versions::All,
};

/// The columns of [`people`].
const COLUMNS: [(&str, &str); 5] = [
    ("id", "bigint"),
    ("email", "character varying(20)?"),
    ("balance", "numeric(8,2)?"),
    ("seen", "timestamp(3) without time zone?"),
    ("name", "text"),
];

/// A stream of one dataset, `people`, that workspace `risk` reads.
fn people(strategy: Strategy, columns: &[(&str, &str)]) -> StreamSpec {
    stream(shop::dataset("people", strategy, &["id"], columns))
}

/// A stream of this dataset, read by workspace `risk`.
fn stream(mut dataset: DatasetSpec) -> StreamSpec {
    let live = dataset.merge.name.clone();
    let beside = |suffix| {
        dataset
            .strategy
            .is_milestoned()
            .then(|| ident(&format!("{live}{suffix}")))
    };
    dataset.views = vec![ViewSpec {
        schema: ident("risk"),
        role: ident("risk"),
        history: beside("__history"),
        as_of: beside("__as_of"),
        live,
    }];
    StreamSpec {
        version: STREAM_SPEC_VERSION,
        stream: StreamKey {
            platform: "main".to_owned(),
            store: "shop".to_owned(),
            dataset: Some(dataset.name.clone()),
        },
        input: Input::Events,
        origin: None,
        source: SourcePosition::Postgres,
        datasets: vec![dataset],
        transactions: None,
        limits: Limits {
            max_rows: 1000,
            max_quarantined: 10,
            incomplete_transaction_seconds: 600,
            staged_seconds: 7 * 24 * 60 * 60,
        },
    }
}

/// The columns with one of them changed.
fn with<'a>(name: &str, changed: &'a str) -> Vec<(&'a str, &'a str)> {
    COLUMNS
        .iter()
        .map(|&(column, kind)| (column, if column == name { changed } else { kind }))
        .collect()
}

fn ident(name: &str) -> PgIdent {
    name.parse().expect("a name of ours is an identifier")
}

/// Publishes one more model and demands that it succeeds.
fn publish_ok(database: &Database, specs: &[StreamSpec], order: u64) -> Run {
    let run = publish_model(database, specs, order);
    assert_eq!(run.code, 0, "{run}");
    run
}

/// Rows in `people`: two live, one closed where history is kept. Batch number 1 is said to have made them.
fn fill(database: &mut Database, spec: &StreamSpec) {
    let milestones = |out: &str| match spec.datasets[0].strategy {
        Strategy::LiveOnly => String::new(),
        Strategy::Milestoned { .. } => format!(", '2026-01-01', {out}, null"),
        Strategy::Append => ", '2026-01-01', 'c'".to_owned(),
    };
    let row = |id: u32, out: &str| {
        format!(
            "insert into main.shop__people values ({id}, 'a@b.se', 1.50, '2026-01-01 10:00:00.123', 'Ann'{})",
            milestones(out)
        )
    };
    database.run(&row(1, "null"));
    database.run(&row(2, "null"));
    if spec.datasets[0].strategy.is_milestoned() {
        database.run(&row(3, "'2026-02-01'"));
    }
    merged(database);
}

/// Makes the control rows say that a batch has merged rows into every dataset.
fn merged(database: &mut Database) {
    database.run("update milepost.datasets set last_batch_time = '2026-03-01'");
}

/// Every table, column, index, view and grant of the database, as `pg_dump` writes them.
fn schema(database: &Database) -> String {
    acceptance::Cluster::shared().dump(database, &["--schema-only", "--exclude-schema=milepost"])
}

/// Where the rows of the tables and their indexes stand on disk: a rewrite moves them.
fn files(database: &mut Database) -> Vec<Vec<Option<String>>> {
    database.rows(
        "select relname, relfilenode from pg_class c join pg_namespace n on n.oid = relnamespace
          where nspname in ('main', 'main_staging') and relkind in ('r', 'i') order by relname",
    )
}

/// The type of a column, as Postgres prints it.
fn type_of(database: &mut Database, table: &str, column: &str) -> String {
    database.value(&format!(
        "select format_type(atttypid, atttypmod) from pg_attribute
          where attrelid = '{table}'::regclass and attname = '{column}'"
    ))
}

fn verify(database: &Database, arguments: &[&str]) -> Run {
    Job::new(database.url())
        .args(["verify", "--platform", "main"])
        .args(arguments.iter().copied())
        .run()
}
