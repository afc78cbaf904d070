//! A rebuild that dies, and one beside merges: either the old table serves or the new one.

use std::thread;
use std::time::{Duration, Instant};

use acceptance::{At, Cluster, Fault, Job, Run, Wire};
use milepost_job_spec::Outcome;
use milepost_merge_job::batch::rebuild::STEPS;
use test_case::test_case;

use super::{ALL, LIVE, People, SNAPSHOT, event};

/// Longer than it takes until the lock of a dead run is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs until the stream is free: the lock of a run that died may hold for a moment.
fn until_free(run: impl Fn() -> Run) -> Run {
    let until = Instant::now() + PATIENCE;
    loop {
        let run = run();
        if run.code != i32::from(Outcome::Held.code()) || Instant::now() > until {
            return run;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test_case("source", true; "from the source, milestoned")]
#[test_case("staging", true; "from staging, milestoned")]
#[test_case("staging", false; "from staging, live only")]
fn a_rebuild_that_dies_before_any_step_did_nothing_or_all(origin: &str, is_milestoned: bool) {
    let mut people = People::of(if is_milestoned { ALL } else { LIVE }, &["id"]);
    people.stage(&SNAPSHOT);
    people.stage(&[
        event("u", 2, "bo2", "-"),
        event("c", 4, "dan", "d1"),
        event("u", 9, "zed", "-"),
    ]);
    let rows = people.merged();
    people.change_key(&["code"]);
    let mut prepared = people.database;
    for step in STEPS {
        let (original, database) = Cluster::shared().copy(prepared);
        prepared = original;
        let mut own = People {
            database,
            spec: people.spec.clone(),
            next: people.next,
            model: people.model,
        };
        let before = own.state();
        let died = own
            .job(origin)
            .args(["--yes"])
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(died.code, -1, "step `{step}` was never reached: {died}");
        let after_death = until_free(|| own.merge());
        if step == "done" {
            assert_eq!(after_death.code, 0, "{after_death}");
            assert_eq!(own.kept(), "shop__people__until_2");
        } else {
            assert_eq!(after_death.code, 1, "the old table serves: {after_death}");
            own.database.run("delete from milepost.batches where status = 'failed'; update milepost.streams set consecutive_failures = 0");
            assert_eq!(own.state(), before, "after a death before `{step}`");
            let run = until_free(|| own.rebuild(origin, &["--yes"]));
            assert_eq!(run.code, 0, "{run}");
        }
        if origin == "source" {
            own.stage(&[
                ("r", 1, "ann", "a1", "first"),
                ("r", 2, "bo2", "b1", "true"),
                ("r", 3, "cid", "c1", "true"),
                ("r", 4, "dan", "d1", "last"),
            ]);
        }
        assert_eq!(own.merged(), rows, "after a death before `{step}`");
        assert_eq!(own.status(), "healthy");
        own.is_clean();
    }
}

#[test]
fn merges_and_rebuilds_at_once_leave_what_each_alone_leaves() {
    let mut people = People::of(ALL, &["id"]);
    people.spec.limits.max_rows = 2;
    assert_eq!(people.publish().code, 0);
    people.stage(&SNAPSHOT);
    people.stage(&[
        event("u", 2, "bo2", "-"),
        event("c", 4, "dan", "d1"),
        event("d", 3, "", ""),
    ]);
    let rows = people.merged();
    for _ in 0..3 {
        let jobs: Vec<Job> = (0..6)
            .map(|n| match n % 2 {
                0 => Job::merge(people.database.url(), &people.spec),
                _ => people.job("staging").args(["--yes"]),
            })
            .collect();
        let runs: Vec<Run> = thread::scope(|scope| {
            let runs: Vec<_> = jobs
                .into_iter()
                .map(|job| scope.spawn(|| job.run()))
                .collect();
            runs.into_iter()
                .map(|run| run.join().expect("a run ends"))
                .collect()
        });
        for run in &runs {
            assert!(
                [0, i32::from(Outcome::Held.code())].contains(&run.code),
                "{run}"
            );
        }
        let run = until_free(|| people.merge());
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(people.live(), rows);
        people.is_clean();
    }
}

#[test_case(Fault::LostAnswer; "the answer")]
#[test_case(Fault::LostStatement; "the commit itself")]
fn a_commit_that_is_lost_is_looked_up_and_nothing_is_done_twice(lost: Fault) {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    let rows = people.merged();
    people.change_key(&["code"]);
    let wire = Wire::with(&people.database, lost, At::Statement("commit".to_owned()));
    let run = Job::new(&wire.url(&people.database))
        .args(["rebuild", "--platform", "main", "--store", "shop"])
        .args(["--dataset", "people", "--from", "staging", "--yes"])
        .run();
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("was made anew by batch 2"), "{run}");
    let attempts = usize::from(lost == Fault::LostStatement);
    assert_eq!(
        run.stderr.matches("trying again").count(),
        attempts,
        "{run}"
    );
    assert_eq!(people.kept(), "shop__people__until_2");
    assert_eq!(people.merged(), rows);
    people.is_clean();
}
