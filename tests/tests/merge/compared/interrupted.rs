//! A repair is killed before every step, and its wires are cut.

use milepost_merge_job::batch;

use super::{ALL, Pair};

#[test]
fn a_repair_killed_before_any_step_is_made_good_by_the_next() {
    let steps = batch::STEPS
        .iter()
        .chain(&batch::resync::STEPS)
        // These are of what a repair has not: a cut, replays, closed entries of its own.
        .filter(|step| **step != "cut");
    for step in steps {
        let mut pair = Pair::of(ALL);
        pair.write(11, "new");
        pair.write(1, "changed");
        pair.delete(3);
        let digest = Pair::digest(&pair.resync(&[]));
        let run = pair
            .job("resync")
            .args(["--settle", "0", "--execute", &digest])
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(run.code, -1, "{step}: {run}");
        let batches = pair.platform.value("select count(*) from milepost.batches");
        if *step == "done" {
            assert_eq!(batches, "2", "{step}");
        } else {
            assert_eq!(batches, "1", "{step}");
            pair.repaired();
        }
        pair.is_equal();
    }
}

#[test]
fn a_signal_ends_a_comparison_within_seconds() {
    let mut pair = Pair::of(ALL);
    pair.write(1, "changed");
    let running = pair.job("resync").args(["--settle", "600"]).start();
    pair.until_it_waits();
    let run = running.terminate();
    assert_eq!(run.code, 76, "{run}");
    assert!(run.stderr.contains("stopped by a signal"), "{run}");
}
