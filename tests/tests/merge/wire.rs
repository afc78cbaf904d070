//! Every statement of a run may fail, or lose its connection before or after the server acted: running again ends where an
//! undisturbed run ends.

use std::io::Read as _;
use std::process::Command;
use std::time::{Duration, Instant};

use acceptance::{Cluster, Fault, Job, Wire};
use milepost_job_spec::Outcome;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::kill::{Merged, merge_until_done, spec, staged};

/// How long the test goes on with faults; `MILEPOST_TEST_SECONDS` overrides it.
const SECONDS: u64 = 20;
/// How long it takes at most until a run that is told to stop has stopped.
const STOP: Duration = Duration::from_secs(10);

#[test]
fn a_run_that_loses_any_statement_is_made_good() {
    let seed = crate::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let spec = spec();
    let expected = Merged::undisturbed(&spec);
    let mut prepared = staged(&spec);

    let (original, database) = Cluster::shared().copy(prepared);
    prepared = original;
    let wire = Wire::to(&database, Fault::Refused, 0);
    Job::merge(&wire.url(&database), &spec).succeed();
    let faults = [Fault::LostStatement, Fault::LostAnswer, Fault::Refused];
    let mut cases: Vec<(u32, Fault)> = (1..=wire.round_trips())
        .flat_map(|at| faults.map(|fault| (at, fault)))
        .collect();
    assert!(cases.len() > 60, "a history of several batches");
    cases.shuffle(&mut rng);

    let until = Instant::now() + crate::budget(SECONDS);
    for (at, fault) in cases {
        if Instant::now() > until {
            break;
        }
        let (original, mut database) = Cluster::shared().copy(prepared);
        prepared = original;
        let when = format!("{fault:?} at round trip {at}, MILEPOST_SEED={seed}");
        let wire = Wire::to(&database, fault, at);
        let run = Job::merge(&wire.url(&database), &spec).run();
        assert!(wire.round_trips() >= at, "{when}: it was never reached");
        assert!([0, 1, 3].contains(&run.code), "{when}: {run}");
        if run.code != 0 {
            assert!(run.stderr.contains("hint: "), "{when}: {run}");
        }
        merge_until_done(&database, &spec);
        assert_eq!(Merged::of(&mut database, &spec), expected, "{when}");
    }
}

/// The job waits for an answer that never comes; whoever tells it to stop does not wait for the network.
#[test]
fn a_run_whose_server_falls_silent_stops_when_it_is_told_to() {
    let seed = crate::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let spec = spec();
    let expected = Merged::undisturbed(&spec);
    let mut prepared = staged(&spec);
    for _ in 0..3 {
        let (original, mut database) = Cluster::shared().copy(prepared);
        prepared = original;
        let at = rng.random_range(1..20);
        let when = format!("at round trip {at}, MILEPOST_SEED={seed}");
        let wire = Wire::to(&database, Fault::Silence, at);
        let mut job = Job::merge(&wire.url(&database), &spec).spawn();
        let reached = Instant::now() + STOP;
        while wire.round_trips() < at {
            assert!(Instant::now() < reached, "{when}: it was never reached");
            std::thread::yield_now();
        }
        let told = Instant::now();
        let kill = Command::new("kill").arg(job.id().to_string()).status();
        assert!(kill.is_ok_and(|status| status.success()), "{when}");
        let ended = job.wait().expect("a child can be waited for");
        let mut stderr = String::new();
        if let Some(mut pipe) = job.stderr.take() {
            pipe.read_to_string(&mut stderr).expect("it is text");
        }
        assert_eq!(
            ended.code(),
            Some(i32::from(Outcome::Stopped.code())),
            "{when}: {stderr}"
        );
        assert!(told.elapsed() < STOP, "{when}");
        merge_until_done(&database, &spec);
        assert_eq!(Merged::of(&mut database, &spec), expected, "{when}");
    }
}
