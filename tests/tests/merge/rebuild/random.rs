//! Random histories, rebuilt from staging at random points: the rows and versions of a table that had its key from the start.

use std::time::Duration;

use acceptance::{Cluster, Database, Job, Version, compare, publish, publish_model, stage};
use milepost_job_spec::{OnTruncate, Strategy, StreamSpec};
use milepost_merge_job::batch::STEPS;
use milepost_simulator::{History, Image, Op, Settings, StagedRow};
use proptest::prelude::{Just, any, prop_oneof};
use proptest::strategy::Strategy as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{ALL, LAST, LIVE};
use crate::random::spec_of_types;

/// How long the test goes on with new histories; `MILEPOST_TEST_SECONDS` overrides it.
const SECONDS: u64 = 15;

#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    strategy: Strategy,
    settings: Settings,
    max_rows: u64,
    rounds: usize,
    transactions: usize,
}

fn cases() -> impl proptest::strategy::Strategy<Value = Case> {
    let strategy = prop_oneof![1 => Just(LIVE), 2 => Just(ALL), 1 => Just(LAST)];
    let settings = (
        4_usize..20,
        any::<bool>(),
        prop_oneof![Just(0.0), Just(0.15)],
        prop_oneof![2 => Just(0.0), 1 => Just(0.04)],
    )
        .prop_map(|(keys, full, restarts, truncates)| Settings {
            keys,
            replica_identity_full: full,
            restarts,
            truncates,
            ..Settings::default()
        });
    let sizes = (1_u64..80, 1_usize..4, 1_usize..30);
    (any::<u64>(), strategy, settings, sizes).prop_map(
        |(seed, strategy, settings, (max_rows, rounds, transactions))| Case {
            seed,
            strategy,
            settings,
            max_rows,
            rounds,
            transactions,
        },
    )
}

#[test]
fn a_random_history_that_is_rebuilt_from_staging_ends_as_if_it_never_was() {
    let rebuilt = std::cell::Cell::new(0);
    crate::play_random(cases(), SECONDS, |case| {
        rebuilt.set(rebuilt.get() + play(case))
    });
    assert!(rebuilt.get() > 0);
}

/// The stream with the key of the source's table, or with its columns the other way round.
fn spec(case: &Case, is_reversed: bool) -> StreamSpec {
    let mut spec = spec_of_types(case.strategy);
    spec.datasets.retain(|dataset| dataset.name == "types");
    spec.stream.dataset = Some("types".to_owned());
    spec.limits.max_rows = case.max_rows;
    spec.datasets[0].policy.truncate = OnTruncate::CloseAll;
    if is_reversed {
        spec.datasets[0].key.reverse();
    }
    spec
}

/// Plays a history with rebuilds in between; returns how many there were.
fn play(case: &Case) -> usize {
    let mut spec = spec(case, false);
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let mut rng = StdRng::seed_from_u64(case.seed);
    let mut history = History::with(&spec, case.seed, case.settings.clone());
    let mut model = 1;
    let mut is_reversed = false;
    let mut rebuilt = 0;
    let mut staged: Vec<StagedRow> = Vec::new();
    let mut truth: Vec<Image> = Vec::new();
    for _ in 0..case.rounds {
        let round = history.round(case.transactions);
        truth = round.truth.tables[0].values().cloned().collect();
        let mut rows: Vec<&StagedRow> = round.rows.iter().collect();
        for is_last in [false, false, true] {
            let now = if is_last {
                rows.len()
            } else {
                rng.random_range(0..=rows.len())
            };
            let now: Vec<&StagedRow> = rows.drain(..now).collect();
            stage::rows(&mut database, &spec, &now);
            staged.extend(now.into_iter().cloned());
            if rng.random_bool(0.2) {
                let step = STEPS[rng.random_range(0..STEPS.len())];
                // It dies there, or has nothing to do there.
                let _ = merge(&database, &spec).env("MILEPOST_FAULT", step).run();
            }
            if rng.random_bool(0.7) {
                merge_until_free(&database, &spec);
            }
            if rng.random_bool(0.4) {
                model += 1;
                let other = self::spec(case, !is_reversed);
                let _ = publish_model(&database, std::slice::from_ref(&other), model);
                if rebuild(&database, &staged) {
                    rebuilt += 1;
                    is_reversed = !is_reversed;
                    spec = other;
                } else {
                    model += 1;
                    let back = publish_model(&database, std::slice::from_ref(&spec), model);
                    assert_eq!(back.code, 0, "{back}");
                }
            }
        }
    }
    merge_until_free(&database, &spec);
    let when = "after all is merged";
    compare::live_is_image(&mut database, &spec.datasets[0], &truth, when);
    assert_eq!(
        database.value("select count(*) from milepost.positions where refill_upto is not null or refill_after is not null"),
        "0"
    );
    assert_eq!(
        versions(&mut database, &spec),
        from_the_start(&spec, &staged)
    );
    let verified = Job::new(database.url())
        .args(["verify", "--platform", "main"])
        .run();
    assert_eq!(verified.code, 0, "{verified}");
    rebuilt
}

fn merge(database: &Database, spec: &StreamSpec) -> Job {
    Job::merge(database.url(), spec)
}

/// The lock of a run that died may hold for a moment.
fn merge_until_free(database: &Database, spec: &StreamSpec) {
    loop {
        let run = merge(database, spec).run();
        match run.code {
            0 => return,
            75 => std::thread::sleep(Duration::from_millis(20)),
            _ => panic!("{run}"),
        }
    }
}

/// Rebuilds from staging. False where nothing was merged, or where staging has no whole snapshot.
fn rebuild(database: &Database, staged: &[StagedRow]) -> bool {
    let run = loop {
        let scope = [
            "rebuild",
            "--platform",
            "main",
            "--store",
            "shop",
            "--dataset",
            "types",
        ];
        let run = Job::new(database.url())
            .args(scope)
            .args(["--from", "staging", "--yes"])
            .run();
        if run.code != 75 {
            break run;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    if run.code == 0 {
        return true;
    }
    assert_eq!(run.code, 1, "{run}");
    // A snapshot of one row says `last` alone: behind offset 0 it may be what is left of a longer one.
    let read = staged.iter().filter(|row| row.op == Op::Read).count();
    let is_whole = read > 1 && staged.iter().any(|row| row.snapshot.starts_with("last"));
    let nothing_merged = run
        .stderr
        .contains("nothing of dataset `types` was merged yet");
    assert!(nothing_merged || !is_whole, "{run}");
    false
}

fn versions(database: &mut Database, spec: &StreamSpec) -> Vec<Version> {
    let versions = compare::versions(database, &spec.datasets[0]);
    compare::invariants_hold(&versions, "after all is merged");
    let timeless = |version: Version| Version {
        dp_in: 0,
        dp_out: version.dp_out.map(|_| 0),
        ..version
    };
    let mut versions: Vec<Version> = versions.into_iter().map(timeless).collect();
    if matches!(spec.datasets[0].strategy, LAST) {
        // Which versions are kept follows the cuts, and so does which event a row is of that changed and changed back.
        versions.retain(|version| version.dp_out.is_none());
        versions
            .iter_mut()
            .for_each(|version| version.dp_source_ts = None);
    }
    versions
}

/// What a database that had this key from the start holds of the same rows.
fn from_the_start(spec: &StreamSpec, staged: &[StagedRow]) -> Vec<Version> {
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(spec));
    stage::rows(&mut database, spec, &staged.iter().collect::<Vec<_>>());
    merge_until_free(&database, spec);
    versions(&mut database, spec)
}
