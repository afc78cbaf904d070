//! What a history promises: the same bytes for the same seed, and events that lead to its truth.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use milepost_job_spec::{
    ColumnSpec, DatasetPolicy, DatasetSpec, Input, Limits, Placeholder, STREAM_SPEC_VERSION,
    SourcePosition, Strategy, StreamKey, StreamSpec, TableRef,
};
use milepost_simulator::{History, Op, Round, Settings, StagedRow, Truth, value};

fn column(name: &str, merge_type: &str, nullable: bool, large: bool) -> ColumnSpec {
    ColumnSpec {
        name: name.parse().unwrap(),
        staged_as: name.parse().unwrap(),
        merge_type: merge_type.to_owned(),
        staging_type: merge_type.to_owned(),
        nullable,
        placeholder: large.then(|| Placeholder::Text("__debezium_unavailable_value".to_owned())),
    }
}

fn dataset(name: &str, key: &[&str], columns: Vec<ColumnSpec>) -> DatasetSpec {
    let table = |schema: &str| TableRef {
        schema: schema.parse().unwrap(),
        name: name.parse().unwrap(),
    };
    DatasetSpec {
        name: name.to_owned(),
        source_name: format!("public.{name}"),
        naming: 1,
        staging: table("main_staging"),
        merge: table("main"),
        live: None,
        closed: None,
        source_table: None,
        strategy: Strategy::LiveOnly,
        policy: DatasetPolicy::default(),
        key: key.iter().map(|name| name.parse().unwrap()).collect(),
        columns,
        views: Vec::new(),
    }
}

fn spec() -> StreamSpec {
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
        datasets: vec![
            dataset(
                "customers",
                &["id"],
                vec![
                    column("id", "bigint", false, false),
                    column("name", "text", false, false),
                    column("notes", "text", true, true),
                ],
            ),
            dataset(
                "lines",
                &["place", "word"],
                vec![
                    column("word", "text", false, false),
                    column("place", "text", false, false),
                    column("price", "numeric(10,2)", true, false),
                ],
            ),
        ],
        transactions: None,
        limits: Limits {
            max_rows: 100,
            max_quarantined: 10,
            incomplete_transaction_seconds: 60,
            staged_seconds: 7 * 24 * 60 * 60,
        },
    }
}

/// Applies rows without any care: what arrives is true, an unsent value stays, a key change carries its row over.
fn apply(truth: &mut Truth, rows: &[StagedRow], spec: &StreamSpec) {
    let mut moved: Option<(Option<u64>, Vec<Option<String>>)> = None;
    for row in rows {
        let dataset = &spec.datasets[row.dataset];
        let key: Vec<String> = dataset
            .key
            .iter()
            .map(|name| {
                let place = dataset
                    .columns
                    .iter()
                    .position(|c| c.name == *name)
                    .unwrap();
                row.columns[place].clone().unwrap()
            })
            .collect();
        let table = &mut truth.tables[row.dataset];
        if row.op == Op::Delete {
            moved = table.remove(&key).map(|image| (row.lsn, image));
            continue;
        }
        let old = table.get(&key).cloned().or_else(|| {
            moved
                .take()
                .filter(|(lsn, _)| *lsn == row.lsn)
                .map(|(_, image)| image)
        });
        let image = row
            .columns
            .iter()
            .zip(&dataset.columns)
            .enumerate()
            .map(|(place, (value, column))| match value {
                Some(text) if value::is_placeholder(column, text) => {
                    old.as_ref().expect("an unsent value is known")[place].clone()
                }
                other => other.clone(),
            })
            .collect();
        table.insert(key, image);
    }
}

#[test]
fn the_same_seed_gives_the_same_rows_however_the_rounds_are_cut() {
    let settings = Settings {
        restarts: 0.1,
        ..Settings::default()
    };
    let whole = History::with(&spec(), 7, settings.clone()).round(60);
    let mut history = History::with(&spec(), 7, settings);
    let (mut rows, mut ends) = (Vec::new(), Vec::new());
    let mut truth = Truth::default();
    for transactions in [1, 9, 20, 30] {
        let round: Round = history.round(transactions);
        rows.extend(round.rows);
        ends.extend(round.ends);
        truth = round.truth;
    }
    assert_eq!(rows, whole.rows);
    assert_eq!(ends, whole.ends);
    assert_eq!(truth, whole.truth);
    assert_ne!(rows, History::new(&spec(), 8).round(60).rows);
}

