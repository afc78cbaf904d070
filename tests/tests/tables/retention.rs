//! `merge-job trim-history`: versions go when no group keeps them, and nobody is given a part of what was.

use acceptance::{Cluster, Database, Job, Run, publish, stage};
use milepost_job_spec::{Strategy, StreamSpec};
use milepost_merge_job::trim::HISTORY_STEPS;
use milepost_simulator::History;
use postgres::{Client, NoTls};

use crate::{COLUMNS, MILESTONED, ident, people, publish_ok, verify};

/// The last batch of [`filled`] was on the first of March.
const HORIZON: &str = "2026-01-30 00:00:00";
const BEFORE: &str = "2026-01-29 23:59:59.999999";

fn trim(database: &Database, arguments: &[&str]) -> Run {
    Job::new(database.url())
        .args(std::iter::once("trim-history").chain(arguments.iter().copied()))
        .run()
}

fn trimmed(database: &Database) -> Run {
    let run = trim(database, &[]);
    assert_eq!(run.code, 0, "{run}");
    run
}

/// Versions are kept for so many days.
fn kept(days: Option<u64>) -> StreamSpec {
    let mut spec = people(MILESTONED, &COLUMNS);
    spec.datasets[0].policy.history_seconds = days.map(|days| days * 24 * 60 * 60);
    spec
}

/// Versions that ended before, at and behind the horizon of thirty days, and one that is live.
fn filled(spec: &StreamSpec) -> Database {
    let mut database = Cluster::shared().database();
    publish_ok(&database, std::slice::from_ref(spec), 1);
    database.run(
        "insert into main.shop__people (id, name, dp_in, dp_out) values
             (1, 'long ago', '2025-01-01', '2026-01-10'),
             (1, 'at it', '2026-01-10', '2026-01-30'),
             (2, 'behind', '2025-01-01', '2026-01-30 00:00:00.000001'),
             (3, 'later', '2026-02-01', '2026-02-10'),
             (1, 'live', '2026-01-30', null);
         update milepost.datasets set last_batch_time = '2026-03-01';
         insert into milepost.batches (stream_id, platform, store, dataset, batch_number, batch_time, status, started_at, finished_at, model_version, spec_version)
         select id, platform, store, dataset, 1, '2026-03-01', 'succeeded', '2026-03-01', '2026-03-01', '', 2 from milepost.streams;
         insert into milepost.batch_datasets select id, 'people', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 from milepost.batches;
         update milepost.streams set batch_number = 1",
    );
    database
}

fn names(database: &mut Database) -> String {
    database
        .value("select coalesce(string_agg(name, ', ' order by name), '') from main.shop__people")
}

fn as_of(database: &mut Database, moment: &str) -> String {
    database.value(&format!(
        "select coalesce(string_agg(name, ', ' order by name), '') from risk.shop__people__as_of('{moment}')"
    ))
}

/// SQLSTATE and message of a statement that fails.
fn refused(client: &mut Client, sql: &str) -> (String, String) {
    let error = client.simple_query(sql).expect_err("it is refused");
    let error = error.as_db_error().expect("the server says so");
    (error.code().code().to_owned(), error.message().to_owned())
}

fn client(database: &Database) -> Client {
    Client::connect(database.url(), NoTls).expect("the database is there")
}

fn horizon(database: &mut Database) -> String {
    database.value("select coalesce(max(history_from)::text, 'none') from milepost.retention")
}

#[test]
fn what_ended_at_or_before_the_horizon_goes_and_nobody_gets_a_part() {
    let mut database = filled(&kept(Some(30)));
    let dry = trim(&database, &["--dry-run"]);
    assert!(
        dry.stdout.contains("main.shop__people__closed: 2 rows"),
        "{dry}"
    );
    assert_eq!(horizon(&mut database), "none", "a dry run changes nothing");
    assert_eq!(as_of(&mut database, BEFORE), "at it, behind");
    let expected = as_of(&mut database, HORIZON);
    let run = trimmed(&database);
    assert!(
        run.stdout.contains("history is kept from 2026-01-30"),
        "{run}"
    );
    assert_eq!(names(&mut database), "behind, later, live");
    assert_eq!(as_of(&mut database, HORIZON), expected);
    assert_eq!(expected, "behind, live");
    assert_eq!(as_of(&mut database, "2026-02-05"), "later, live");
    let mut reader = client(&database);
    reader
        .batch_execute("set role risk")
        .expect("the role is there");
    let (state, message) = refused(
        &mut reader,
        &format!("select * from risk.shop__people__as_of('{BEFORE}')"),
    );
    assert_eq!(state, "22008");
    assert_eq!(
        message,
        "history of shop#people is kept from 2026-01-30 00:00:00+00 on: rows as of 2026-01-29 23:59:59.999999+00 are not known any more"
    );
    reader
        .batch_execute(&format!("select * from risk.shop__people__as_of('{HORIZON}'); select * from risk.shop__people__as_of(null)"))
        .expect("they are known");
    assert_eq!(verify(&database, &[]).code, 0);
    assert!(trimmed(&database).stdout.contains("0 rows"));
}

