//! All tables of a stream as of one moment, while others write to them, lock them, or read them too.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use acceptance::{Database, shop};
use milepost_job_spec::{DatasetSpec, Outcome};

use super::{ALL, Pair, items, says};

/// Two tables whose rows belong together: each transfer moves an amount from one to the other.
fn accounts() -> Pair {
    let of = |name: &str| -> DatasetSpec {
        shop::dataset(
            name,
            ALL,
            &["id"],
            &[("id", "bigint"), ("amount", "bigint")],
        )
    };
    Pair::of(
        vec![of("credits"), of("debits")],
        "create table credits (id bigint primary key, amount bigint not null);
         create table debits (id bigint primary key, amount bigint not null);
         insert into credits select i, 1000 from generate_series(1, 3000) i;
         insert into debits select i, 1000 from generate_series(1, 3000) i",
    )
}

/// Says that the others are done, also where they fail.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Writes transactions across both tables until the others are done; returns how many.
fn write(mut source: Database, done: &AtomicBool) -> u64 {
    let mut n = 0;
    while !done.load(Ordering::Acquire) {
        n += 1;
        let id = n % 3000 + 1;
        source.run(&format!(
            "begin; update credits set amount = amount - {n} where id = {id}; update debits set amount = amount + {n} where id = {id};
             insert into credits values ({new}, {n}); insert into debits values ({new}, -{n});
             delete from debits where id = {old}; delete from credits where id = {old}; commit",
            new = n + 10_000,
            old = n + 9_000,
        ));
    }
    n
}

#[test]
fn all_tables_are_seen_at_one_moment_while_others_write() {
    let mut pair = accounts();
    let done = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let (source, done_too) = (pair.source.again(), &done);
        let writer = scope.spawn(move || write(source, done_too));
        let ended = Done(&done);
        for _ in 0..8 {
            let run = pair.job().args(["--allow-missing"]).run();
            assert_eq!(run.code, 0, "{run}");
            // Every transaction leaves the sum of both as it was, and the same keys in both.
            let balance = pair.platform.value(
                "select concat_ws(' ', sum(amount), count(*) filter (where n <> 2))
                   from (select id, sum(amount) as amount, count(*) as n
                           from (select id, amount from main.shop__credits__live union all select id, amount from main.shop__debits__live) a
                          group by id) k",
            );
            assert_eq!(balance, "6000000 0");
        }
        drop(ended);
        writer.join().expect("the writer ended well")
    });
    assert!(written > 8, "the writer wrote {written} transactions");
    let run = pair.job().args(["--allow-missing"]).run();
    assert_eq!(run.code, 0, "{run}");
    pair.is_the_source();
    pair.every_batch_is_its_image();
}

#[test]
fn a_truncate_that_waits_for_the_image_does_not_empty_it() {
    // A table that is truncated between snapshot and lock would look empty: the second table is locked by then.
    let mut pair = accounts();
    pair.merge();
    let mut other = pair.source.again();
    other.run("begin; lock table debits in access exclusive mode");
    let job = pair.job().spawn();
    wait_until("the job waits for the table", || {
        is_waiting(&mut pair.source)
    });
    other.run("truncate debits; insert into debits select id, amount from credits; commit");
    let ended = job.wait_with_output().expect("it ends");
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    pair.is_the_source();
    assert_eq!(pair.counts(), "6000 0 0 6000 0; 0 0");
}

#[test]
fn a_table_that_stays_locked_is_told() {
    let mut pair = Pair::of_items(ALL);
    let mut other = pair.source.again();
    other.run("begin; lock table items in access exclusive mode");
    let begun = Instant::now();
    let run = pair.job().run();
    says(
        &run,
        Outcome::Findings,
        &[
            "failed to lock the tables at the source",
            "the next run tries again",
        ],
    );
    assert!(begun.elapsed() > Duration::from_secs(9));
    other.run("rollback");
    pair.merge();
}

#[test]
fn of_two_runs_at_once_one_reads() {
    let mut pair = Pair::of(
        vec![items(ALL)],
        "create table base as select i::bigint as id, 'v' as v from generate_series(1, 10) i;
         create view items as select id, v from base, pg_sleep(1.5)",
    );
    let first = pair.job().spawn();
    wait_until("the first run reads", || {
        pair.source.value("select count(*) from pg_stat_activity where query like 'copy%' and state = 'active' and datname = current_database()") == "1"
    });
    let second = pair.job().run();
    says(&second, Outcome::Held, &["another run holds stream"]);
    let ended = first.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(pair.batches(), "1");
    pair.is_the_source();
}

pub(super) fn is_waiting(source: &mut Database) -> bool {
    source.value(
        "select count(*) from pg_locks l join pg_database d on d.oid = l.database
          where not l.granted and d.datname = current_database()",
    ) != "0"
}

pub(super) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !happened() {
        assert!(Instant::now() < until, "in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}
