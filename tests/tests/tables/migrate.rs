//! Planned migrations: columns whose type changes with a rewrite.

use std::time::Duration;

use acceptance::{Cluster, Database, Job, Run, publish_model, shop};
use milepost_job_spec::{Strategy, StreamSpec};
use milepost_merge_job::table_migration::{self, STEPS, Scope};
use milepost_merge_job::tables::Patience;
use test_case::test_case;

use crate::{MILESTONED, files, ident, people, publish_ok, schema, type_of, verify};

/// A migration of `people`, or what is planned of it.
pub(super) fn migrate(database: &Database, more: &[&str]) -> Run {
    Job::new(database.url())
        .args(["migrate-tables", "--platform", "main", "--store", "shop"])
        .args(more.iter().copied())
        .run()
}

/// The digest that a plan names.
pub(super) fn digest(plan: &Run) -> String {
    assert_eq!(plan.code, 0, "{plan}");
    let words: Vec<&str> = plan.stdout.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "--execute");
    words[at.unwrap_or_else(|| panic!("no digest: {plan}")) + 1].to_owned()
}

/// Plans, and executes the plan.
fn migrated(database: &Database) {
    let digest = digest(&migrate(database, &[]));
    let run = migrate(database, &["--execute", &digest]);
    assert_eq!(run.code, 0, "{run}");
}

/// Stages an event of `people` as a sink does.
pub(super) fn stage(database: &mut Database, at: i64, op: &str, id: &str, value: &str) {
    database.run(&format!(
        "insert into main_staging.shop__people (id, v, __op, __deleted, __sequence, __lsn, __transaction_id,
                 __transaction_total_order, __source_ts_us, __connect_topic, __connect_partition, __connect_offset)
         values ({id}, {value}, '{op}', '{}', '[\"{at}\",\"{at}\"]', {at}, '{at}:1', 1, {at}, 't', 0, {at})",
        op == "d"
    ));
}

pub(super) fn merge(database: &Database, spec: &StreamSpec) {
    Job::merge(database.url(), spec).succeed();
}

pub(super) fn columns<'a>(id: &'a str, v: &'a str) -> [(&'a str, &'a str); 2] {
    [("id", id), ("v", v)]
}

/// Two merged rows, one of which has a version behind it, and one staged row that is not merged.
pub(super) fn filled(strategy: Strategy, id: &str, v: &str, value: &str) -> Database {
    let mut database = Cluster::shared().database();
    let spec = people(strategy, &columns(id, v));
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    stage(&mut database, 0, "c", "'1'", value);
    stage(&mut database, 1, "c", "'2'", "null");
    merge(&database, &spec);
    stage(&mut database, 2, "u", "'1'", "null");
    merge(&database, &spec);
    stage(&mut database, 3, "u", "'2'", value);
    database
}

/// Publishes the new shape, which stops the stream and names the command.
pub(super) fn publish_refused(database: &Database, after: &StreamSpec) {
    let run = publish_model(database, std::slice::from_ref(after), 2);
    assert_eq!(run.code, 1, "{run}");
    let command = "merge-job migrate-tables --platform main --store shop --dataset people";
    assert!(run.stderr.contains(command), "{run}");
    let run = Job::merge(database.url(), after).run();
    assert_eq!(run.code, 1, "no row moves before: {run}");
    assert!(run.stderr.contains(command), "{run}");
}

/// All live rows, and the versions where they are kept, without times.
fn rows(database: &mut Database, strategy: Strategy) -> Vec<Vec<Option<String>>> {
    let ended = if strategy.is_milestoned() {
        "dp_out is not null"
    } else {
        "false"
    };
    database.rows(&format!(
        "select id, v, {ended} from main.shop__people order by 1, 3, 2"
    ))
}

