//! Many streams in one process: each is merged as by a run of its own.

use acceptance::{Cluster, Database, Job, Run, publish, shop, stage};
use milepost_job_spec::{Strategy, StreamSpec};
use milepost_simulator::{History, Settings};

use crate::ALL;

/// Streams of one table each, `items-0` and so on, with rows staged.
fn streams(count: usize) -> (Database, Vec<StreamSpec>) {
    let mut database = Cluster::shared().database();
    let specs: Vec<StreamSpec> = (0..count)
        .map(|number| {
            let strategy = if number % 2 == 0 {
                ALL
            } else {
                Strategy::LiveOnly
            };
            let name = format!("items_{number}");
            let columns = [("id", "bigint"), ("v", "integer?")];
            let mut spec = shop::stream(strategy);
            spec.stream.dataset = Some(name.clone());
            spec.datasets = vec![shop::dataset(&name, strategy, &["id"], &columns)];
            spec
        })
        .collect();
    publish(&database, &specs);
    for (seed, spec) in (0..).zip(&specs) {
        let mut history = History::with(spec, seed, Settings::default());
        stage::round(&mut database, spec, &history.round(10));
    }
    (database, specs)
}

fn share(database: &Database, share: &str) -> Run {
    Job::new(database.url())
        .args(["merge", "--platform", "main", "--shard", share])
        .run()
}

/// The streams that have batches, and how many.
fn batches(database: &mut Database) -> String {
    database.value(
        "select count(distinct stream_id) || ' ' || count(*) || ' ' || count(distinct batch_time)
           from milepost.batches where status = 'succeeded'",
    )
}

#[test]
fn shares_together_merge_every_stream_once() {
    let (mut database, specs) = streams(12);
    let mut merged = 0;
    for number in 1..=3 {
        let run = share(&database, &format!("{number}/3"));
        assert_eq!(run.code, 0, "{run}");
        let own: usize = run
            .stdout
            .lines()
            .filter(|line| line.contains(": 1 batch, "))
            .count();
        assert!(own > 0 && own < 12, "{run}");
        assert!(
            run.stdout.contains(&format!(
                "{own} streams: {own} merged, 0 with nothing to merge, 0 held, 0 failed"
            )),
            "{run}"
        );
        merged += own;
    }
    assert_eq!(merged, 12);
    assert_eq!(batches(&mut database), "12 12 12");
    for spec in &specs {
        Job::merge(database.url(), spec).succeed();
    }
    assert_eq!(batches(&mut database), "12 12 12");
    let run = share(&database, "1/1");
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout
            .contains("12 streams: 0 merged, 12 with nothing to merge"),
        "{run}"
    );
}

#[test]
fn a_stream_that_fails_or_is_held_keeps_no_other_from_being_merged() {
    let (mut database, _) = streams(5);
    database.run("update main_staging.shop__items_1 set __op = 'x'");
    let mut other = database.again();
    other.run("begin; select from milepost.streams where dataset = 'items_3' for no key update");
    let run = share(&database, "1/1");
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stdout
            .contains("5 streams: 3 merged, 0 with nothing to merge, 1 held, 1 failed"),
        "{run}"
    );
    assert!(
        run.stdout
            .contains("main/shop#items_3: held by another run\n"),
        "{run}"
    );
    assert!(run.stderr.contains("stream main/shop#items_1: "), "{run}");
    assert_eq!(batches(&mut database), "3 3 3");
    let failed =
        "select string_agg(dataset, ' ') from milepost.stream_status where status = 'failed'";
    assert_eq!(database.value(failed), "items_1");
    other.run("rollback");
    database.run("update main_staging.shop__items_1 set __op = 'c'");
    let run = share(&database, "0/1");
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(batches(&mut database), "5 5 5");
}

#[test]
fn a_share_of_which_all_is_held_is_held() {
    let (database, _) = streams(2);
    let mut other = database.again();
    other.run("begin; select from milepost.streams for no key update");
    let run = share(&database, "1/1");
    assert_eq!(run.code, 75, "{run}");
    other.run("rollback");
}

#[test]
fn a_share_of_nothing_is_no_failure_and_a_platform_of_nothing_is() {
    let (database, _) = streams(1);
    let codes: Vec<i32> = (1..=4)
        .map(|number| share(&database, &format!("{number}/4")).code)
        .collect();
    assert_eq!(codes, [0; 4]);
    let run = Job::new(database.url())
        .args(["merge", "--platform", "other", "--shard", "1/1"])
        .run();
    assert_eq!(run.code, 2, "{run}");
    for arguments in [
        &["--shard", "5/4"][..],
        &["--shard", "1/1", "--store", "shop"],
        &["--shard", "1/1", "--allow-missing"],
    ] {
        let run = Job::new(database.url())
            .args(["merge", "--platform", "main"])
            .args(arguments.iter().copied())
            .run();
        assert_eq!(run.code, 2, "{run}");
    }
}

#[test]
fn a_run_goes_on_when_its_connection_breaks() {
    let (mut database, _) = streams(6);
    // Whoever comes to this stream loses its connection, once.
    database.run(
        "create table public.hit (); create function public.cut() returns trigger language plpgsql as $$ begin
             if not exists (select from public.hit) then perform pg_terminate_backend(pg_backend_pid()); end if; return null; end $$;
         create trigger cut after insert on main.shop__items_3 execute function public.cut()",
    );
    let run = share(&database, "1/1");
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stdout
            .contains("6 streams: 5 merged, 0 with nothing to merge, 0 held, 1 failed"),
        "{run}"
    );
    database.run("insert into public.hit default values");
    let run = share(&database, "1/1");
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(batches(&mut database), "6 6 6");
}
