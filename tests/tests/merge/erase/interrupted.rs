//! An erasure that dies, or meets others, is done as a whole or not at all.

use std::thread::sleep;
use std::time::{Duration, Instant};

use acceptance::Cluster;
use milepost_job_spec::Outcome;
use milepost_merge_job::erase::STEPS;

use super::{ALL, CANARY, Message, People, UNCHANGED, everything, places_of};

fn people() -> People {
    let mut people = People::of(ALL);
    people.deliver(
        0,
        &[
            Message::of("c", CANARY, "1", 10),
            Message::of("u", CANARY, "1", 11),
            Message::of("c", "Ann", "1", 12),
            Message::of("u", CANARY, "1", 13).age("x"),
            Message::of("u", CANARY, "1", 14).notes(UNCHANGED),
        ],
    );
    people.merged();
    people
}

#[test]
fn an_erasure_killed_before_any_step_is_made_good_by_the_next() {
    let mut prepared = people();
    let before = everything(&mut prepared.database);
    for step in STEPS {
        let (original, copy) = Cluster::shared().copy(prepared.database);
        prepared.database = original;
        let mut people = People {
            database: copy,
            spec: prepared.spec.clone(),
        };
        let (who, number) = (format!("it's \"who\"={CANARY}"), "number=1");
        let run = acceptance::Job::erase(people.database.url(), &people.spec, "people")
            .args(["--key", &who, "--key", number, "--yes"])
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(run.code, -1, "step `{step}` was never reached: {run}");
        let committed = step == "vacuum";
        if committed {
            assert_eq!(
                places_of(&mut people.database, CANARY),
                Vec::<String>::new()
            );
        } else {
            wait_until_nobody_works(&mut people);
            assert_eq!(everything(&mut people.database), before, "before `{step}`");
        }
        // The lock of a run that died may hold for a moment.
        let until = Instant::now() + Duration::from_secs(60);
        while people.erase(CANARY, "1", &["--yes"]).code == i32::from(Outcome::Held.code()) {
            assert!(Instant::now() < until, "the lock stays");
            sleep(Duration::from_millis(50));
        }
        assert_eq!(
            places_of(&mut people.database, CANARY),
            Vec::<String>::new(),
            "before `{step}`"
        );
        assert_eq!(people.live(), "Ann=1.00");
        let batches = "select count(*) || ' ' || max(batch_number) from milepost.batches";
        assert_eq!(people.database.value(batches), "2 2", "before `{step}`");
        people.verified();
    }
}

fn wait_until_nobody_works(people: &mut People) {
    let others = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'milepost merge-job'";
    let until = Instant::now() + Duration::from_secs(60);
    while people.database.value(others) != "0" {
        assert!(Instant::now() < until, "a dead run's session stays");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_erasure_beside_a_merge_changes_nothing_and_a_plan_waits_for_nobody() {
    let mut people = people();
    let mut other = people.database.again();
    for lock in ["milepost.streams", "milepost.datasets"] {
        other.run(&format!("begin; select from {lock} for no key update"));
        let before = everything(&mut people.database);
        let run = people.erase(CANARY, "1", &["--yes"]);
        assert_eq!(run.code, i32::from(Outcome::Held.code()), "{run}");
        assert_eq!(everything(&mut people.database), before);
        let plan = people.erase(CANARY, "1", &[]);
        assert_eq!(plan.code, 0, "{plan}");
        other.run("rollback");
    }
    people.erased(CANARY, "1");
}

#[test]
fn a_run_whose_connection_breaks_at_the_commit_finds_out_what_became_of_it() {
    // The trigger waits for us inside the commit, so that the session can be ended before and after it counts.
    for (end, live) in [
        ("before", format!("Ann=1.00,{CANARY}=1.00")),
        ("after", "Ann=1.00".to_owned()),
    ] {
        let mut people = people();
        people.database.run(
            "create function hold() returns trigger language plpgsql as
               'begin perform pg_advisory_xact_lock(4711); return null; end';
             create constraint trigger hold after insert on milepost.erasures deferrable initially deferred
               for each row execute function hold()",
        );
        let mut other = people.database.again();
        other.run("select pg_advisory_lock(4711)");
        let (who, number) = (format!("it's \"who\"={CANARY}"), "number=1");
        let mut child = acceptance::Job::erase(people.database.url(), &people.spec, "people")
            .args(["--key", &who, "--key", number, "--yes"])
            .spawn();
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'";
        let until = Instant::now() + Duration::from_secs(60);
        while people.database.value(waiting) == "0" {
            assert!(Instant::now() < until, "the commit is never reached");
            sleep(Duration::from_millis(20));
        }
        if end == "before" {
            people.database.run(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'",
            );
        }
        other.run("select pg_advisory_unlock(4711)");
        let code = child.wait().expect("a child can be waited for").code();
        // The server said why it ended the session; nothing was erased.
        let expected = if end == "before" {
            Outcome::Unreachable
        } else {
            Outcome::Done
        };
        assert_eq!(code, Some(i32::from(expected.code())), "{end}");
        assert_eq!(people.live(), live, "{end}");
    }
}
