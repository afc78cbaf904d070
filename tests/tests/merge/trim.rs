//! `merge-job trim-staging`: merged rows go after their time, and nothing else does, whatever happens meanwhile (T57).

mod bloat;

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use acceptance::{Cluster, Database, Job, Run, publish, publish_model, shop};
use milepost_job_spec::{Strategy, TableRef};
use milepost_merge_job::trim::STEPS;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use test_case::test_case;

use crate::ALL;
use crate::topics::{Message, Things, YES, create, read};

/// Longer than rows are staged: what was merged by now was merged so long ago.
pub(crate) fn age(database: &mut Database) {
    database.run("update milepost.batches set finished_at = finished_at - interval '8 days'");
}

pub(crate) fn trim(database: &Database, arguments: &[&str]) -> Run {
    Job::new(database.url())
        .args(std::iter::once("trim-staging").chain(arguments.iter().copied()))
        .run()
}

impl Things {
    fn trimmed(&mut self) -> String {
        let run = trim(&self.database, &[]);
        assert_eq!(run.code, 0, "{run}");
        self.offsets()
    }

    fn offsets(&mut self) -> String {
        self.database.value(
            "select coalesce(string_agg(__connect_offset::text, ' ' order by __connect_partition, __connect_offset), '') from main_staging.shop__things",
        )
    }
}

fn creates(ids: std::ops::Range<i64>) -> Vec<Message> {
    ids.map(|id| create(id, "a", 10 + id)).collect()
}

#[test_case(ALL; "all versions")]
#[test_case(Strategy::LiveOnly; "live only")]
fn rows_go_a_time_after_their_batch_and_the_one_at_the_watermark_stays(strategy: Strategy) {
    let mut things = Things::of(strategy);
    things.deliver(0, &creates(0..5));
    things.merged();
    assert_eq!(things.trimmed(), "0 1 2 3 4", "merged a moment ago");
    age(&mut things.database);
    things.deliver(5, &creates(5..8));
    let live = things.merged();
    things.deliver(8, &creates(8..9));
    let dry = trim(&things.database, &["--dry-run"]);
    assert!(
        dry.stdout.contains("main_staging.shop__things: 5 rows"),
        "{dry}"
    );
    assert_eq!(
        things.offsets(),
        "0 1 2 3 4 5 6 7 8",
        "a dry run changes nothing"
    );
    assert_eq!(
        things.trimmed(),
        "5 6 7 8",
        "what was merged since stays, and what was not"
    );
    assert_eq!(things.live(), live);
    assert_eq!(things.merged(), format!("{live},8=a"));
    age(&mut things.database);
    assert_eq!(things.trimmed(), "8");
    assert_eq!(things.trimmed(), "8", "once more");
    let verified = Job::new(things.database.url()).args(["verify", "--platform", "main"]);
    verified.succeed();
}

#[test]
fn nothing_of_a_batch_is_waited_for() {
    let mut things = Things::of(ALL);
    things.deliver(0, &creates(0..5));
    things.merged();
    age(&mut things.database);
    let mut other = things.database.again();
    other.run(
        "begin; select from milepost.streams for no key update; select from milepost.datasets for no key update;
         update milepost.positions set in_snapshot = false",
    );
    assert_eq!(things.trimmed(), "4");
    other.run("rollback");
}

#[test]
fn a_clock_that_goes_back_keeps_rows_longer_and_never_shorter() {
    let mut things = Things::of(ALL);
    things.deliver(0, &creates(0..3));
    things.merged();
    // The clock was days ahead then.
    things
        .database
        .run("update milepost.batches set finished_at = finished_at + interval '3 days'");
    things.deliver(3, &creates(3..6));
    things.merged();
    things
        .database
        .run("update milepost.batches set finished_at = finished_at - interval '8 days'");
    assert_eq!(
        things.trimmed(),
        "0 1 2 3 4 5",
        "the later batch seems to be older"
    );
    age(&mut things.database);
    assert_eq!(things.trimmed(), "5");
}

