//! Random histories with erasures in between, beside the reference merge that forgets the same keys.

use std::fmt::Write as _;
use std::time::Instant;

use acceptance::{Cluster, Database, Job, Mirror, publish, tally};
use milepost_job_spec::{Strategy, StreamSpec, TableRef};
use milepost_simulator::{History, Key, Settings, StagedRow, copy};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{ALL, LAST};
use crate::random::{announce, spec_of_types};

/// How long the test goes on with new histories; `MILEPOST_TEST_SECONDS` overrides it.
const SECONDS: u64 = 20;

#[test]
#[expect(
    clippy::print_stderr,
    reason = "whatever fails, the seed stands above it"
)]
fn a_random_history_goes_on_without_what_was_erased() {
    let budget = crate::budget(SECONDS);
    let first = crate::seed();
    let started = Instant::now();
    for seed in first.. {
        eprintln!("MILEPOST_SEED={seed}");
        play(seed);
        tally::count("histories", 1);
        if started.elapsed() > budget {
            break;
        }
    }
    tally::keep();
}

fn spec(rng: &mut StdRng) -> StreamSpec {
    let strategy = [Strategy::LiveOnly, ALL, LAST][rng.random_range(0..3)];
    let mut spec = spec_of_types(strategy);
    spec.limits.max_rows = rng.random_range(1..150);
    if rng.random_bool(0.5) {
        spec.datasets.retain(|dataset| dataset.name == "types");
        spec.stream.dataset = Some("types".to_owned());
    } else if rng.random_bool(0.5) {
        spec.transactions = Some(TableRef {
            schema: "main_staging".parse().expect("an identifier"),
            name: "shop__control".parse().expect("an identifier"),
        });
    }
    // The key is cast where it is staged as text.
    if rng.random_bool(0.5) {
        for dataset in &mut spec.datasets {
            for column in &mut dataset.columns {
                if dataset.key.contains(&column.name) {
                    column.staging_type = "text".to_owned();
                    column.placeholder = None;
                }
            }
        }
    }
    spec
}

fn play(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let spec = spec(&mut rng);
    let settings = Settings {
        partitions: if rng.random_bool(0.3) { 3 } else { 1 },
        keys: rng.random_range(4..20),
        replica_identity_full: rng.random_bool(0.5),
        restarts: if rng.random_bool(0.5) { 0.15 } else { 0.0 },
        spoiled: if rng.random_bool(0.5) { 0.08 } else { 0.0 },
        truncates: 0.0,
        permutations: 0.0,
        ..Settings::default()
    };
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    announce(&database, &spec, settings.partitions);
    let mut history = History::with(&spec, seed, settings);
    let mut mirror = Mirror::new(&spec);
    for _ in 0..rng.random_range(2..5) {
        let round = history.round(rng.random_range(1..40));
        if let Some(table) = &spec.transactions {
            database.run(&copy::insert_ends(table, &round.ends));
        }
        let mut rows: Vec<&StagedRow> = round.rows.iter().collect();
        for last in [false, true] {
            // Each topic's sink goes at its own pace, where END or a single dataset lets it.
            let lags = !last && (spec.transactions.is_some() || spec.stream.dataset.is_some());
            let mut later = Vec::new();
            for place in 0..spec.datasets.len() {
                let own: Vec<&StagedRow> = rows
                    .iter()
                    .copied()
                    .filter(|row| row.dataset == place)
                    .collect();
                let count = if lags {
                    rng.random_range(0..=own.len())
                } else {
                    own.len()
                };
                mirror.stage(&mut database, &own[..count]);
                later.extend_from_slice(&own[count..]);
            }
            rows = later;
            let run = Job::merge(database.url(), &spec).run();
            assert_eq!(run.code, 0, "{run}");
            mirror.follow(&mut database);
            for place in 0..spec.datasets.len() {
                erase(&mut rng, &mut database, &spec, place, &mut mirror);
            }
        }
        Job::new(database.url())
            .args(["verify", "--platform", "main"])
            .succeed();
    }
}

/// Erases a few keys of a dataset: all of them, or none where one has a row that is not merged.
fn erase(
    rng: &mut StdRng,
    database: &mut Database,
    spec: &StreamSpec,
    place: usize,
    mirror: &mut Mirror<'_>,
) {
    let mut keys = mirror.known_keys(place);
    while keys.len() > 2 {
        keys.swap_remove(rng.random_range(0..keys.len()));
    }
    if keys.is_empty() {
        return;
    }
    let dataset = &spec.datasets[place];
    let mut lines = String::new();
    for key in &keys {
        let names = dataset.key.iter().map(ToString::to_string);
        let values = key
            .iter()
            .map(|text| serde_json::Value::from(text.as_str()));
        let object: serde_json::Map<String, serde_json::Value> = names.zip(values).collect();
        let _ = writeln!(lines, "{}", serde_json::Value::Object(object));
    }
    let run = Job::erase(database.url(), spec, &dataset.name)
        .args(["--keys-from", "-", "--yes"])
        .input(&lines)
        .run();
    if keys.iter().any(|key| mirror.is_unmerged(place, key)) {
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains("not merged yet"), "{run}");
        return;
    }
    assert_eq!(run.code, 0, "{run}");
    mirror.follow_erase(database, place, &keys);
    for key in &keys {
        assert_eq!(staged(database, spec, place, key), "0", "{key:?}");
    }
}

/// How many staged rows have the key as it was staged.
fn staged(database: &mut Database, spec: &StreamSpec, place: usize, key: &Key) -> String {
    let dataset = &spec.datasets[place];
    let is_key: Vec<String> = dataset
        .key_columns()
        .zip(key)
        .map(|(column, value)| {
            format!(
                "{}::text = '{}'",
                column.staged_as.quoted(),
                value.replace('\'', "''")
            )
        })
        .collect();
    database.value(&format!(
        "select count(*) from {} where {}",
        dataset.staging.quoted(),
        is_key.join(" and ")
    ))
}
