//! Real events of `cdc-shop` through the real merge job, in random chunks: the truth of every checkpoint, exactly.

use acceptance::{At, Cluster, Database, Fault, Job, Wire, compare, publish, shop, stage};
use milepost_job_spec::{DatasetSpec, Strategy, StreamSpec};
use milepost_merge_job::merge::at_once;
use milepost_merge_job::staging::events::Shape;
use milepost_simulator::{History, Image, StagedRow};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use test_case::test_matrix;

use crate::{ALL, LAST, LIVE};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streams {
    One,
    PerDataset,
}

#[test_matrix([LIVE, ALL, LAST], [Streams::One, Streams::PerDataset])]
fn live_rows_equal_the_truth_at_every_checkpoint(strategy: Strategy, streams: Streams) {
    let seed = crate::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let shop = shop::stream(strategy);
    let mut specs = match streams {
        Streams::One => vec![shop.clone()],
        Streams::PerDataset => shop::single_streams(&shop),
    };
    for spec in &mut specs {
        spec.limits.max_rows = rng.random_range(150..2500);
    }
    let mut database = Cluster::shared().database();
    publish(&database, &specs);

    let staged = shop::staged(&shop);
    let mut copies = Copies::default();
    let mut rows_staged = 0;
    for checkpoint in 0..=shop::CHECKPOINTS {
        let when = format!("seed {seed}, checkpoint {checkpoint}");
        let rows: Vec<&StagedRow> = staged
            .iter()
            .filter(|(at, _)| *at == checkpoint)
            .map(|(_, row)| row)
            .collect();
        rows_staged += rows.len();
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(rng.random_range(1..=rest.len().min(3000)));
            rest = later;
            stage::rows(&mut database, &shop, chunk);
            for spec in &specs {
                Job::merge(database.url(), spec).succeed();
            }
            if strategy.is_milestoned() {
                copies.keep(&mut database, &shop);
            }
        }
        for dataset in &shop.datasets {
            compare::load_truth(
                &mut database,
                dataset,
                &shop::truth(dataset, checkpoint),
                true,
            );
            compare::live_is_truth(&mut database, dataset, &when);
        }
        counts_add_up(&mut database, &shop, rows_staged, &when);
    }
    if strategy.is_milestoned() {
        for dataset in &shop.datasets {
            let versions = compare::versions(&mut database, dataset);
            let gaps = compare::invariants_hold(&versions, &format!("seed {seed}"));
            let deletes: usize = sum(&mut database, "rows_deleted", &dataset.name);
            assert!(
                gaps <= deletes,
                "`{}` has {gaps} gaps and {deletes} deletes",
                dataset.name
            );
        }
        copies.compare(&mut database, &shop, seed);
    }
}

/// Tables are merged at once where the server counts what a transaction writes, else each key is looked up first
/// (docs/decisions/0020). A wire that refuses the statement of the former tells whether it is sent.
#[test_matrix([LIVE, ALL, LAST])]
fn a_server_that_counts_no_writes_merges_the_same_and_counts_the_same(strategy: Strategy) {
    let seed = crate::seed();
    let shop = shop::stream(strategy);
    let staged = shop::staged(&shop);
    let rows: Vec<&StagedRow> = staged.iter().map(|(_, row)| row).collect();
    let index = rows[0].dataset;
    let shape = Shape {
        dataset: &shop.datasets[index],
        index,
        is_ranked: false,
    };
    let merge = at_once::merge(&shape, 0);
    let (counts_before, _) = merge.split_once(';').expect("counts are read first");
    let counted = [("on", 1), ("off", 0)].map(|(counts, code)| {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut database = Cluster::shared().database();
        database.run(&format!(
            "alter database {} set track_counts = {counts}",
            database.name()
        ));
        publish(&database, std::slice::from_ref(&shop));
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let is_first = rest.len() == rows.len();
            let (chunk, later) = rest.split_at(rng.random_range(1..=rest.len().min(3000)));
            rest = later;
            stage::rows(&mut database, &shop, chunk);
            if is_first {
                let wire = Wire::with(&database, Fault::Refused, At::Beginning(counts_before.to_owned()));
                let run = Job::merge(&wire.url(&database), &shop).run();
                assert_eq!(run.code, code, "track_counts = {counts}: {run}");
            }
            Job::merge(database.url(), &shop).succeed();
        }
        for dataset in &shop.datasets {
            let truth = shop::truth(dataset, shop::CHECKPOINTS);
            compare::load_truth(&mut database, dataset, &truth, true);
            let when = format!("seed {seed}, {counts}");
            compare::live_is_truth(&mut database, dataset, &when);
            if strategy.is_milestoned() {
                let versions = compare::versions(&mut database, dataset);
                compare::invariants_hold(&versions, &when);
            }
        }
        database.rows(
            "select (to_jsonb(d) - 'batch_id')::text from milepost.batch_datasets d join milepost.batches b on b.id = d.batch_id
              where b.status = 'succeeded' order by d.batch_id, d.dataset",
        )
    });
    assert!(counted[0].len() > 5, "{} counts", counted[0].len());
    assert_eq!(counted[0], counted[1], "seed {seed}");
}

