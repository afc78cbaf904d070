//! A repair is killed before every step, and its wires are cut.

use acceptance::{At, Fault, Wire};
use milepost_merge_job::batch;
use test_case::test_case;

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

#[test_case(Fault::LostAnswer, "2"; "the answer")]
#[test_case(Fault::LostStatement, "1"; "the commit itself")]
fn a_commit_that_is_lost_is_looked_up(fault: Fault, batches: &str) {
    let mut pair = Pair::of(ALL);
    pair.write(1, "changed");
    let digest = Pair::digest(&pair.resync(&[]));
    let wire = Wire::with(&pair.platform, fault, At::Statement("commit".to_owned()));
    let run = pair
        .job("resync")
        .env("MILEPOST_DATABASE_URL", &wire.url(&pair.platform))
        .args(["--settle", "0", "--execute", &digest])
        .run();
    let counted = pair.platform.value("select count(*) from milepost.batches");
    assert_eq!(counted, batches, "{run}");
    if batches == "2" {
        assert_eq!(run.code, 0, "{run}");
        assert!(
            run.stdout
                .contains("batch 2 inserted 0 rows, updated 1, closed 0"),
            "{run}"
        );
    } else {
        assert_eq!(run.code, 3, "{run}");
        pair.repaired();
    }
    pair.is_equal();
}

#[test]
fn wherever_the_wire_breaks_nothing_is_half_done() {
    let mut broken = 0;
    for at in (1..).step_by(5) {
        let mut pair = Pair::of(ALL);
        pair.write(11, "new");
        pair.write(1, "changed");
        pair.delete(3);
        let digest = Pair::digest(&pair.resync(&[]));
        let wire = Wire::with(&pair.platform, Fault::LostAnswer, At::RoundTrip(at));
        let run = pair
            .job("resync")
            .env("MILEPOST_DATABASE_URL", &wire.url(&pair.platform))
            .args(["--settle", "0", "--execute", &digest])
            .run();
        if run.code == 0 {
            pair.is_equal();
            break;
        }
        broken += 1;
        assert_eq!(run.code, 3, "round trip {at}: {run}");
        assert_eq!(
            pair.platform.value("select count(*) from milepost.batches"),
            "1",
            "round trip {at}"
        );
        pair.repaired();
        pair.is_equal();
    }
    assert!(broken > 3, "{broken}");
}
