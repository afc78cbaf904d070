//! A run may die at any moment: running again ends where an undisturbed run ends.

use std::thread::sleep;
use std::time::{Duration, Instant};

use acceptance::{Cluster, Database, Job, Run, Version, compare, publish, shop, stage, tally};
use milepost_job_spec::{DatasetSpec, Strategy, StreamSpec, Versions};
use milepost_merge_job::batch::STEPS;
use milepost_simulator::{History, Settings};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::random::without_key;

/// Longer than it takes until the lock of a dead run is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a run is killed at a random moment, in one history.
const KILLS: usize = 8;
/// How long the tests go on with new histories; `MILEPOST_TEST_SECONDS` overrides it.
const SECONDS: u64 = 5;

/// A stream whose history needs every step: replays, values to fill, rows for the quarantine, closed versions; one of its
/// datasets has no key.
pub(crate) fn spec() -> StreamSpec {
    let mut spec = shop::stream(Strategy::Milestoned {
        versions: Versions::All,
    });
    spec.datasets.retain(|dataset| dataset.name != "orders");
    without_key(&mut spec.datasets[2]);
    spec.limits.max_rows = 120;
    spec
}

/// A database in which that history is staged and nothing is merged.
pub(crate) fn staged(spec: &StreamSpec) -> Database {
    staged_in(Cluster::shared(), spec)
}

fn staged_in(cluster: &Cluster, spec: &StreamSpec) -> Database {
    let settings = Settings {
        restarts: 0.1,
        spoiled: 0.03,
        ..Settings::default()
    };
    let round = History::with(spec, 11, settings).round(120);
    let mut database = cluster.database();
    publish(&database, std::slice::from_ref(spec));
    stage::round(&mut database, spec, &round);
    database
}

/// What must be the same however often a run was cut short: live rows, and each key's versions in their order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    versions: Vec<Vec<Version>>,
    classes: Vec<Option<String>>,
    quarantine: Vec<Vec<Option<String>>>,
}

impl Merged {
    pub(crate) fn of(database: &mut Database, spec: &StreamSpec) -> Self {
        let versions = |dataset: &DatasetSpec| {
            let versions = compare::versions(database, dataset);
            if !dataset.key.is_empty() {
                compare::invariants_hold(&versions, "after a kill");
            }
            // The order stays; the times follow the cuts.
            let timeless = |version: Version| Version {
                dp_in: 0,
                dp_out: version.dp_out.map(|_| 0),
                ..version
            };
            let mut versions: Vec<Version> = versions.into_iter().map(timeless).collect();
            if dataset.key.is_empty() {
                versions.sort();
            }
            versions
        };
        let versions = spec.datasets.iter().map(versions).collect();
        let classes = database
            .rows(
                "select sum(rows_staged), sum(rows_inserted), sum(rows_updated), sum(rows_deleted), sum(rows_unchanged),
                        sum(rows_replayed), sum(rows_quarantined) from milepost.batches where status = 'succeeded'",
            )
            .remove(0);
        let quarantine = database
            .rows("select dataset, topic, partition, \"offset\", reason, status from milepost.quarantine order by 1, 2, 3, 4");
        Self {
            versions,
            classes,
            quarantine,
        }
    }

    pub(crate) fn undisturbed(spec: &StreamSpec) -> Self {
        let mut database = staged(spec);
        Job::merge(database.url(), spec).succeed();
        Self::of(&mut database, spec)
    }
}

/// Runs until the stream is merged; the lock of a run that died may hold for a moment.
pub(crate) fn merge_until_done(database: &Database, spec: &StreamSpec) -> Run {
    let until = Instant::now() + PATIENCE;
    loop {
        let run = Job::merge(database.url(), spec).run();
        match run.code {
            0 => return run,
            75 if Instant::now() < until => sleep(Duration::from_millis(50)),
            _ => panic!("{run}"),
        }
    }
}

#[test]
fn a_run_killed_before_any_step_is_made_good_by_the_next() {
    let spec = spec();
    let expected = Merged::undisturbed(&spec);
    let mut prepared = staged(&spec);
    for step in STEPS {
        let (original, mut database) = Cluster::shared().copy(prepared);
        prepared = original;
        let run = Job::merge(database.url(), &spec)
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(run.code, -1, "step `{step}` was never reached: {run}");
        let batches = database.value("select count(*) from milepost.batches");
        let committed = if step == "done" { "1" } else { "0" };
        assert_eq!(batches, committed, "after a death before `{step}`");
        merge_until_done(&database, &spec);
        assert_eq!(
            Merged::of(&mut database, &spec),
            expected,
            "after a death before `{step}`"
        );
    }
}

/// Starts a run and kills it at a random moment; it may have ended by itself.
pub(crate) fn kill_one(database: &Database, spec: &StreamSpec, rng: &mut StdRng) {
    let mut child = Job::merge(database.url(), spec).spawn();
    sleep(Duration::from_millis(rng.random_range(0..120)));
    let _ = child.kill();
    let ended = child.wait().expect("a child can be waited for");
    tally::count("kills of the process", usize::from(!ended.success()));
}

#[test]
fn runs_killed_at_random_moments_are_made_good() {
    let seed = crate::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let spec = spec();
    let expected = Merged::undisturbed(&spec);
    let mut prepared = staged(&spec);
    let until = Instant::now() + crate::budget(SECONDS);
    loop {
        let (original, mut database) = Cluster::shared().copy(prepared);
        prepared = original;
        for _ in 0..KILLS {
            kill_one(&database, &spec, &mut rng);
        }
        merge_until_done(&database, &spec);
        let merged = Merged::of(&mut database, &spec);
        assert_eq!(merged, expected, "MILEPOST_SEED={seed}");
        tally::count("histories", 1);
        if Instant::now() > until {
            break;
        }
    }
    tally::keep();
}

/// Without fsync an immediate stop is as safe as with it: what was written is the system's, and that goes on.
#[test]
fn runs_whose_server_is_killed_at_random_moments_are_made_good() {
    let seed = crate::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let spec = spec();
    let expected = Merged::undisturbed(&spec);
    let cluster = Cluster::start(&[]).expect("a second server starts");
    let mut prepared = staged_in(&cluster, &spec);
    let until = Instant::now() + crate::budget(SECONDS);
    loop {
        let (original, database) = cluster.copy(prepared);
        let (prepared_url, url) = (original.url().to_owned(), database.url().to_owned());
        drop(original);
        for _ in 0..2 {
            let job = Job::merge(&url, &spec).start();
            sleep(Duration::from_millis(rng.random_range(0..120)));
            cluster.crash();
            let run = job.wait();
            // It was done before, or tells that the server is gone.
            assert!([0, 1, 3].contains(&run.code), "MILEPOST_SEED={seed}: {run}");
            tally::count("kills of the server", 1);
        }
        let mut database = Database::connect(&url);
        merge_until_done(&database, &spec);
        let merged = Merged::of(&mut database, &spec);
        assert_eq!(merged, expected, "MILEPOST_SEED={seed}");
        tally::count("histories", 1);
        prepared = Database::connect(&prepared_url);
        if Instant::now() > until {
            break;
        }
    }
    tally::keep();
}