#[test]
fn an_open_snapshot_keeps_what_tells_which_rows_it_has() {
    let mut things = Things::of(ALL);
    things.deliver(0, &creates(0..4));
    things.merged();
    things.deliver(
        4,
        &[
            read(0, "r", 90, "first"),
            read(1, "r", 90, "true"),
            read(2, "r", 90, "true"),
        ],
    );
    things.merged();
    age(&mut things.database);
    assert_eq!(things.trimmed(), "4 5 6");
    things.deliver(7, &[read(5, "r", 90, "last")]);
    assert_eq!(
        things.merged(),
        "0=r,1=r,2=r,5=r",
        "the fourth is gone at the source"
    );
    age(&mut things.database);
    assert_eq!(things.trimmed(), "7");
}

#[test]
fn open_quarantine_keeps_its_row_and_the_marks_of_snapshots_behind_it() {
    let mut things = Things::of(ALL);
    things.deliver(0, &creates(0..4));
    things
        .database
        .run("update main_staging.shop__things set id = null where id = 2");
    things.merged();
    things.deliver(
        4,
        &[
            read(0, "r", 90, "first"),
            read(1, "r", 90, "true"),
            read(3, "r", 90, "last"),
            create(6, "b", 99),
        ],
    );
    assert_eq!(things.merged(), "0=r,1=r,3=r,6=b");
    age(&mut things.database);
    assert_eq!(
        things.trimmed(),
        "2 4 6 7",
        "the entry's, two marks, the watermark's"
    );
    // Mended, the row of key 2 is one that the whole snapshot behind it does not have.
    things
        .database
        .run("update milepost.quarantine set payload = payload || '{\"id\": 2}'");
    let replay = Job::quarantine(things.database.url(), &things.spec, "replay");
    replay.args(["--yes"]).succeed();
    assert_eq!(
        things
            .database
            .value("select status from milepost.quarantine"),
        "superseded"
    );
    assert_eq!(things.live(), "0=r,1=r,3=r,6=b");
    assert_eq!(things.trimmed(), "7");
}

#[test]
fn an_entry_whose_later_rows_may_be_gone_is_not_replayed_however_young_it_is() {
    let mut things = Things::of(ALL);
    things.deliver(0, &creates(0..2));
    things
        .database
        .run("update main_staging.shop__things set id = null where id = 0");
    things.deliver(2, &[create(7, "later", 90), create(8, "b", 91)]);
    assert_eq!(things.merged(), "1=a,7=later,8=b");
    // Rows were kept shortly, and the model says now that they are kept for long.
    age(&mut things.database);
    assert_eq!(things.trimmed(), "0 3");
    things
        .database
        .run("update milepost.quarantine set payload = payload || '{\"id\": 7}'");
    let replay = Job::quarantine(things.database.url(), &things.spec, "replay");
    replay.args(["--yes"]).succeed();
    assert_eq!(things.live(), "1=a,7=later,8=b");
    assert!(
        things
            .database
            .value("select status || ' ' || reason from milepost.quarantine")
            .starts_with("open "),
    );
}

#[test]
fn a_topic_that_was_made_again_is_told_before_its_rows_are_trimmed() {
    let mut things = Things::of(ALL);
    things.deliver(0, &creates(0..9));
    things.merged();
    age(&mut things.database);
    things.deliver(0, &[create(1, "new", 200), create(2, "new", 201)]);
    for arguments in [&["--dry-run"][..], &[]] {
        let run = trim(&things.database, arguments);
        assert_eq!(run.code, 1, "{run}");
        assert!(
            run.stderr.contains("is not the one that was merged"),
            "{run}"
        );
        assert!(run.stderr.contains("--as recreated"), "{run}");
        assert_eq!(things.offsets(), "0 1 2 3 4 5 6 7 8");
    }
    // The old topic's batches are old; those of the new one are not.
    assert_eq!(things.accept("recreated", &YES).code, 0);
    things.deliver(0, &[create(1, "new", 200), create(2, "new", 201)]);
    assert_eq!(things.trimmed(), "0 1", "nothing of it is merged");
    things.merged();
    assert_eq!(things.trimmed(), "0 1", "nothing of it was merged long ago");
    age(&mut things.database);
    assert_eq!(things.trimmed(), "1");
}

