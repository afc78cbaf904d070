//! Random histories through the real merge job and the reference merge: the same rows, versions, times and counts.

use acceptance::{Cluster, Database, Job, Mirror, compare, publish, shop};
use milepost_job_spec::{DatasetSpec, OnTruncate, Strategy, StreamSpec, TableRef, Versions};
use milepost_simulator::{History, Image, Settings, StagedRow, copy};
use proptest::prelude::{Just, any, prop_oneof};
use proptest::strategy::Strategy as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::kill::{kill_one, merge_until_done};

/// How long the test goes on with new histories; `MILEPOST_TEST_SECONDS` overrides it.
const SECONDS: u64 = 20;

#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    strategy: Strategy,
    settings: Settings,
    /// Has the table of many types no key?
    keyless: bool,
    /// One stream of all datasets, or of the first alone.
    multi_dataset: bool,
    /// Does the connector send END events?
    ends: bool,
    /// What a truncate of the source does.
    truncate: OnTruncate,
    /// How often a run is killed at a random moment before another one.
    kills: f64,
    /// Does the server count what a transaction writes?
    counts_writes: bool,
    max_rows: u64,
    rounds: usize,
    transactions: usize,
}

fn cases() -> impl proptest::strategy::Strategy<Value = Case> {
    let strategy = prop_oneof![
        1 => Just(Strategy::LiveOnly),
        2 => Just(Strategy::Milestoned { versions: Versions::All }),
        1 => Just(Strategy::Milestoned { versions: Versions::LastPerBatch }),
    ];
    let settings = (
        1_i32..4,
        4_usize..20,
        any::<bool>(),
        prop_oneof![Just(0.0), Just(0.15)],
        prop_oneof![2 => Just(0.0), 1 => Just(0.4)],
        prop_oneof![3 => Just(0.0), 1 => Just(0.08)],
        prop_oneof![2 => Just(0.0), 1 => Just(0.04)],
        prop_oneof![2 => Just(0.0), 1 => Just(0.15)],
    )
        .prop_map(
            |(partitions, keys, full, restarts, zombies, spoiled, truncates, permutations)| {
                Settings {
                    partitions: if partitions == 2 && truncates == 0.0 {
                        3
                    } else {
                        1
                    },
                    keys,
                    replica_identity_full: full,
                    restarts,
                    zombies,
                    spoiled,
                    truncates,
                    // Rows that are missing, or there for no reason, look like ones whose key is taken.
                    permutations: if partitions == 2 || spoiled > 0.0 {
                        0.0
                    } else {
                        permutations
                    },
                    ..Settings::default()
                }
            },
        );
    let sizes = (1_u64..150, 1_usize..4, 1_usize..40);
    (
        any::<u64>(),
        strategy,
        settings,
        prop_oneof![2 => Just(false), 1 => Just(true)],
        any::<bool>(),
        any::<bool>(),
        prop_oneof![3 => Just(OnTruncate::CloseAll), 1 => Just(OnTruncate::Ignore)],
        (
            prop_oneof![2 => Just(0.0), 1 => Just(0.3)],
            prop_oneof![3 => Just(true), 1 => Just(false)],
        ),
        sizes,
    )
        .prop_map(
            |(
                seed,
                strategy,
                mut settings,
                keyless,
                multi_dataset,
                ends,
                truncate,
                (kills, counts_writes),
                (max_rows, rounds, transactions),
            )| {
                let ends = ends && multi_dataset;
                // Without END nothing tells that a connector was killed inside a transaction (docs/decisions/0006).
                let comes_again = settings.restarts > 0.0 || settings.zombies > 0.0;
                let may_be_split = multi_dataset && !ends && comes_again;
                let is_ignored = truncate == OnTruncate::Ignore && settings.truncates > 0.0;
                if is_ignored || may_be_split {
                    settings.permutations = 0.0;
                }
                Case {
                    seed,
                    strategy,
                    settings,
                    keyless,
                    multi_dataset,
                    ends,
                    truncate,
                    kills,
                    counts_writes,
                    max_rows,
                    rounds,
                    transactions,
                }
            },
        )
}

#[test]
fn a_random_history_merges_as_the_reference_says() {
    crate::play_random(cases(), SECONDS, play);
}