/// The server may be told to stop counting while a batch is merged.
#[test_matrix([LIVE, ALL, LAST])]
fn a_batch_that_was_not_counted_is_not_merged(strategy: Strategy) {
    let spec = shop::single_streams(&shop::stream(strategy)).remove(0);
    let dataset = &spec.datasets[0];
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let round = History::new(&spec, 3).round(5);
    stage::round(&mut database, &spec, &round);
    let live = dataset.live_table().quoted();
    database.run(&format!(
        "create function stop_counting() returns trigger language plpgsql as
         'begin perform set_config(''track_counts'', ''off'', false); return new; end';
         create trigger stop before insert on {live} for each row execute function stop_counting()"
    ));
    let run = Job::merge(database.url(), &spec).run();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr.contains("`track_counts` was turned off"),
        "{run}"
    );
    assert!(run.stderr.contains("hint: run it again"), "{run}");
    assert_eq!(database.value(&format!("select count(*) from {live}")), "0");
    database.run(&format!("drop trigger stop on {live}"));
    Job::merge(database.url(), &spec).succeed();
    let truth: Vec<Image> = round.truth.tables[0].values().cloned().collect();
    compare::live_is_image(&mut database, dataset, &truth, "once it counts");
}

/// A join of two wide tables has more columns than a row may have.
#[test_matrix([LIVE, ALL, LAST], ["on", "off"])]
fn a_wide_table_is_merged(strategy: Strategy, counts: &str) {
    let names: Vec<String> = (0..1200).map(|n| format!("col{n}")).collect();
    let mut columns = vec![("id", "bigint")];
    columns.extend(names.iter().map(|name| (name.as_str(), "integer?")));
    let mut spec = shop::single_streams(&shop::stream(strategy)).remove(0);
    spec.stream.dataset = Some("w".to_owned());
    spec.datasets = vec![shop::dataset("w", strategy, &["id"], &columns)];
    let mut database = Cluster::shared().database();
    database.run(&format!(
        "alter database {} set track_counts = {counts}",
        database.name()
    ));
    publish(&database, std::slice::from_ref(&spec));
    let seed = crate::seed();
    let mut history = History::new(&spec, seed);
    for _ in 0..3 {
        let round = history.round(10);
        stage::round(&mut database, &spec, &round);
        Job::merge(database.url(), &spec).succeed();
        let truth: Vec<Image> = round.truth.tables[0].values().cloned().collect();
        let when = format!("MILEPOST_SEED={seed}");
        compare::live_is_image(&mut database, &spec.datasets[0], &truth, &when);
    }
}

/// Every staged row was counted in one class; rows closed are what the live table lost.
fn counts_add_up(database: &mut Database, shop: &StreamSpec, staged: usize, when: &str) {
    let totals = database.rows(
        "select sum(rows_staged), sum(rows_inserted + rows_updated + rows_deleted + rows_unchanged + rows_overtaken),
                sum(rows_replayed + rows_quarantined + rows_truncate) from milepost.batches where status = 'succeeded'",
    );
    let totals: Vec<usize> = totals[0]
        .iter()
        .flatten()
        .map(|n| n.parse().expect("a count"))
        .collect();
    assert_eq!(totals, [staged, staged, 0], "{when}");
    for dataset in &shop.datasets {
        let live = compare::live_count(database, dataset);
        let inserted = sum(database, "rows_inserted", &dataset.name);
        let deleted = sum(database, "rows_deleted", &dataset.name);
        assert_eq!(live + deleted, inserted, "{when}: `{}`", dataset.name);
    }
}

fn sum(database: &mut Database, column: &str, dataset: &str) -> usize {
    let sql = format!(
        "select coalesce(sum({column}), 0) from milepost.batch_datasets where dataset = '{dataset}'"
    );
    database.value(&sql).parse().expect("a count")
}

/// What was live after each run, kept aside in tables of its own.
#[derive(Default)]
struct Copies(usize);

impl Copies {
    fn keep(&mut self, database: &mut Database, shop: &StreamSpec) {
        let number = self.0;
        // A run takes a while, so its last batch time is in the past and a whole chunk away from the next.
        for dataset in &shop.datasets {
            let last = database.rows(&format!(
                "select last_batch_time from milepost.datasets where dataset = '{}'",
                dataset.name
            ));
            let Some(time) = last.first().and_then(|row| row[0].clone()) else {
                continue;
            };
            let (name, live) = (copy_name(dataset, number), dataset.live_table().quoted());
            database.run(&format!(
                "create table {name} as select *, timestamptz '{time}' as batch_time from {live}"
            ));
        }
        self.0 += 1;
    }

    fn compare(&self, database: &mut Database, shop: &StreamSpec, seed: u64) {
        for dataset in &shop.datasets {
            for number in 0..self.0 {
                let copy = copy_name(dataset, number);
                if database.value(&format!("select to_regclass('{copy}') is null")) == "t" {
                    continue;
                }
                let Some(time) = database
                    .rows(&format!("select batch_time from {copy} limit 1"))
                    .pop()
                else {
                    continue;
                };
                let time = time[0].clone().expect("a batch time");
                compare::copy_truth(database, dataset, &copy);
                let as_of = format!(
                    "{} where dp_in <= '{time}' and (dp_out is null or dp_out > '{time}')",
                    dataset.merge.quoted()
                );
                compare::rows_are_truth(
                    database,
                    dataset,
                    &as_of,
                    &format!("seed {seed}, as of {time}"),
                );
            }
        }
    }
}

fn copy_name(dataset: &DatasetSpec, number: usize) -> String {
    format!("copy_{number}_{}", dataset.name)
}