/// The sink writes the first rows of the new topic while the trim begins: its transaction is waited for.
#[test]
fn a_topic_that_is_made_again_at_that_moment_is_told_too() {
    let mut things = Things::of(ALL);
    things.deliver(0, &creates(0..9));
    things.merged();
    age(&mut things.database);
    let mut sink = things.database.again();
    std::mem::swap(&mut things.database, &mut sink);
    things.database.run("begin");
    things.deliver(0, &[create(1, "new", 200), create(2, "new", 201)]);
    let trimming = Job::new(sink.url()).args(["trim-staging"]).spawn();
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    let until = Instant::now() + Duration::from_secs(30);
    while sink.value(waits) == "0" {
        assert!(Instant::now() < until, "it waits for nobody");
        sleep(Duration::from_millis(10));
    }
    things.database.run("commit");
    let run = trimming.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{told}");
    assert!(told.contains("is not the one that was merged"), "{told}");
    assert_eq!(things.offsets(), "0 1 2 3 4 5 6 7 8");
}

/// The lowest row is trimmed, and no batch has come since.
#[test]
fn a_topic_is_told_from_another_one_after_its_rows_are_trimmed() {
    let mut things = Things::of(ALL);
    things.deliver(0, &creates(0..9));
    things.merged();
    age(&mut things.database);
    assert_eq!(things.trimmed(), "8");
    // Delivered again, it is the same; trimmed again, too.
    things.deliver(2, &creates(2..5));
    things.merged();
    assert_eq!(things.trimmed(), "8");
    things.deliver(0, &creates(0..3));
    things.deliver(9, &creates(9..10));
    things.merged();
    assert_eq!(things.trimmed(), "9", "the watermark has moved on");
    things.deliver(0, &[create(1, "new", 200)]);
    let run = things.merge();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr.contains("another row stands at offset 0"),
        "{run}"
    );
    assert_eq!(trim(&things.database, &[]).code, 1);
    assert_eq!(things.offsets(), "0 9");
}

#[test]
fn a_run_killed_before_any_step_leaves_whole_transactions() {
    for step in STEPS {
        let mut things = Things::of(ALL);
        things.deliver(0, &creates(0..6));
        let live = things.merged();
        age(&mut things.database);
        let run = Job::new(things.database.url())
            .args(["trim-staging"])
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(run.code, -1, "step `{step}` was never reached: {run}");
        let left = things.offsets();
        let is_done = ["trim-next", "trim-vacuum"].contains(&step);
        assert_eq!(left, if is_done { "5" } else { "0 1 2 3 4 5" }, "{step}");
        let noted = things.database.rows("select from milepost.retention").len();
        assert_eq!(noted, usize::from(is_done), "{step}");
        // The lock of the dead run's lowest row goes within moments.
        assert_eq!(things.trimmed(), "5", "{step}");
        things.deliver(6, &creates(6..7));
        assert_eq!(things.merged(), format!("{live},6=a"), "{step}");
    }
}