#[test]
fn what_is_kept_for_ever_and_what_has_no_versions_stays() {
    let mut database = filled(&kept(None));
    trimmed(&database);
    assert_eq!(horizon(&mut database), "none");
    assert_eq!(as_of(&mut database, "2025-06-01"), "behind, long ago");
    // Nothing is old enough: every moment is still known.
    let mut database = filled(&kept(Some(300)));
    trimmed(&database);
    assert_eq!(horizon(&mut database), "none");
    assert_eq!(as_of(&mut database, "2024-01-01"), "");
    let mut database = filled(&kept(Some(u64::MAX / (24 * 60 * 60))));
    trimmed(&database);
    assert_eq!(names(&mut database).split(", ").count(), 5);
    let spec = people(Strategy::LiveOnly, &COLUMNS);
    let database = Cluster::shared().database();
    publish_ok(&database, &[spec], 1);
    trimmed(&database);
    assert_eq!(trim(&database, &["--platform", "other"]).code, 2);
}

#[test]
fn a_plan_that_keeps_more_brings_nothing_back() {
    let mut database = filled(&kept(Some(30)));
    trimmed(&database);
    for (order, days) in [(2, Some(300)), (3, None)] {
        publish_ok(&database, &[kept(days)], order);
        trimmed(&database);
        assert_eq!(horizon(&mut database), "2026-01-30 00:00:00+00");
        assert_eq!(names(&mut database), "behind, later, live");
        let (state, _) = refused(
            &mut client(&database),
            &format!("select * from risk.shop__people__as_of('{BEFORE}')"),
        );
        assert_eq!(state, "22008");
    }
    publish_ok(&database, &[kept(Some(10))], 4);
    trimmed(&database);
    assert_eq!(horizon(&mut database), "2026-02-19 00:00:00+00");
    assert_eq!(names(&mut database), "live");
}

#[test]
fn of_clock_and_last_batch_the_earlier_decides() {
    let mut database = filled(&kept(Some(30)));
    // The clock was ahead when the last batch came.
    database.run(
        "update milepost.datasets set last_batch_time = now() + interval '10 years';
         delete from main.shop__people;
         insert into main.shop__people (id, name, dp_in, dp_out) values
             (1, 'forty days', '2020-01-01', now() - interval '40 days'), (2, 'twenty days', '2020-01-01', now() - interval '20 days')",
    );
    trimmed(&database);
    assert_eq!(names(&mut database), "twenty days");
    // A stream that stands still keeps what it kept.
    let mut database = filled(&kept(Some(30)));
    database.run("update milepost.datasets set last_batch_time = '2026-01-20'");
    trimmed(&database);
    assert_eq!(horizon(&mut database), "none");
    // Before the first batch there is none.
    database.run("update milepost.datasets set last_batch_time = null");
    trimmed(&database);
    assert_eq!(horizon(&mut database), "none");
}

#[test]
fn a_reader_that_began_earlier_sees_all_to_its_end() {
    let mut database = filled(&kept(Some(30)));
    let mut reader = database.again();
    let mut prepared = client(&database);
    let old = format!("select name from risk.shop__people__as_of('{BEFORE}') order by 1");
    prepared
        .batch_execute(&format!(
            "set plan_cache_mode = force_generic_plan; prepare old as {old}; execute old"
        ))
        .expect("it is known");
    reader.run("begin isolation level repeatable read");
    assert_eq!(as_of(&mut reader, BEFORE), "at it, behind");
    trimmed(&database);
    assert_eq!(
        as_of(&mut reader, BEFORE),
        "at it, behind",
        "in its snapshot all is there"
    );
    assert_eq!(
        reader.value("select count(*) from risk.shop__people__history"),
        "5"
    );
    reader.run("commit");
    assert_eq!(refused(&mut prepared, "execute old").0, "22008");
    assert_eq!(
        database.value("select count(*) from risk.shop__people__history"),
        "3"
    );
}