#[test_case("integer?", "bigint?", "7"; "wider integer")]
#[test_case("bigint?", "integer?", "7"; "narrower integer")]
#[test_case("numeric(8,2)?", "numeric(9,3)?", "1.5"; "more scale")]
#[test_case("numeric(9,3)?", "numeric(8,2)?", "1.50"; "less scale")]
#[test_case("character varying(20)?", "character varying(3)?", "'abc'"; "narrower text")]
#[test_case("text?", "integer?", "'7'"; "text to integer")]
#[test_case("timestamp(6) without time zone?", "timestamp(3) without time zone?", "'2026-01-01 10:00:00.123'"; "less precision")]
#[test_case("integer?", "text?", "7"; "integer to text")]
#[test_case("real?", "double precision?", "0.5"; "wider float")]
#[test_case("date?", "timestamp without time zone?", "'2026-01-01'"; "date to timestamp")]
fn a_cast_that_loses_nothing(before: &str, after: &str, value: &str) {
    for strategy in [Strategy::LiveOnly, MILESTONED] {
        let mut database = filled(strategy, "bigint", before, value);
        // Roles are the cluster's: each database has one of its own.
        let reader = format!("reader_{}", database.name());
        database.run(&format!(
            "create role {reader} nologin; grant select on risk.shop__people to {reader}"
        ));
        let spec = people(strategy, &columns("bigint", after));
        publish_refused(&database, &spec);

        let (was, heaps) = (schema(&database), files(&mut database));
        let plan = migrate(&database, &["--dataset", "people"]);
        assert_eq!(plan.code, 0, "{plan}");
        assert!(plan.stdout.contains("every value stays"), "{plan}");
        assert!(!plan.stdout.contains(" 0 bytes"), "{plan}");
        assert_eq!(schema(&database), was, "a plan changes nothing");
        assert_eq!(files(&mut database), heaps);

        migrated(&database);
        let wanted = after.trim_end_matches('?');
        for table in ["main.shop__people", "main_staging.shop__people"] {
            assert_eq!(type_of(&mut database, table, "v"), wanted);
        }
        // Rows that were staged before are merged after, beside new ones.
        stage(&mut database, 4, "d", "1", "null");
        stage(&mut database, 5, "c", "3", value);
        merge(&database, &spec);

        let mut fresh = Cluster::shared().database();
        publish_ok(&fresh, std::slice::from_ref(&spec), 1);
        for (at, op, id, value) in [
            (0, "c", "1", value),
            (1, "c", "2", "null"),
            (2, "u", "1", "null"),
            (3, "u", "2", value),
            (4, "d", "1", "null"),
            (5, "c", "3", value),
        ] {
            stage(&mut fresh, at, op, id, value);
            merge(&fresh, &spec);
        }
        assert_eq!(rows(&mut database, strategy), rows(&mut fresh, strategy));
        assert_eq!(verify(&database, &[]).code, 0, "{}", verify(&database, &[]));
        assert_eq!(
            database.value(&format!(
                "select has_table_privilege('{reader}', 'risk.shop__people', 'select')"
            )),
            "t",
            "grants outlive it"
        );
        database.run(&format!("drop owned by {reader}; drop role {reader}"));
        let again = migrate(&database, &[]);
        assert_eq!(
            (again.code, again.stdout.as_str()),
            (0, "nothing to migrate\n")
        );
        publish_ok(&database, &[spec], 3);
    }
}

#[test_case("bigint?", "integer?", "3000000000", "a value does not cast (SQLSTATE 22003)"; "out of range")]
#[test_case("numeric(9,3)?", "numeric(8,2)?", "1.125", "the value would not be the same"; "rounded")]
#[test_case("character varying(20)?", "character varying(3)?", "'abcd'", "the value would not be the same"; "cut")]
#[test_case("text?", "integer?", "'007'", "the value would not be the same"; "leading zeros")]
#[test_case("text?", "integer?", "'secret'", "a value does not cast (SQLSTATE 22P02)"; "no number")]
#[test_case("timestamp(6) without time zone?", "timestamp(3) without time zone?", "'2026-01-01 10:00:00.123456'", "the value would not be the same"; "microseconds")]
#[test_case("bigint?", "double precision?", "9007199254740993", "the value would not be the same"; "too exact")]
#[test_case("date?", "integer?", "'2026-01-01'", "a value does not cast (SQLSTATE 42846)"; "no cast at all")]
fn a_cast_that_loses_something(before: &str, after: &str, value: &str, why: &str) {
    let mut database = filled(MILESTONED, "bigint", before, value);
    publish_refused(&database, &people(MILESTONED, &columns("bigint", after)));
    let (was, heaps) = (schema(&database), files(&mut database));
    let plan = migrate(&database, &[]);
    assert_eq!(plan.code, 1, "{plan}");
    for word in [
        "column `v` cannot become",
        why,
        "hint: give column `v` a type",
    ] {
        assert!(plan.stdout.contains(word), "{word:?}: {plan}");
    }
    assert!(!plan.stdout.contains("secret"), "no value is told: {plan}");
    assert!(!plan.stdout.contains("--execute"), "{plan}");

    // A digest does not cover rows, so it may be known: the values are checked again under the lock.
    let empty = Cluster::shared().database();
    publish_ok(&empty, &[people(MILESTONED, &columns("bigint", before))], 1);
    publish_refused(&empty, &people(MILESTONED, &columns("bigint", after)));
    if !why.contains("42846") {
        let digest = digest(&migrate(&empty, &[]));
        let run = migrate(&database, &["--execute", &digest]);
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains(why), "{run}");
    }
    assert_eq!(schema(&database), was);
    assert_eq!(files(&mut database), heaps);
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(MILESTONED; "milestoned")]
fn a_key_that_grows_is_found_by_what_control_rows_keep(strategy: Strategy) {
    let mut database = filled(strategy, "integer", "text?", "'a'");
    let spec = people(strategy, &columns("bigint", "text?"));
    publish_refused(&database, &spec);
    migrated(&database);
    stage(&mut database, 4, "u", "1", "'b'");
    stage(&mut database, 5, "c", "3000000000", "'c'");
    merge(&database, &spec);
    assert_eq!(
        database.value(
            "select string_agg(id || coalesce(v, ''), ',' order by id) from risk.shop__people"
        ),
        "1b,2a,3000000000c"
    );
    assert_eq!(verify(&database, &[]).code, 0, "{}", verify(&database, &[]));
}

