//! Clocks that go back (T19): batch times increase all the same.

use acceptance::{Cluster, Database, Job, compare, publish, shop, stage};
use milepost_job_spec::{Strategy, StreamSpec, Versions};
use milepost_simulator::{History, Settings};
use test_case::test_case;

/// An hour, in microseconds.
const HOUR: i64 = 3_600_000_000;

fn spec(versions: Versions) -> StreamSpec {
    shop::stream(Strategy::Milestoned { versions })
}

/// The server's clock was an hour ahead when the last batch was merged: what that batch wrote says so.
fn clock_goes_back(database: &mut Database, spec: &StreamSpec) {
    database
        .run("update milepost.datasets set last_batch_time = last_batch_time + interval '1 hour'");
    for dataset in &spec.datasets {
        database.run(&format!(
            "update {merge} set dp_in = dp_in + interval '1 hour', dp_out = dp_out + interval '1 hour'",
            merge = dataset.merge.quoted()
        ));
    }
}

fn last_time(database: &mut Database) -> i64 {
    let text = database.value(
        "select (extract(epoch from max(last_batch_time)) * 1000000)::bigint from milepost.datasets",
    );
    text.parse().expect("a number")
}

#[test_case(Versions::All; "all versions")]
#[test_case(Versions::LastPerBatch; "last version per batch")]
fn history_stays_in_order_when_the_clock_goes_back(versions: Versions) {
    let spec = spec(versions);
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let seed = crate::seed();
    let mut history = History::with(&spec, seed, Settings::default());
    let mut times = Vec::new();
    for round in 0..4 {
        stage::round(&mut database, &spec, &history.round(30));
        Job::merge(database.url(), &spec).succeed();
        if round == 1 {
            clock_goes_back(&mut database, &spec);
        }
        times.push(last_time(&mut database));
    }
    assert!(
        times.is_sorted_by(|earlier, later| earlier < later),
        "MILEPOST_SEED={seed}: {times:?}"
    );
    // Not the clock but the batch before decides: as many microseconds later as a key has events.
    assert!(
        times[3] - times[1] < HOUR / 1000,
        "MILEPOST_SEED={seed}: {times:?}"
    );
    for dataset in &spec.datasets {
        let versions = compare::versions(&mut database, dataset);
        compare::invariants_hold(
            &versions,
            &format!("MILEPOST_SEED={seed}, {}", dataset.name),
        );
    }
}