/// A row of many types beside two tables of the shop.
pub(crate) fn spec_of_types(strategy: Strategy) -> StreamSpec {
    let types = shop::dataset(
        "types",
        strategy,
        &["word", "id"],
        &[
            ("id", "bigint"),
            ("flag", "boolean?"),
            ("small", "smallint?"),
            ("single", "real?"),
            ("double", "double precision?"),
            ("number", "numeric?"),
            ("price", "numeric(5,2)"),
            ("word", "text"),
            ("code", "character(5)?"),
            ("day", "date?"),
            ("hour", "time(6) without time zone?"),
            ("zoned", "time(6) with time zone?"),
            ("moment", "timestamp with time zone?"),
            ("span", "interval?"),
            ("token", "uuid?"),
            ("address", "inet?"),
            ("raw", "bytea?"),
            ("document", "jsonb?"),
            ("written", "json?"),
            ("numbers", "integer[]?"),
        ],
    );
    let mut spec = shop::stream(strategy);
    spec.datasets
        .retain(|dataset| ["documents", "order_lines"].contains(&dataset.name.as_str()));
    spec.datasets.push(types);
    spec
}

fn spec(case: &Case) -> StreamSpec {
    let mut spec = spec_of_types(case.strategy);
    spec.limits.max_rows = case.max_rows;
    for dataset in &mut spec.datasets {
        dataset.policy.truncate = case.truncate;
        if case.keyless && dataset.name == "types" {
            without_key(dataset);
        }
    }
    if !case.multi_dataset {
        spec.datasets.retain(|dataset| dataset.name == "types");
        spec.stream.dataset = Some("types".to_owned());
    }
    spec.transactions = case.ends.then(|| TableRef {
        schema: "main_staging".parse().expect("an identifier"),
        name: "shop__control".parse().expect("an identifier"),
    });
    spec
}

/// A partition may have its first row when rows of others are merged.
pub(crate) fn announce(database: &Database, spec: &StreamSpec, partitions: i32) {
    if partitions == 1 {
        return;
    }
    let numbers: Vec<String> = (0..partitions).map(|number| number.to_string()).collect();
    // Without a key all rows are in one.
    for dataset in spec.datasets.iter().filter(|own| !own.key.is_empty()) {
        let topic = format!("shop.{}", dataset.source_name);
        let own = [
            "topics",
            "accept",
            "--as",
            "new",
            "--yes",
            "--platform",
            &spec.stream.platform,
            "--store",
            &spec.stream.store,
            "--dataset",
            &dataset.name,
            "--topic",
            &topic,
        ];
        let numbers = numbers.iter().flat_map(|number| ["--partition", number]);
        Job::new(database.url()).args(own).args(numbers).succeed();
    }
}

/// The dataset as one whose events are appended.
pub(crate) fn without_key(dataset: &mut DatasetSpec) {
    dataset.strategy = Strategy::Append;
    dataset.key.clear();
    (dataset.live, dataset.closed) = (None, None);
    dataset.policy.truncate = OnTruncate::Ignore;
}

/// What happened at the source to a dataset without a key, as its rows are appended.
pub(crate) fn happened<'a>(
    rows: impl IntoIterator<Item = &'a StagedRow>,
    place: usize,
) -> Vec<Image> {
    let rows = rows.into_iter().filter(|row| row.dataset == place);
    rows.map(|row| {
        let operation = Some(row.op.to_string());
        row.columns.iter().cloned().chain([operation]).collect()
    })
    .collect()
}

