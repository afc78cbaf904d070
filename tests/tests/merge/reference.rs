//! The reference merge and the simulator against each other and against real events, in memory.

use std::collections::{BTreeMap, BTreeSet};

use acceptance::{Reference, compare, shop};
use milepost_job_spec::{Strategy, StreamSpec, Versions};
use milepost_simulator::{History, Image, Settings, StagedRow};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use test_case::test_case;

use crate::random::{happened, without_key};

const STRATEGIES: [Strategy; 3] = [
    Strategy::LiveOnly,
    Strategy::Milestoned {
        versions: Versions::All,
    },
    Strategy::Milestoned {
        versions: Versions::LastPerBatch,
    },
];

/// Merges rows in batches cut anywhere and returns the batch times with what was live after each.
fn merge_in_cuts(
    table: &mut Reference,
    spec: &StreamSpec,
    place: usize,
    rows: &[&StagedRow],
    rng: &mut StdRng,
    time: &mut i64,
) -> BTreeMap<i64, Vec<Image>> {
    let own: Vec<&StagedRow> = rows
        .iter()
        .copied()
        .filter(|row| row.dataset == place)
        .collect();
    let mut rest = own.as_slice();
    let mut after = BTreeMap::new();
    while !rest.is_empty() {
        let mut cut = rng.random_range(1..=rest.len().min(200));
        // No cut falls between the halves of a key change.
        while cut < rest.len() && rest[cut - 1].lsn.is_some() && rest[cut - 1].lsn == rest[cut].lsn
        {
            cut += 1;
        }
        let (batch, later) = rest.split_at(cut);
        let mut batch = batch.to_vec();
        batch.sort_by_key(|row| (row.partition, row.offset));
        *time += 1000;
        let counts = table.merge(&spec.datasets[place], &batch, *time);
        assert_eq!(counts.staged(), batch.len());
        after.insert(*time, images(table));
        rest = later;
    }
    after
}

fn images(table: &Reference) -> Vec<Image> {
    table
        .live
        .values()
        .map(|version| version.image.clone())
        .collect()
}

/// What was live at a batch time equals the table as of that time, and the invariants hold.
fn check_history(table: &Reference, after: &BTreeMap<i64, Vec<Image>>) {
    let mut versions = table.closed.clone();
    versions.extend(table.live.values().cloned());
    versions.sort();
    compare::invariants_hold(&versions, "reference");
    for (time, live) in after {
        let mut as_of: Vec<Image> = versions
            .iter()
            .filter(|v| v.dp_in <= *time && v.dp_out.is_none_or(|out| out > *time))
            .map(|version| version.image.clone())
            .collect();
        let mut live = live.clone();
        as_of.sort();
        live.sort();
        assert_eq!(as_of, live, "as of {time}");
    }
}

#[test]
fn real_events_merged_in_any_batches_give_the_truth_of_every_checkpoint() {
    let mut rng = StdRng::seed_from_u64(1);
    for strategy in STRATEGIES {
        let spec = shop::stream(strategy);
        let staged = shop::staged(&spec);
        for (place, dataset) in spec.datasets.iter().enumerate() {
            let (mut table, mut time, mut after) = (Reference::default(), 0, BTreeMap::new());
            for checkpoint in 0..=shop::CHECKPOINTS {
                let rows: Vec<&StagedRow> = staged
                    .iter()
                    .filter(|(at, _)| *at == checkpoint)
                    .map(|(_, row)| row)
                    .collect();
                after.extend(merge_in_cuts(
                    &mut table, &spec, place, &rows, &mut rng, &mut time,
                ));
                let mut merged = images(&table);
                let mut truth = shop::truth_images(dataset, checkpoint);
                merged.sort();
                truth.sort();
                assert_eq!(
                    merged, truth,
                    "`{}` at checkpoint {checkpoint}",
                    dataset.name
                );
            }
            assert!(table.quarantine.is_empty());
            if dataset.name == "order_lines" && strategy.is_milestoned() {
                check_history(&table, &after);
            }
        }
    }
}