#[test]
fn the_horizon_is_asked_once_and_rows_are_found_by_index() {
    let database = filled(&kept(Some(30)));
    trimmed(&database);
    let plan = |sql: &str| -> String {
        let rows = database.again().rows(&format!(
            "set role risk; set enable_seqscan = off; explain (costs off) {sql}"
        ));
        let lines: Vec<String> = rows.into_iter().flatten().flatten().collect();
        lines.join("\n")
    };
    let one = plan("select name from risk.shop__people__as_of('2026-02-01') where id = 7");
    assert!(
        one.contains("One-Time Filter: shop__people__history"),
        "{one}"
    );
    assert!(one.contains("shop__people__live_pkey"), "{one}");
    assert!(one.contains("shop__people__closed_pkey"), "{one}");
    assert!(!one.contains("Function Scan"), "{one}");
    let many = plan(
        "select a.name from (values (1, timestamptz '2026-02-01'), (2, '2026-02-02')) m(id, at)
           cross join lateral risk.shop__people__as_of(m.at) a where a.id = m.id",
    );
    assert!(many.contains("shop__people__live_pkey"), "{many}");
    // One moment of many that is before the horizon spoils the answer.
    let (state, _) = refused(
        &mut client(&database),
        &format!(
            "select a.name from (values (1, timestamptz '2026-02-01'), (2, '{BEFORE}')) m(id, at)
               cross join lateral risk.shop__people__as_of(m.at) a where a.id = m.id"
        ),
    );
    assert_eq!(state, "22008");
}

/// Grants and views of others on ours, and the numbers of ours.
const READERS: &str = "
    grant usage on schema risk to analyst;
    grant execute on function risk.shop__people__as_of to analyst;
    grant select on risk.shop__people__history to analyst;
    create schema lab;
    create view lab.history as select name, dp_out from risk.shop__people__history;
    create view lab.then as select name from risk.shop__people__as_of('2026-02-05')";
const NUMBERS: &str = "select string_agg(name, ' ' order by name) from (
    select relname || ':' || oid as name from pg_class where relnamespace = 'risk'::regnamespace
    union all select proname || ':' || oid from pg_proc where pronamespace = 'risk'::regnamespace) o";

fn analyst_reads(database: &Database) {
    let mut analyst = database.again();
    analyst.run("set role analyst");
    assert_eq!(as_of(&mut analyst, "2026-02-05"), "later, live");
    let mut analyst = client(database);
    analyst
        .batch_execute("set role analyst")
        .expect("the role is there");
    let old = format!("select * from risk.shop__people__as_of('{BEFORE}')");
    assert_eq!(refused(&mut analyst, &old).0, "22008");
}

fn with_readers(spec: &StreamSpec) -> Database {
    let mut database = filled(spec);
    database.run(
        "do $$ begin create role analyst; exception when duplicate_object or unique_violation then null; end $$",
    );
    database.run(READERS);
    database
}

#[test]
fn views_and_functions_stay_as_they_are_when_the_horizon_moves() {
    let mut database = with_readers(&kept(Some(30)));
    let before = database.value(NUMBERS);
    trimmed(&database);
    assert_eq!(database.value(NUMBERS), before);
    analyst_reads(&database);
    assert_eq!(
        database.value("select string_agg(name, ', ' order by name) from lab.history"),
        "behind, later, live"
    );
    assert_eq!(
        database.value("select string_agg(name, ', ' order by name) from lab.then"),
        "later, live"
    );
    assert!(
        Job::new(database.url())
            .args(["reconcile-views"])
            .run()
            .stdout
            .contains("0 made or changed, 0 dropped")
    );
}

/// As the release before made it: it knows of no horizon.
const OLD_FUNCTION: &str = "
    create or replace function risk.shop__people__as_of(timestamptz)
        returns table (id bigint, email character varying(20), balance numeric(8,2), seen timestamp(3) without time zone, name text)
    language sql stable parallel safe
    begin atomic
    select v.id, v.email, v.balance, v.seen, v.name from risk.shop__people__history v where v.dp_in <= $1 and (v.dp_out is null or v.dp_out > $1);
    end;
    comment on function risk.shop__people__as_of(timestamptz) is 'milepost: 0000';
    drop function risk.shop__people__history(timestamptz)";