fn play(case: &Case) {
    let spec = spec(case);
    let mut database = Cluster::shared().database();
    if !case.counts_writes {
        database.run(&format!(
            "alter database {} set track_counts = off",
            database.name()
        ));
    }
    publish(&database, std::slice::from_ref(&spec));
    announce(&database, &spec, case.settings.partitions);
    let mut rng = StdRng::seed_from_u64(case.seed);
    let mut history = History::with(&spec, case.seed, case.settings.clone());
    let mut mirror = Mirror::new(&spec);
    let mut rows = Vec::new();
    for _ in 0..case.rounds {
        let round = history.round(case.transactions);
        rows.extend(round.happened.iter().cloned());
        // Each topic's sink goes at its own pace; END events arrive at theirs.
        let mut ends = round.ends.as_slice();
        let mut topics: Vec<Vec<&StagedRow>> = (0..spec.datasets.len())
            .map(|place| {
                round
                    .rows
                    .iter()
                    .filter(|row| row.dataset == place)
                    .collect()
            })
            .collect();
        let mut last_run = String::new();
        for last in [false, false, true] {
            if let Some(table) = &spec.transactions {
                // The first END comes before the first row: until one is staged, a batch is aligned to what is staged.
                let first = usize::from(!ends.is_empty());
                let count = if last {
                    ends.len()
                } else {
                    rng.random_range(first..=ends.len())
                };
                let (now, later) = ends.split_at(count);
                database.run(&copy::insert_ends(table, now));
                ends = later;
            }
            for topic in &mut topics {
                // Without END the promise covers what is staged, so a round's rows then arrive together.
                let lags = !last && (case.ends || !case.multi_dataset);
                let now = if lags {
                    rng.random_range(0..=topic.len())
                } else {
                    topic.len()
                };
                let rows: Vec<&StagedRow> = topic.drain(..now).collect();
                mirror.stage(&mut database, &rows);
            }
            // Only the lock of a run that died may hold another up.
            let run = if rng.random_bool(case.kills) {
                kill_one(&database, &spec, &mut rng);
                merge_until_done(&database, &spec)
            } else {
                Job::merge(database.url(), &spec).run()
            };
            assert_eq!(run.code, 0, "{run}");
            last_run = run.to_string();
            mirror.follow(&mut database);
            // What a row said that could be mended later is not told from trimmed ones.
            if case.settings.spoiled == 0.0 && rng.random_bool(0.2) {
                crate::trim::age(&mut database);
                let run = crate::trim::trim(&database, &[]);
                assert_eq!(run.code, 0, "{run}");
            }
            if mirror.quarantined() > 0 && rng.random_bool(0.3) {
                if rng.random_bool(0.7) {
                    mirror.mend(&mut database);
                }
                let run = Job::quarantine(database.url(), &spec, "replay")
                    .args(["--yes"])
                    .run();
                assert_eq!(run.code, 0, "{run}");
                mirror.follow_replay(&mut database);
            }
        }
        // A row whose delete did not fit, or that an ignored truncate left behind, looks like one whose key is taken, until a
        // later transaction comes.
        let is_ignored = case.truncate == OnTruncate::Ignore && case.settings.truncates > 0.0;
        let may_wait = is_ignored || case.settings.spoiled > 0.0;
        assert!(
            mirror.is_caught_up() || may_wait && last_run.contains("waiting for the rest"),
            "rows are left over: {last_run}"
        );
        if case.settings.restarts == 0.0 && case.settings.zombies == 0.0 && case.multi_dataset {
            mirror.transactions_are_whole();
        }
        let is_told_all = case.settings.truncates == 0.0 || case.truncate == OnTruncate::CloseAll;
        if mirror.quarantined() == 0 && case.settings.spoiled == 0.0 && is_told_all {
            for (place, dataset) in spec.datasets.iter().enumerate() {
                if dataset.key.is_empty() {
                    let appended = mirror.appended(place).iter();
                    let appended: Vec<Image> = appended.map(|row| row.image.clone()).collect();
                    assert_eq!(
                        appended,
                        happened(&rows, place),
                        "events of `{}`",
                        dataset.name
                    );
                    continue;
                }
                let truth: Vec<Image> = round.truth.tables[place].values().cloned().collect();
                assert_eq!(mirror.live(place), truth, "live rows of `{}`", dataset.name);
                compare::live_is_image(&mut database, dataset, &truth, "after a round");
            }
        }
        nothing_happens_when_nothing_is_staged(&mut database, &spec, &mut mirror);
    }
}

fn nothing_happens_when_nothing_is_staged(
    database: &mut Database,
    spec: &StreamSpec,
    mirror: &mut Mirror<'_>,
) {
    Job::merge(database.url(), spec).succeed();
    assert_eq!(
        mirror.follow(database),
        0,
        "a run that finds nothing writes no batch"
    );
}
