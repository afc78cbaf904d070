//! Every statement of a run may fail, or lose its connection before or after the server acted: running again ends where an
//! undisturbed run ends.

use std::io::Read as _;
use std::process::Command;
use std::time::{Duration, Instant};

use acceptance::{
    At, Cluster, Database, Fault, Job, Run, Wire, publish, publish_model, shop, stage, tally,
};
use milepost_job_spec::{Outcome, Strategy};
use milepost_simulator::StagedRow;
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
    let wire = Wire::to(&database);
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
        let wire = Wire::with(&database, fault, At::RoundTrip(at));
        let run = Job::merge(&wire.url(&database), &spec).run();
        assert!(wire.round_trips() >= at, "{when}: it was never reached");
        assert!([0, 1, 3].contains(&run.code), "{when}: {run}");
        if run.code != 0 {
            assert!(run.stderr.contains("hint: "), "{when}: {run}");
        }
        merge_until_done(&database, &spec);
        assert_eq!(Merged::of(&mut database, &spec), expected, "{when}");
        tally::count("histories", 1);
        tally::count("lost or refused statements", 1);
    }
    tally::keep();
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
        let wire = Wire::with(&database, Fault::Silence, At::RoundTrip(at));
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

/// A command that changes tables by itself, and the query that says whether it is done.
const COMMANDS: [(&[&str], &str); 3] = [
    (
        &["erase", "--dataset", "customers", "--key", "id=@", "--yes"],
        "select exists (select from milepost.erasures)",
    ),
    (
        &[
            "rebuild",
            "--dataset",
            "customers",
            "--from",
            "source",
            "--yes",
        ],
        "select count(*) = 1 from pg_class where relname like 'shop\\_\\_customers\\_\\_until\\_%' and relkind = 'r'",
    ),
    (
        &["migrate-tables", "--execute"],
        "select relkind = 'p' from pg_class where oid = 'main.shop__customers'::regclass",
    ),
];

/// A store that is merged as one transaction; the model of it that is published last wants history, where a migration begins it.
fn changing(command: &[&str]) -> (Database, Vec<String>) {
    let mut spec = shop::stream(Strategy::LiveOnly);
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let staged = shop::staged(&spec);
    let first = staged.iter().filter(|(at, _)| *at == 0);
    let rows: Vec<&StagedRow> = first.map(|(_, row)| row).collect();
    stage::rows(&mut database, &spec, &rows);
    Job::merge(database.url(), &spec).succeed();
    let mut arguments: Vec<String> = [command[0], "--platform", "main", "--store", "shop"]
        .iter()
        .chain(&command[1..])
        .map(|&word| {
            word.replace(
                '@',
                &database.value("select min(id) from main.shop__customers"),
            )
        })
        .collect();
    if command[0] == "migrate-tables" {
        spec = shop::stream(crate::ALL);
        let run = publish_model(&database, std::slice::from_ref(&spec), 2);
        assert_eq!(run.code, 1, "{run}");
        arguments.pop();
        let plan = Job::new(database.url())
            .args(arguments.iter().map(String::as_str))
            .run();
        let mut words = plan.stdout.split_whitespace();
        words.find(|word| *word == "--execute");
        let digest = words.next().unwrap_or_else(|| panic!("{plan}"));
        arguments.extend(["--execute".to_owned(), digest.to_owned()]);
    }
    (database, arguments)
}

#[test]
fn a_change_of_tables_that_loses_any_statement_is_whole_or_not_at_all() {
    let seed = crate::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let until = Instant::now() + crate::budget(SECONDS);
    for (command, is_done) in COMMANDS {
        let (mut prepared, arguments) = changing(command);
        let job = |url: &str| Job::new(url).args(arguments.iter().map(String::as_str));
        let (original, mut database) = Cluster::shared().copy(prepared);
        prepared = original;
        assert_eq!(database.value(is_done), "f", "{command:?}");
        let wire = Wire::to(&database);
        job(&wire.url(&database)).succeed();
        assert_eq!(database.value(is_done), "t", "{command:?}");
        let faults = [Fault::LostStatement, Fault::LostAnswer, Fault::Refused];
        let mut cases: Vec<(u32, Fault)> = (1..=wire.round_trips())
            .flat_map(|at| faults.map(|fault| (at, fault)))
            .collect();
        cases.shuffle(&mut rng);
        let share = (until - Instant::now()) / 3;
        let enough = Instant::now() + share;
        for (at, fault) in cases {
            if Instant::now() > enough {
                break;
            }
            let (original, mut database) = Cluster::shared().copy(prepared);
            prepared = original;
            let when = format!("{command:?}: {fault:?} at round trip {at}, MILEPOST_SEED={seed}");
            let live = "select count(*) from main.shop__orders";
            let before = database.value(live);
            let wire = Wire::with(&database, fault, At::RoundTrip(at));
            let run = job(&wire.url(&database)).run();
            assert!([0, 1, 2, 3].contains(&run.code), "{when}: {run}");
            if database.value(is_done) == "f" {
                assert_ne!(run.code, 0, "{when}: {run}");
                let again = until_free(|| job(database.url()).run());
                assert!(
                    again.code == 0 || command[0] == "migrate-tables",
                    "{when}: {again}"
                );
            }
            // Of a store's migration a part may be done: what is left is planned anew.
            if command[0] == "migrate-tables" {
                plan_and_execute(&database, &when);
            }
            assert_eq!(database.value(is_done), "t", "{when}");
            assert_eq!(database.value(live), before, "{when}");
            let gaps = database.value(
                "select max(batch_number) = count(*) from milepost.batches where status = 'succeeded'",
            );
            assert_eq!(gaps, "t", "{when}");
            let verified = Job::new(database.url())
                .args(["verify", "--platform", "main"])
                .run();
            assert_eq!(verified.code, 0, "{when}: {verified}");
        }
    }
}

fn plan_and_execute(database: &Database, when: &str) {
    let command = ["migrate-tables", "--platform", "main", "--store", "shop"];
    let plan = Job::new(database.url()).args(command).run();
    assert_eq!(plan.code, 0, "{when}: {plan}");
    let mut words = plan.stdout.split_whitespace();
    if words.find(|word| *word == "--execute").is_none() {
        return;
    }
    let digest = words.next().expect("a digest follows");
    let execute = || {
        Job::new(database.url())
            .args(command)
            .args(["--execute", digest])
            .run()
    };
    let run = until_free(execute);
    assert_eq!(run.code, 0, "{when}: {run}");
}

/// The server may not have noticed yet that a client is gone.
fn until_free(run: impl Fn() -> Run) -> Run {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let run = run();
        if run.code != i32::from(Outcome::Held.code()) || Instant::now() > until {
            return run;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
