//! Many runs of one stream at once (T52, T53), and readers beside them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use acceptance::{Cluster, Database, Job, compare, publish, shop, stage};
use milepost_job_spec::{Outcome, Strategy, StreamSpec, Versions};
use milepost_simulator::{History, Image, Settings};

/// Runs that start together.
const RUNS: usize = 10;

/// Two reads of one statement see one state: every key has at most one live row, and no version overlaps another.
const TORN: &str = "select count(*) from (
    select 1 from main.shop__customers where dp_out is null group by id having count(*) > 1
    union all
    select 1 from (select dp_out, lead(dp_in) over (partition by id order by dp_in) as next from main.shop__customers) v
     where next is not null and (dp_out is null or dp_out > next)) torn";

/// A run reads until the others are done; returns how often it looked.
fn read(mut database: Database, done: &AtomicBool) -> usize {
    let mut looks = 0;
    while !done.load(Ordering::Acquire) {
        assert_eq!(database.value(TORN), "0", "a reader saw a torn history");
        looks += 1;
    }
    looks
}

fn run_together(url: &str, spec: &StreamSpec) -> Vec<i32> {
    thread::scope(|scope| {
        let runs: Vec<_> = (0..RUNS)
            .map(|_| scope.spawn(|| Job::merge(url, spec).run().code))
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("a run ends"))
            .collect()
    })
}

#[test]
fn ten_runs_of_one_stream_merge_every_row_once_and_readers_see_whole_states() {
    let mut spec = shop::stream(Strategy::Milestoned {
        versions: Versions::All,
    });
    spec.limits.max_rows = 50;
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let seed = crate::seed();
    let mut history = History::with(&spec, seed, Settings::default());
    let done = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        let (other, done) = (database.again(), &done);
        let reader = scope.spawn(move || read(other, done));
        for _ in 0..3 {
            let round = history.round(80);
            stage::round(&mut database, &spec, &round);
            let codes = run_together(database.url(), &spec);
            let expected = [Outcome::Done, Outcome::Held].map(|outcome| i32::from(outcome.code()));
            assert!(
                codes.iter().all(|code| expected.contains(code)),
                "MILEPOST_SEED={seed}: {codes:?}"
            );
            assert!(codes.contains(&0), "MILEPOST_SEED={seed}: {codes:?}");
            Job::merge(database.url(), &spec).succeed();
            for (place, dataset) in spec.datasets.iter().enumerate() {
                let truth: Vec<Image> = round.truth.tables[place].values().cloned().collect();
                compare::live_is_image(
                    &mut database,
                    dataset,
                    &truth,
                    &format!("MILEPOST_SEED={seed}"),
                );
            }
        }
        done.store(true, Ordering::Release);
        reader.join().expect("the reader saw nothing torn")
    });
    assert!(looks > 0);
    let staged = spec
        .datasets
        .iter()
        .map(|dataset| format!("(select count(*) from {})", dataset.staging.quoted()));
    assert_eq!(
        database.value("select sum(rows_staged) from milepost.batches where status = 'succeeded'"),
        database.value(&format!(
            "select {}",
            staged.collect::<Vec<_>>().join(" + ")
        )),
        "MILEPOST_SEED={seed}: each staged row is merged once"
    );
}