#[test_case(Settings::default(); "plain")]
#[test_case(Settings { restarts: 0.2, ..Settings::default() }; "with restarts")]
#[test_case(Settings { restarts: 0.2, truncates: 0.05, partitions: 3, ..Settings::default() }; "with truncates")]
fn simulated_events_without_a_key_are_appended_once_each(settings: Settings) {
    for seed in 0..20 {
        let mut spec = shop::stream(Strategy::LiveOnly);
        without_key(&mut spec.datasets[2]);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut history = History::with(&spec, seed, settings.clone());
        let (mut table, mut time, mut rows) = (Reference::default(), 0, Vec::new());
        for _ in 0..3 {
            let round = history.round(60);
            rows.extend(round.happened.iter().cloned());
            let staged: Vec<&StagedRow> = round.rows.iter().collect();
            merge_in_cuts(&mut table, &spec, 2, &staged, &mut rng, &mut time);
            let appended = table.appended.iter().map(|row| row.image.clone());
            let appended: Vec<Image> = appended.collect();
            assert_eq!(appended, happened(&rows, 2), "seed {seed}");
        }
    }
}

/// By their keys, of which the merge knows nothing here, real events are told apart.
#[test]
fn real_events_without_a_key_are_appended_once_each() {
    let keyed = shop::stream(Strategy::LiveOnly);
    let spec = shop::stream(Strategy::Append);
    let mut rng = StdRng::seed_from_u64(1);
    for (place, dataset) in keyed.datasets.iter().enumerate() {
        let staged = shop::staged(&keyed);
        let rows = staged
            .iter()
            .map(|(_, row)| row)
            .filter(|row| row.dataset == place);
        let mut rows: Vec<&StagedRow> = rows.collect();
        rows.sort_by_key(|row| row.offset);
        let mut table = Reference::default();
        merge_in_cuts(&mut table, &spec, place, &rows, &mut rng, &mut 0);
        let keys = dataset.key.iter().map(|key| {
            let mut columns = dataset.columns.iter();
            columns
                .position(|column| column.name == *key)
                .expect("a key is a column")
        });
        let keys: Vec<usize> = keys.collect();
        let event = |row: &&StagedRow| {
            let key: Vec<_> = keys
                .iter()
                .map(|place| row.columns[*place].clone())
                .collect();
            let snapshot = row.position().is_none().then_some(row.offset);
            (
                row.position().map(|(commit, lsn, _)| (commit, lsn)),
                snapshot,
                row.op,
                key,
            )
        };
        let events: BTreeSet<_> = rows.iter().map(event).collect();
        // A large value that was not sent cannot be filled.
        let kept = table.appended.len() + table.quarantine.0.len();
        assert_eq!(kept, events.len(), "`{}`", dataset.name);
    }
}

#[test_case(Settings::default(); "plain")]
#[test_case(Settings { restarts: 0.1, ..Settings::default() }; "with restarts")]
#[test_case(Settings { restarts: 0.1, partitions: 3, replica_identity_full: true, ..Settings::default() }; "over partitions")]
fn simulated_events_merged_in_any_batches_give_the_truth(settings: Settings) {
    for seed in 0..6 {
        for strategy in STRATEGIES {
            let spec = shop::stream(strategy);
            let mut rng = StdRng::seed_from_u64(seed);
            let mut history = History::with(&spec, seed, settings.clone());
            let mut tables = vec![(Reference::default(), 0, BTreeMap::new()); spec.datasets.len()];
            for _ in 0..3 {
                let round = history.round(60);
                let rows: Vec<&StagedRow> = round.rows.iter().collect();
                for (place, (table, time, after)) in tables.iter_mut().enumerate() {
                    after.extend(merge_in_cuts(table, &spec, place, &rows, &mut rng, time));
                    let truth: Vec<Image> = round.truth.tables[place].values().cloned().collect();
                    assert_eq!(
                        images(table),
                        truth,
                        "seed {seed}, `{}`",
                        spec.datasets[place].name
                    );
                    assert!(table.quarantine.is_empty());
                    if strategy.is_milestoned() {
                        check_history(table, after);
                    }
                }
            }
        }
    }
}