#[test]
fn the_events_lead_to_the_truth_after_every_transaction() {
    for seed in 0..20 {
        let spec = spec();
        let mut history = History::new(&spec, seed);
        let mut merged = Truth::empty(&spec);
        for _ in 0..80 {
            let round = history.round(1);
            apply(&mut merged, &round.rows, &spec);
            assert_eq!(merged, round.truth, "seed {seed}");
        }
    }
}

#[test]
fn everything_that_makes_a_merge_hard_happens() {
    let settings = Settings {
        restarts: 0.1,
        zombies: 0.1,
        ..Settings::default()
    };
    let spec = spec();
    let rows = History::with(&spec, 1, settings).round(300).rows;
    let stale = rows.iter().filter(|row| row.stale_commit.is_some());
    for row in stale.clone() {
        let [told, _] = serde_json::from_str::<[String; 2]>(&row.sequence().unwrap()).unwrap();
        assert!(told.parse::<u64>().ok() < row.last_commit, "{row:?}");
    }
    assert!(stale.count() > 0, "a connector resumes below its slot");
    let ops: BTreeSet<Op> = rows.iter().map(|row| row.op).collect();
    assert_eq!(ops.len(), 4, "creates, updates, deletes and snapshot rows");

    let pairs = rows
        .windows(2)
        .filter(|pair| pair[0].lsn == pair[1].lsn && pair[0].lsn.is_some());
    let (mut key_changes, mut copies) = (0, 0);
    for pair in pairs {
        match (pair[0].op, pair[1].op) {
            (Op::Delete, Op::Create) => key_changes += 1,
            (Op::Create, Op::Create) => copies += 1,
            _ => {}
        }
    }
    assert!(key_changes > 0 && copies > 0, "{key_changes} {copies}");

    let placeholders = rows
        .iter()
        .filter(|row| {
            row.columns
                .iter()
                .flatten()
                .any(|text| text.contains("unavailable"))
        })
        .count();
    assert!(placeholders > 0);

    let lsns: Vec<u64> = rows
        .iter()
        .filter_map(|row| row.position())
        .map(|p| p.1)
        .collect();
    assert!(
        lsns.windows(2).any(|pair| pair[0] > pair[1]),
        "transactions overlap"
    );
    assert!(lsns.first().unwrap().to_string().len() < lsns.last().unwrap().to_string().len());

    let mut seen: BTreeMap<_, i64> = BTreeMap::new();
    let replays = rows.iter().filter(|row| {
        let Some(position) = row.position() else {
            return false;
        };
        seen.insert((row.topic.clone(), position), row.offset)
            .is_some()
    });
    assert!(replays.count() > 0);

    let mut offsets: BTreeMap<_, i64> = BTreeMap::new();
    for row in &rows {
        let before = offsets.insert((row.topic.clone(), row.partition), row.offset);
        assert!(
            before.is_none_or(|before| before < row.offset),
            "offsets rise"
        );
    }
}

#[test]
fn an_end_counts_the_rows_of_its_transaction() {
    let spec = spec();
    let round = History::new(&spec, 3).round(40);
    let mut staged: BTreeMap<String, u64> = BTreeMap::new();
    for row in &round.rows {
        if let Some(id) = &row.transaction_id {
            *staged.entry(before_colon(id)).or_default() += 1;
        }
    }
    assert_eq!(round.ends.len(), staged.len());
    for end in &round.ends {
        let payload: serde_json::Value = serde_json::from_str(&end.payload).unwrap();
        assert_eq!(
            payload["event_count"],
            staged[&before_colon(payload["id"].as_str().unwrap())]
        );
    }
}

fn before_colon(id: &str) -> String {
    id.split(':').next().unwrap().to_owned()
}