#[test]
fn ends_of_transactions_go_like_rows() {
    let mut spec = shop::stream(ALL);
    spec.datasets = ["one", "two"]
        .map(|name| shop::dataset(name, ALL, &["id"], &[("id", "bigint"), ("v", "text?")]))
        .into();
    spec.transactions = Some(TableRef {
        schema: "main_staging".parse().expect("it is a name"),
        name: "shop__control".parse().expect("it is a name"),
    });
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let transaction = |database: &mut Database, n: i64| {
        let commit = 10 * (n + 1);
        for table in ["one", "two"] {
            database.run(&format!(
                "insert into main_staging.shop__{table} (id, v, __op, __sequence, __lsn, __transaction_id, __snapshot,
                     __source_ts_us, __connect_topic, __connect_partition, __connect_offset)
                 values ({n}, 'x', 'c', '[\"{commit}\",\"{commit}\"]', {commit}, '{commit}:{commit}', 'false', {n}, '{table}', 0, {n})"
            ));
        }
        database.run(&format!(
            r#"insert into main_staging.shop__control (payload, __connect_topic, __connect_partition, __connect_offset)
               values ('{{"status":"END","id":"{commit}:{}","event_count":2,"data_collections":[{{"data_collection":"shop.one","event_count":1}},{{"data_collection":"shop.two","event_count":1}}]}}', 'tx', 0, {n})"#,
            commit + 5
        ));
    };
    for n in 0..4 {
        transaction(&mut database, n);
    }
    Job::merge(database.url(), &spec).succeed();
    age(&mut database);
    // Not merged: half of it is not there.
    transaction(&mut database, 4);
    database.run("delete from main_staging.shop__two where id = 4");
    let run = trim(&database, &["--platform", "main", "--store", "shop"]);
    assert_eq!(run.code, 0, "{run}");
    let left = |database: &mut Database| {
        database.value(
            "select string_agg(t || __connect_offset, ' ' order by t, __connect_offset) from (
                 select 'one' as t, __connect_offset from main_staging.shop__one union all
                 select 'two', __connect_offset from main_staging.shop__two union all
                 select 'end', __connect_offset from main_staging.shop__control) s",
        )
    };
    assert_eq!(left(&mut database), "end3 end4 one3 one4 two3");
    Job::merge(database.url(), &spec).succeed();
    assert_eq!(
        database.value("select max(id) from main.shop__one"),
        "3",
        "its other half is awaited"
    );
    database.run(
        "insert into main_staging.shop__two (id, v, __op, __sequence, __lsn, __transaction_id, __snapshot,
             __source_ts_us, __connect_topic, __connect_partition, __connect_offset)
         values (4, 'x', 'c', '[\"50\",\"50\"]', 50, '50:50', 'false', 4, 'two', 0, 4)",
    );
    Job::merge(database.url(), &spec).succeed();
    assert_eq!(database.value("select max(id) from main.shop__two"), "4");
    age(&mut database);
    assert_eq!(trim(&database, &[]).code, 0);
    assert_eq!(left(&mut database), "end4 one4 two4");
}

#[test]
fn a_store_that_becomes_one_stream_keeps_what_its_several_merged_lately() {
    let whole = {
        let mut spec = shop::stream(ALL);
        spec.datasets = ["one", "two"]
            .map(|name| shop::dataset(name, ALL, &["id"], &[("id", "bigint"), ("v", "text?")]))
            .into();
        spec
    };
    let single = shop::single_streams(&whole);
    let mut database = Cluster::shared().database();
    publish(&database, &single);
    let stage = |database: &mut Database, from: i64, to: i64| {
        for table in ["one", "two"] {
            database.run(&format!(
                "insert into main_staging.shop__{table} (id, v, __op, __sequence, __lsn, __transaction_id, __snapshot,
                     __source_ts_us, __connect_topic, __connect_partition, __connect_offset)
                 select n, 'x', 'c', format('[\"%s\",\"%s\"]', n, n), n, n || ':1', 'false', n, '{table}', 0, n from generate_series({from}, {to}) n"
            ));
        }
    };
    let left = |database: &mut Database| {
        database.value(
            "select string_agg(t || __connect_offset, ' ' order by t, __connect_offset) from (
                 select 'one' as t, __connect_offset from main_staging.shop__one union all
                 select 'two', __connect_offset from main_staging.shop__two) s",
        )
    };
    stage(&mut database, 0, 1);
    for spec in &single {
        Job::merge(database.url(), spec).succeed();
    }
    age(&mut database);
    stage(&mut database, 2, 3);
    // One of them alone goes on, then both as one.
    Job::merge(database.url(), &single[0]).succeed();
    let run = publish_model(&database, std::slice::from_ref(&whole), 2);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(trim(&database, &[]).code, 0);
    assert_eq!(left(&mut database), "one2 one3 two1 two2 two3");
    Job::merge(database.url(), &whole).succeed();
    age(&mut database);
    stage(&mut database, 4, 4);
    Job::merge(database.url(), &whole).succeed();
    let run = publish_model(&database, &single, 3);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(trim(&database, &[]).code, 0);
    assert_eq!(
        left(&mut database),
        "one4 two4",
        "their last batch alone is young"
    );
}

