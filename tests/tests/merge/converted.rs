//! Random histories whose tables change their strategy in between: live rows are the source's at every moment, and history is
//! whole from where it began.

use std::time::Instant;

use acceptance::{Cluster, Database, Job, Run, compare, publish_model, shop, stage, tally};
use milepost_job_spec::{Strategy, StreamSpec};
use milepost_merge_job::table_migration::STEPS;
use milepost_simulator::{History, Image, Settings};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::{ALL, LAST, LIVE};

/// How long the test goes on with new histories; `MILEPOST_TEST_SECONDS` overrides it.
const SECONDS: u64 = 15;

#[test]
fn random_histories_whose_strategies_change_have_the_rows_of_the_source() {
    let seed = crate::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let until = Instant::now() + crate::budget(SECONDS);
    let mut played = 0;
    while played < 2 || Instant::now() < until {
        play(&mut rng, &format!("MILEPOST_SEED={seed}, history {played}"));
        played += 1;
        tally::count("histories", 1);
    }
    tally::keep();
}

fn play(rng: &mut StdRng, when: &str) {
    let is_store = rng.random_bool(0.5);
    let of = |strategy: Strategy| -> StreamSpec {
        let spec = shop::stream(strategy);
        if is_store {
            spec
        } else {
            shop::single_streams(&spec).remove(0)
        }
    };
    let mut strategy = *[LIVE, ALL, LAST].choose(rng).expect("there are three");
    let mut spec = of(strategy);
    let mut database = Cluster::shared().database();
    published(&database, &spec, 1);
    let settings = Settings {
        restarts: 0.1,
        replica_identity_full: rng.random_bool(0.5),
        ..Settings::default()
    };
    let mut history = History::with(&spec, rng.random(), settings);
    for order in 2..7 {
        let round = history.round(rng.random_range(1..25));
        let before = rng.random_bool(0.5);
        // What is staged in the one shape may be merged in the other.
        if before {
            stage::round(&mut database, &spec, &round);
        }
        let next = *[LIVE, ALL, LAST].choose(rng).expect("there are three");
        if next != strategy {
            let is_converted = next.is_milestoned() != strategy.is_milestoned();
            (strategy, spec) = (next, of(next));
            published(&database, &spec, order);
            if is_converted {
                migrate(&database, rng, when);
            }
        }
        if !before {
            stage::round(&mut database, &spec, &round);
        }
        let run = Job::merge(database.url(), &spec).run();
        assert_eq!(run.code, 0, "{when}: {run}");
        for (place, dataset) in spec.datasets.iter().enumerate() {
            let truth: Vec<Image> = round.truth.tables[place].values().cloned().collect();
            compare::live_is_image(&mut database, dataset, &truth, when);
            if strategy.is_milestoned() {
                let versions = compare::versions(&mut database, dataset);
                compare::invariants_hold(&versions, when);
            }
        }
        let run = Job::new(database.url())
            .args(["verify", "--platform", "main"])
            .run();
        assert_eq!(run.code, 0, "{when}: {run}");
    }
}

/// Publishes a model, which may be refused: its tables are another strategy's.
fn published(database: &Database, spec: &StreamSpec, order: u64) {
    let run = publish_model(database, std::slice::from_ref(spec), order);
    assert!([0, 1].contains(&run.code), "{run}");
}

/// Plans and executes; at times it dies in between and is run again.
fn migrate(database: &Database, rng: &mut StdRng, when: &str) {
    let command = [
        "migrate-tables",
        "--platform",
        "main",
        "--store",
        "shop",
        "--drop-history",
    ];
    let job = || Job::new(database.url()).args(command);
    let plan = job().run();
    assert_eq!(plan.code, 0, "{when}: {plan}");
    let digest = digest(&plan).unwrap_or_else(|| panic!("{when}: there is nothing to do: {plan}"));
    if rng.random_bool(0.3) {
        let step = STEPS.choose(rng).expect("there are some");
        let died = job()
            .args(["--execute", &digest])
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(died.code, -1, "{when}: {died}");
    }
    // What is left of a run that died half way through a store is another plan.
    let until = Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let plan = job().run();
        assert_eq!(plan.code, 0, "{when}: {plan}");
        let Some(digest) = self::digest(&plan) else {
            return;
        };
        let run = job().args(["--execute", &digest]).run();
        assert!(
            Instant::now() < until && [0, 75].contains(&run.code),
            "{when}: {run}"
        );
    }
}

fn digest(plan: &Run) -> Option<String> {
    let mut words = plan.stdout.split_whitespace();
    words.find(|word| *word == "--execute")?;
    words.next().map(str::to_owned)
}
