//! Random histories of which events get lost: a comparison finds exactly the rows that differ, a repair makes them equal, and
//! what comes afterwards is merged as if nothing had been lost.

use std::collections::BTreeSet;

use acceptance::{Cluster, Database, Job, Run, compare, publish};
use milepost_job_spec::DatasetSpec;
use milepost_simulator::{History, Image, Settings, StagedRow, copy};
use proptest::prelude::{Just, any, prop_oneof};
use proptest::strategy::Strategy as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{ALL, LAST, Pair, Strategy, stream};
use crate::random::{announce, spec_of_types};

/// How long the test goes on with new histories; `MILEPOST_TEST_SECONDS` overrides it.
const SECONDS: u64 = 20;

#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    strategy: Strategy,
    settings: Settings,
    /// One stream of all datasets, or one of the table of many types.
    multi_dataset: bool,
    /// The share of events that are lost.
    lost: f64,
    rounds: usize,
}

fn cases() -> impl proptest::strategy::Strategy<Value = Case> {
    let settings = (
        prop_oneof![3 => Just(1), 1 => Just(3)],
        4_usize..20,
        prop_oneof![Just(0.0), Just(0.15)],
    );
    (
        any::<u64>(),
        prop_oneof![Just(Strategy::LiveOnly), Just(ALL), Just(LAST)],
        settings,
        any::<bool>(),
        prop_oneof![Just(0.02), Just(0.3)],
        1_usize..4,
    )
        .prop_map(
            |(seed, strategy, (partitions, keys, restarts), multi_dataset, lost, rounds)| Case {
                seed,
                strategy,
                settings: Settings {
                    partitions,
                    keys,
                    replica_identity_full: true,
                    restarts,
                    spoiled: 0.0,
                    truncates: 0.0,
                    permutations: 0.0,
                    ..Settings::default()
                },
                multi_dataset,
                lost,
                rounds,
            },
        )
}

#[test]
fn whatever_was_lost_is_found_and_repaired() {
    crate::play_random(cases(), SECONDS, play);
}

fn play(case: &Case) {
    let mut rng = StdRng::seed_from_u64(case.seed);
    let mut source = Cluster::shared().empty_database();
    let mut datasets = spec_of_types(case.strategy).datasets;
    if !case.multi_dataset {
        datasets.retain(|dataset| dataset.name == "types");
    }
    let mut spec = stream(&source, datasets);
    for dataset in &mut spec.datasets {
        dataset.policy.max_missing_percent = 100;
        let columns = dataset.columns.iter();
        let columns = columns.map(|own| format!("{} {}", own.name.quoted(), own.merge_type));
        let columns: Vec<String> = columns.collect();
        source.run(&format!(
            "create table {} ({})",
            dataset.name,
            columns.join(", ")
        ));
    }
    let mut platform = Cluster::shared().database();
    publish(&platform, std::slice::from_ref(&spec));
    announce(&platform, &spec, case.settings.partitions);
    let mut history = History::with(&spec, case.seed, case.settings.clone());
    let mut has_begun = BTreeSet::new();
    for _ in 0..case.rounds {
        let round = history.round(rng.random_range(1..40));
        for (place, dataset) in spec.datasets.iter().enumerate() {
            source.run(&format!("truncate {}", dataset.name));
            let images = copy::images(round.truth.tables[place].values());
            let statement = format!("copy {} from stdin (format csv, null '\\N')", dataset.name);
            source.copy_in(&statement, &images);
            // Snapshots are complete, and so are beginnings: a dataset of which nothing is merged is not compared, nor one
            // of whose partitions a snapshot's row is the last that is known.
            let rows: Vec<&StagedRow> = round
                .rows
                .iter()
                .filter(|row| row.dataset == place)
                .collect();
            let kept: Vec<&StagedRow> = rows
                .iter()
                .copied()
                .filter(|row| {
                    let is_taken = row.snapshot != "false";
                    let is_first = has_begun.insert((place, row.partition, is_taken));
                    is_first || is_taken || !rng.random_bool(case.lost)
                })
                .collect();
            acceptance::stage::rows(&mut platform, &spec, &kept);
        }
        let run = Job::merge(platform.url(), &spec).run();
        assert_eq!(run.code, 0, "{run}");
        let expected: Vec<[usize; 3]> = spec
            .datasets
            .iter()
            .enumerate()
            .map(|(place, dataset)| {
                let truth: Vec<Image> = round.truth.tables[place].values().cloned().collect();
                differing(&mut platform, dataset, &truth)
            })
            .collect();
        let run = job(&platform, &source, "verify").run();
        let is_equal = expected
            .iter()
            .all(|counts| counts.iter().sum::<usize>() == 0);
        assert_eq!(run.code, i32::from(!is_equal), "{run}");
        assert_eq!(found(&run), expected, "{run}");
        if !is_equal {
            let digest = Pair::digest(&job(&platform, &source, "resync").run());
            let job = job(&platform, &source, "resync").args(["--execute", &digest]);
            let run = job.run();
            assert_eq!(run.code, 0, "{run}");
        }
        for (place, dataset) in spec.datasets.iter().enumerate() {
            let truth: Vec<Image> = round.truth.tables[place].values().cloned().collect();
            compare::live_is_image(&mut platform, dataset, &truth, "after a repair");
            if dataset.strategy.is_milestoned() {
                compare::invariants_hold(
                    &compare::versions(&mut platform, dataset),
                    "after a repair",
                );
            }
        }
        let run = job(&platform, &source, "verify").run();
        assert_eq!(run.code, 0, "{run}");
    }
}

fn job(platform: &Database, source: &Database, command: &str) -> Job {
    let job = Job::new(platform.url())
        .args([command, "--platform", "main", "--store", "shop"])
        .args(["--settle", "0", "--format", "json"])
        .env("MILEPOST_SOURCE_URL", source.url());
    match command {
        "verify" => job.args(["--source"]),
        _ => job,
    }
}

/// How many live rows are missing, too many, and other than these.
fn differing(platform: &mut Database, dataset: &DatasetSpec, truth: &[Image]) -> [usize; 3] {
    compare::load_truth(platform, dataset, &copy::images(truth), false);
    let key: Vec<String> = dataset.key.iter().map(|name| name.quoted()).collect();
    let columns: Vec<String> = dataset
        .columns
        .iter()
        .map(|own| own.name.quoted())
        .collect();
    let rows = platform.rows(&format!(
        "select count(*) filter (where m is null), count(*) filter (where t is null), count(*) filter (where not (t *= m))
           from (select {columns} from truth) t full join (select {columns} from {live}) m using ({key})",
        columns = columns.join(", "),
        live = dataset.live_table().quoted(),
        key = key.join(", "),
    ));
    let count = |place: usize| {
        let text = rows[0][place].as_ref().expect("a count");
        text.parse().expect("a number")
    };
    [count(0), count(1), count(2)]
}

/// What a verification found, by dataset.
fn found(run: &Run) -> Vec<[usize; 3]> {
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    let compared = report["comparison"].as_array().expect("a list");
    let of = |object: &serde_json::Value| {
        let count = |rule: &str| {
            let all = report["diagnostics"].as_array().expect("a list");
            let own = all
                .iter()
                .find(|own| own["rule"] == rule && own["object"] == *object);
            own.map_or(0, |own| {
                own["count"]
                    .as_u64()
                    .and_then(|n| usize::try_from(n).ok())
                    .expect("a number")
            })
        };
        ["source-missing", "source-extra", "source-differs"].map(count)
    };
    compared.iter().map(|own| of(&own["object"])).collect()
}