#[test]
fn functions_that_know_of_no_horizon_are_made_before_anything_goes() {
    let mut database = with_readers(&kept(Some(30)));
    database.run(OLD_FUNCTION);
    // That takes the lock of the stream, once.
    let mut other = database.again();
    other.run("begin; select from milepost.streams for no key update");
    let run = trim(&database, &[]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(horizon(&mut database), "none");
    other.run("rollback");
    trimmed(&database);
    analyst_reads(&database);
    assert_eq!(
        database.value("select string_agg(name, ', ' order by name) from lab.then"),
        "later, live"
    );
    // Where nobody reads the function it is made again as a whole.
    let mut database = filled(&kept(Some(30)));
    database.run(OLD_FUNCTION);
    publish_ok(&database, &[kept(Some(30))], 2);
    trimmed(&database);
    let old = format!("select * from risk.shop__people__as_of('{BEFORE}')");
    assert_eq!(refused(&mut client(&database), &old).0, "22008");
}

#[test]
fn a_function_that_no_stream_has_any_more_goes_first() {
    let spec = kept(Some(30));
    let mut database = filled(&spec);
    database.run(OLD_FUNCTION);
    let mut other = spec.clone();
    other.datasets[0].views[0].schema = ident("ledger");
    other.datasets[0].views[0].role = ident("ledger");
    publish_ok(&database, &[other], 2);
    let run = trim(&database, &[]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("`risk.shop__people__as_of`"), "{run}");
    assert!(run.stderr.contains("merge-job reconcile-views"), "{run}");
    assert_eq!(horizon(&mut database), "none");
    assert_eq!(names(&mut database).split(", ").count(), 5);
    Job::new(database.url()).args(["reconcile-views"]).succeed();
    trimmed(&database);
    assert_eq!(names(&mut database), "behind, later, live");
}

#[test]
fn nothing_of_a_batch_is_waited_for() {
    let mut database = filled(&kept(Some(30)));
    let mut other = database.again();
    other.run(
        "begin; select from milepost.streams for no key update; select from milepost.datasets for no key update;
         insert into main.shop__people (id, name, dp_in, dp_out) values (9, 'of the batch', '2026-03-01', '2026-03-02')",
    );
    trimmed(&database);
    other.run("commit");
    assert_eq!(names(&mut database), "behind, later, live, of the batch");
}

#[test]
fn a_run_killed_before_any_step_is_made_good_and_nobody_gets_a_part_meanwhile() {
    for step in HISTORY_STEPS {
        let mut database = filled(&kept(Some(30)));
        let run = Job::new(database.url())
            .args(["trim-history"])
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(run.code, -1, "step `{step}` was never reached: {run}");
        let is_whole = names(&mut database).split(", ").count() == 5;
        assert_eq!(
            is_whole,
            ["history-horizon", "history-remove", "history-commit"].contains(&step),
            "{step}"
        );
        if step == "history-horizon" {
            assert_eq!(as_of(&mut database, BEFORE), "at it, behind");
        } else {
            let old = format!("select * from risk.shop__people__as_of('{BEFORE}')");
            assert_eq!(refused(&mut client(&database), &old).0, "22008", "{step}");
        }
        assert_eq!(verify(&database, &[]).code, 0, "{step}");
        // Even where the plan keeps more by then, what was refused goes.
        if step != "history-horizon" {
            publish_ok(&database, &[kept(Some(300))], 2);
        }
        trimmed(&database);
        assert_eq!(names(&mut database), "behind, later, live", "{step}");
        assert_eq!(horizon(&mut database), "2026-01-30 00:00:00+00", "{step}");
    }
}

/// Merges and trims of everything that is over, at the same time: what is true as of the last batch stays so.
#[test]
fn merges_go_on_meanwhile() {
    let columns = [("id", "bigint"), ("name", "text?")];
    let mut spec = people(MILESTONED, &columns);
    spec.datasets[0].policy.history_seconds = Some(0);
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let mut history = History::new(&spec, 5);
    for _ in 0..12 {
        let round = history.round(25);
        stage::round(&mut database, &spec, &round);
        let mut trimming = Job::new(database.url()).args(["trim-history"]).spawn();
        Job::merge(database.url(), &spec).succeed();
        let status = trimming.wait().expect("a child can be waited for");
        assert!(status.success(), "{status}");
        let last = database.value("select max(last_batch_time)::text from milepost.datasets");
        let then = format!(
            "select coalesce(string_agg(a::text, ',' order by a::text), '') from risk.shop__people__as_of('{last}') a"
        );
        let before = database.value(&then);
        assert_eq!(
            before,
            database.value("select coalesce(string_agg(a::text, ',' order by a::text), '') from risk.shop__people a")
        );
        trimmed(&database);
        assert_eq!(database.value(&then), before);
        assert_eq!(
            database.value("select count(*) from main.shop__people__closed"),
            "0"
        );
        assert_eq!(verify(&database, &[]).code, 0);
    }
    assert_ne!(horizon(&mut database), "none");
}