#[test]
fn a_scope_without_streams_is_an_error_and_a_database_without_them_is_not() {
    let database = Cluster::shared().database();
    let run = trim(&database, &[]);
    assert_eq!(run.code, 0, "{run}");
    let run = trim(&database, &["--platform", "other"]);
    assert_eq!(run.code, 2, "{run}");
    assert_eq!(trim(&database, &["--store", "shop"]).code, 2);
}

/// Rows come, come again, are merged, and go, at the same time: what is live is what the source has, and nothing goes
/// that was not merged.
#[test_case(ALL; "all versions")]
#[test_case(Strategy::LiveOnly; "live only")]
fn trims_at_any_moment_lose_nothing(strategy: Strategy) {
    let seed = crate::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut things = Things::of(strategy);
    let mut truth: BTreeMap<i64, String> = BTreeMap::new();
    let mut topic: Vec<Message> = Vec::new();
    let mut versions = 0;
    for step in 0..50 {
        let when = format!("MILEPOST_SEED={seed}, step {step}");
        let trimming = rng.random_bool(0.5).then(|| {
            Job::new(things.database.url())
                .args(["trim-staging"])
                .spawn()
        });
        // The sink's group may have been set back a little.
        let from = topic.len() - rng.random_range(0..=topic.len().min(8));
        for _ in 0..rng.random_range(0..12) {
            let position = 10 + i64::try_from(topic.len()).expect("few messages");
            let id = rng.random_range(0..6);
            let word = format!("w{position}");
            let is_deleted = truth.contains_key(&id) && rng.random_bool(0.3);
            if is_deleted {
                truth.remove(&id);
            } else {
                truth.insert(id, word.clone());
                versions += 1;
            }
            topic.push(Message {
                op: if is_deleted { "d" } else { "u" },
                ..create(id, &word, position)
            });
        }
        things.deliver(i64::try_from(from).expect("few messages"), &topic[from..]);
        let merging = rng.random_bool(0.8);
        let live: Vec<String> = truth
            .iter()
            .map(|(id, word)| format!("{id}={word}"))
            .collect();
        if merging {
            assert_eq!(things.merged(), live.join(","), "{when}");
        }
        if let Some(mut trimming) = trimming {
            let status = trimming.wait().expect("a child can be waited for");
            assert!(status.success(), "{when}: {status}");
        }
        let unmerged = things.database.value(
            "select count(*) from main_staging.shop__things where __connect_offset > coalesce((select watermark from milepost.positions), -1)",
        );
        if rng.random_bool(0.4) {
            age(&mut things.database);
        }
        things.trimmed();
        assert_eq!(
            things.database.value(
                "select count(*) from main_staging.shop__things where __connect_offset > coalesce((select watermark from milepost.positions), -1)",
            ),
            unmerged,
            "{when}"
        );
    }
    things.merged();
    age(&mut things.database);
    assert_eq!(
        things.trimmed(),
        (topic.len() - 1).to_string(),
        "MILEPOST_SEED={seed}"
    );
    if strategy == ALL {
        assert_eq!(
            things
                .database
                .value("select count(*) from main.shop__things"),
            versions.to_string(),
            "MILEPOST_SEED={seed}"
        );
    }
    Job::new(things.database.url())
        .args(["verify", "--platform", "main"])
        .succeed();
    // And a topic that is made again is noticed.
    let last = 10 + i64::try_from(topic.len()).expect("few messages");
    things.deliver(0, &[create(1, "new", last + 100)]);
    assert_eq!(things.merge().code, 1, "MILEPOST_SEED={seed}");
}