#[test_case("text", "integer", "a key of one kind would not be found"; "another kind")]
#[test_case("numeric(8,2)", "numeric(9,3)", "the key would be written otherwise"; "written otherwise")]
fn a_key_that_would_not_be_found_stays(before: &str, after: &str, why: &str) {
    let database = filled(MILESTONED, before, "text?", "'a'");
    publish_refused(&database, &people(MILESTONED, &columns(after, "text?")));
    let plan = migrate(&database, &[]);
    assert_eq!(plan.code, 1, "{plan}");
    assert!(plan.stdout.contains(why), "{plan}");
}

fn outgrown() -> (Database, StreamSpec) {
    let database = filled(MILESTONED, "bigint", "integer?", "7");
    let spec = people(MILESTONED, &columns("bigint", "bigint?"));
    publish_refused(&database, &spec);
    (database, spec)
}

#[test]
fn another_digest_changes_nothing_and_names_the_plan() {
    let (mut database, _) = outgrown();
    let heaps = files(&mut database);
    let own = digest(&migrate(&database, &[]));
    let run = migrate(&database, &["--execute", "0123456789abcdef"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains(&own), "{run}");
    assert_eq!(files(&mut database), heaps);

    let json = migrate(&database, &["--format", "json"]);
    assert!(
        json.stdout.contains(&format!("\"digest\": \"{own}\"")),
        "{json}"
    );
    assert!(json.stdout.contains("\"lossless\": true"), "{json}");
}

#[test]
fn a_plan_outlives_new_rows_and_no_new_shape() {
    let (mut database, _) = outgrown();
    let own = digest(&migrate(&database, &[]));
    stage(&mut database, 4, "c", "9", "9");
    assert_eq!(digest(&migrate(&database, &[])), own);
    database.run("alter table main_staging.shop__people alter column v type bigint");
    let run = migrate(&database, &["--execute", &own]);
    assert_eq!(run.code, 2, "{run}");
}

#[test]
fn a_death_at_any_moment_leaves_the_tables_old_or_new() {
    let (mut prepared, spec) = outgrown();
    let own = digest(&migrate(&prepared, &[]));
    for step in STEPS {
        let (original, mut database) = Cluster::shared().copy(prepared);
        prepared = original;
        let before = schema(&database);
        let run = Job::new(database.url())
            .args(["migrate-tables", "--platform", "main", "--store", "shop"])
            .args(["--execute", &own])
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(run.code, -1, "step `{step}` was never reached: {run}");
        let is_done = step == "migrated";
        assert_eq!(schema(&database) != before, is_done, "before `{step}`");
        let again = loop {
            let run = migrate(&database, &["--execute", &own]);
            if run.code != 75 {
                break run;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(again.code, if is_done { 2 } else { 0 }, "{step}: {again}");
        merge(&database, &spec);
        assert_eq!(
            database.value("select string_agg(id || coalesce('=' || v, ''), ',' order by id) from risk.shop__people"),
            "1,2=7"
        );
    }
}

#[test_case("select from milepost.streams for no key update"; "the stream")]
#[test_case("select from milepost.datasets for no key update"; "its datasets")]
fn a_running_batch_is_not_disturbed(lock: &str) {
    let (mut database, _) = outgrown();
    let heaps = files(&mut database);
    let own = digest(&migrate(&database, &[]));
    let mut batch = database.again();
    batch.run(&format!("begin; {lock}"));
    let run = migrate(&database, &["--execute", &own]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(files(&mut database), heaps);
    batch.run("rollback");
    migrated(&database);
}

/// Executes the plan with this patience; what stood against it.
fn impatient(database: &Database, own: &str) -> Option<String> {
    let scope = Scope {
        platform: "main".to_owned(),
        store: "shop".to_owned(),
        dataset: None,
        drop_history: false,
    };
    let patience = Patience {
        lock_timeout: Duration::from_millis(200),
        attempts: 2,
        first_pause: Duration::from_millis(20),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let config = database.url().parse().expect("a URL");
    let done = runtime.block_on(table_migration::execute(&config, &scope, own, patience));
    done.err().map(|error| error.chain())
}

#[test_case("select from risk.shop__people"; "reader")]
#[test_case("select from main_staging.shop__people"; "reader of staging")]
fn whoever_reads_is_waited_for_and_named(query: &str) {
    let (mut database, _) = outgrown();
    let own = digest(&migrate(&database, &[]));
    let heaps = files(&mut database);
    let mut reader = database.again();
    reader.run(&format!("begin; {query}"));
    let message = impatient(&database, &own).expect("it waits in vain");
    assert!(
        message.contains("waited for whoever uses its tables, 2 times"),
        "{message}"
    );
    assert_eq!(files(&mut database), heaps);
    reader.run("rollback");
    assert_eq!(impatient(&database, &own), None);
}

#[test]
fn a_stranger_who_reads_is_named() {
    let (mut database, _) = outgrown();
    database.run("create view public.mine as select v from main.shop__people");
    let plan = migrate(&database, &[]);
    assert_eq!(plan.code, 1, "{plan}");
    assert!(plan.stdout.contains("`public.mine`"), "{plan}");
    database.run("drop view public.mine");
    migrated(&database);
}

#[test]
fn a_role_that_owns_nothing_is_told_so() {
    let (mut database, _) = outgrown();
    let own = digest(&migrate(&database, &[]));
    database.run(
        "create role poor_migrator login superuser; alter role poor_migrator nosuperuser;
         grant usage on schema main, main_staging, milepost, risk to poor_migrator;
         grant all on all tables in schema main, main_staging, milepost to poor_migrator",
    );
    let (before, after) = database.url().split_once("://").expect("a URL");
    let place = after.split_once('@').map_or(after, |(_, place)| place);
    let run = Job::new(&format!("{before}://poor_migrator@{place}"))
        .args(["migrate-tables", "--platform", "main", "--store", "shop"])
        .args(["--execute", &own])
        .run();
    database.run("drop owned by poor_migrator; drop role poor_migrator");
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("owner"), "{run}");
}

#[test]
fn names_are_names_whatever_is_in_them() {
    let mut database = Cluster::shared().database();
    let evil = "o\"; drop table x; -- é'";
    let of = |kind: &str| {
        let mut spec = people(MILESTONED, &[("id", "bigint"), (evil, kind)]);
        let dataset = &mut spec.datasets[0];
        for table in [
            Some(&mut dataset.merge),
            dataset.live.as_mut(),
            dataset.closed.as_mut(),
        ] {
            let table = table.expect("it is milestoned");
            table.name = ident(&format!("{} \"'$x$", table.name));
        }
        spec
    };
    publish_ok(&database, &[of("integer?")], 1);
    publish_refused(&database, &of("bigint?"));
    migrated(&database);
    assert_eq!(
        database.value("select count(*) from pg_attribute where attname like 'o%drop table%' and atttypid = 'bigint'::regtype
                          and attrelid in (select oid from pg_class where relkind in ('r', 'p'))"),
        "4"
    );
}

#[test]
fn one_dataset_of_a_store_is_migrated_and_the_other_stays() {
    let mut database = Cluster::shared().database();
    let of = |kind: &str| {
        let mut spec = people(MILESTONED, &columns("bigint", kind));
        spec.stream.dataset = None;
        let other = shop::dataset("other", MILESTONED, &["id"], &columns("bigint", kind));
        spec.datasets.push(other);
        spec
    };
    publish_ok(&database, &[of("integer?")], 1);
    let run = publish_model(&database, &[of("bigint?")], 2);
    assert_eq!(run.code, 1, "{run}");
    let own = digest(&migrate(&database, &["--dataset", "other"]));
    let run = migrate(&database, &["--dataset", "other", "--execute", &own]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(type_of(&mut database, "main.shop__other", "v"), "bigint");
    assert_eq!(type_of(&mut database, "main.shop__people", "v"), "integer");
    migrated(&database);
    assert_eq!(type_of(&mut database, "main.shop__people", "v"), "bigint");
    merge(&database, &of("bigint?"));
}

#[test]
fn what_publish_would_make_goes_with_it() {
    let mut database = filled(MILESTONED, "bigint", "integer?", "7");
    let spec = people(
        MILESTONED,
        &[("id", "bigint"), ("v", "bigint?"), ("w", "text?")],
    );
    publish_refused(&database, &spec);
    migrated(&database);
    assert_eq!(
        database.value("select count(*) from risk.shop__people where w is null"),
        "2"
    );
    merge(&database, &spec);
    publish_ok(&database, &[spec], 3);
}
