//! Planned migrations between strategies: a live-only table begins its history, and a milestoned one loses it.

use acceptance::{Cluster, Database, Job, publish_model, shop};
use milepost_job_spec::{Strategy, StreamSpec};
use milepost_merge_job::table_migration::STEPS;
use test_case::test_case;

use crate::migrate::{columns, digest, filled, merge, migrate, publish_refused, stage};
use crate::{MILESTONED, people, publish_ok, schema, verify};

const LIVE: Strategy = Strategy::LiveOnly;
const DROP: &str = "--drop-history";

fn spec(strategy: Strategy) -> StreamSpec {
    people(strategy, &columns("bigint", "text?"))
}

/// `people` with this strategy, merged and with a row staged, and a spec with the other one published.
fn outgrown(before: Strategy, after: Strategy) -> (Database, StreamSpec) {
    let database = filled(before, "bigint", "text?", "'a'");
    let spec = spec(after);
    publish_refused(&database, &spec);
    if after == LIVE {
        Job::new(database.url()).args(["reconcile-views"]).succeed();
    }
    (database, spec)
}

fn verified(database: &Database) {
    let run = verify(database, &[]);
    assert_eq!(run.code, 0, "{run}");
}

fn migrated(database: &Database, more: &[&str]) {
    let digest = digest(&migrate(database, more));
    let run = migrate(database, &[more, &["--execute", &digest]].concat());
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.ends_with("migrated\n"), "{run}");
}

/// The table is what its spec says: nothing is left to change.
fn is_as_published(database: &Database, spec: &StreamSpec, order: u64) {
    let run = publish_model(database, std::slice::from_ref(spec), order);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("0 changes of tables"), "{run}");
}

fn live(database: &mut Database) -> String {
    database
        .value("select string_agg(concat_ws('=', id, v), ' ' order by id) from risk.shop__people")
}

fn as_of(database: &mut Database, moment: &str) -> String {
    database.value(&format!(
        "select coalesce(string_agg(concat_ws('=', id, v), ' ' order by id), '') from risk.shop__people__as_of(({moment}))"
    ))
}

const LAST_BATCH: &str = "select max(batch_time) from milepost.batches";

#[test]
fn a_live_only_table_begins_its_history_where_it_stands() {
    let (mut database, spec) = outgrown(LIVE, MILESTONED);
    let before = (schema(&database), live(&mut database));
    let plan = migrate(&database, &[]);
    assert!(
        plan.stdout
            .contains("its 2 rows begin with the batch that does it"),
        "{plan}"
    );
    assert_eq!(
        (schema(&database), live(&mut database)),
        before,
        "a plan changes nothing"
    );
    let heap = "select pg_relation_filenode(to_regclass('main.shop__people'))";
    let old = database.value(heap);
    let reader = format!("reader_{}", database.name());
    database.run(&format!(
        "create role {reader} nologin; grant select on risk.shop__people, main.shop__people to {reader}"
    ));
    let batches =
        database.value("select count(*) from milepost.batches where status = 'succeeded'");
    migrated(&database, &[]);
    assert_eq!(
        database.value(&heap.replace("people", "people__live")),
        old,
        "no row was copied"
    );
    assert_eq!(live(&mut database), before.1, "readers see the same rows");
    assert_eq!(
        database.value(
            "select concat_ws(' ', count(*), max(batch_number) = count(*), (array_agg(rows_staged order by id desc))[1]) from milepost.batches where status = 'succeeded'"
        ),
        format!("{} t 0", batches.parse::<i64>().expect("a count") + 1)
    );
    database.run(&format!("set role {reader}"));
    database.run("reset role");
    for table in ["risk.shop__people", "main.shop__people"] {
        let may = database.value(&format!(
            "select has_table_privilege('{reader}', '{table}', 'select')"
        ));
        assert_eq!(may, "t", "{table}");
    }
    database.run(&format!("drop owned by {reader}; drop role {reader}"));

    // Rows are as of the batch that did it; whoever asks for earlier gets no part of an answer.
    assert_eq!(as_of(&mut database, LAST_BATCH), before.1);
    database.run(
        "do $$ begin
           perform * from risk.shop__people__as_of((select max(batch_time) from milepost.batches) - interval '1 us');
           raise 'it is answered';
         exception when datetime_field_overflow then null;
         end $$",
    );
    let moment = database.value("select max(batch_time)::text from milepost.batches");
    is_as_published(&database, &spec, 3);
    // What was staged before is merged, and history goes on.
    merge(&database, &spec);
    stage(&mut database, 4, "d", "'1'", "null");
    merge(&database, &spec);
    assert_eq!(live(&mut database), "2=a");
    assert_eq!(
        as_of(&mut database, &format!("select timestamptz '{moment}'")),
        before.1
    );
    assert_eq!(
        database.value("select string_agg(concat_ws('=', id, v), ' ' order by id, dp_in) from risk.shop__people__history where dp_out is not null"),
        "1 2"
    );
    verified(&database);
}

#[test]
fn history_is_dropped_only_where_somebody_says_so() {
    let (mut database, spec) = outgrown(MILESTONED, LIVE);
    let rows = live(&mut database);
    let run = migrate(&database, &[]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stdout.contains("its history would be dropped"), "{run}");
    assert!(run.stdout.contains("--drop-history"), "{run}");
    let plan = migrate(&database, &[DROP]);
    assert!(
        plan.stdout.contains(
            "drops 1 closed version of `main.shop__people` for ever; its 2 rows that are live stay"
        ),
        "{plan}"
    );
    let own = digest(&plan);
    assert!(
        plan.stdout.contains(&format!("{DROP} --execute {own}")),
        "the command that is printed is the one that does it: {plan}"
    );
    let run = migrate(&database, &["--execute", &own]);
    assert_eq!(run.code, 1, "the flag is asked for again: {run}");
    assert_eq!(live(&mut database), rows);
    migrated(&database, &[DROP]);
    assert_eq!(live(&mut database), rows);
    assert_eq!(
        database.value("select string_agg(attname, ' ' order by attnum) from pg_attribute where attrelid = 'main.shop__people'::regclass and attnum > 0 and not attisdropped"),
        "id v"
    );
    is_as_published(&database, &spec, 3);
    merge(&database, &spec);
    assert_eq!(live(&mut database), "1 2=a");
    verified(&database);
}

#[test]
fn a_table_may_go_there_and_back_and_there_again() {
    let (mut database, mut spec) = outgrown(LIVE, MILESTONED);
    let mut order = 3;
    for (at, after) in (4..).zip([MILESTONED, LIVE, MILESTONED, LIVE]) {
        if spec.datasets[0].strategy != after {
            spec = self::spec(after);
            let run = publish_model(&database, std::slice::from_ref(&spec), order);
            assert_eq!(run.code, 1, "{run}");
            order += 1;
            Job::new(database.url()).args(["reconcile-views"]).succeed();
        }
        migrated(&database, if after == LIVE { &[DROP] } else { &[] });
        is_as_published(&database, &spec, order);
        order += 1;
        stage(&mut database, at, "u", "'1'", &format!("'v{at}'"));
        merge(&database, &spec);
        assert_eq!(live(&mut database), format!("1=v{at} 2=a"));
        verified(&database);
    }
}

/// A key of a table that was converted is cast and widened like any other: its partitions were made otherwise.
#[test]
fn a_key_of_a_converted_table_changes_its_type() {
    let mut database = filled(LIVE, "character varying(4)", "text?", "'a'");
    let as_key = |id| people(MILESTONED, &columns(id, "text?"));
    publish_refused(&database, &as_key("character varying(4)"));
    migrated(&database, &[]);
    publish_ok(&database, &[as_key("text")], 3);
    let spec = as_key("character varying(4)");
    let run = publish_model(&database, std::slice::from_ref(&spec), 4);
    assert_eq!(run.code, 1, "{run}");
    migrated(&database, &[]);
    is_as_published(&database, &spec, 5);
    merge(&database, &spec);
    assert_eq!(live(&mut database), "1 2=a");
    verified(&database);
}

/// With the strategy go a column that is new and one that is cast.
#[test_case(LIVE, MILESTONED; "to milestoned")]
#[test_case(MILESTONED, LIVE; "to live only")]
fn what_else_changes_goes_along(before: Strategy, after: Strategy) {
    let mut database = filled(before, "integer", "integer?", "7");
    let spec = people(
        after,
        &[("id", "bigint"), ("v", "bigint?"), ("country", "text?")],
    );
    publish_refused(&database, &spec);
    Job::new(database.url()).args(["reconcile-views"]).succeed();
    let drop: &[&str] = if after == LIVE { &[DROP] } else { &[] };
    migrated(&database, drop);
    is_as_published(&database, &spec, 3);
    merge(&database, &spec);
    assert_eq!(live(&mut database), "1 2=7");
    verified(&database);
}

#[test_case(LIVE, MILESTONED; "to milestoned")]
#[test_case(MILESTONED, LIVE; "to live only")]
fn a_death_before_any_step_leaves_the_one_or_the_other(before: Strategy, after: Strategy) {
    let drop: &[&str] = if after == LIVE { &[DROP] } else { &[] };
    for step in STEPS {
        let (mut database, spec) = outgrown(before, after);
        let rows = live(&mut database);
        let old = schema(&database);
        let own = digest(&migrate(&database, drop));
        let stream = ["migrate-tables", "--platform", "main", "--store", "shop"];
        let run = Job::new(database.url())
            .args(stream)
            .args(drop.iter().copied())
            .args(["--execute", &own])
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(run.code, -1, "`{step}` was never reached: {run}");
        assert_eq!(live(&mut database), rows, "{step}");
        if step == "migrated" {
            assert_ne!(schema(&database), old);
        } else {
            assert_eq!(schema(&database), old, "{step}");
            let run = migrate(&database, &[drop, &["--execute", &own]].concat());
            // The server may not have noticed yet that the run is dead.
            let run = if run.code == 75 {
                migrate(&database, &[drop, &["--execute", &own]].concat())
            } else {
                run
            };
            assert_eq!(run.code, 0, "{step}: {run}");
        }
        is_as_published(&database, &spec, 3);
        merge(&database, &spec);
        verified(&database);
    }
}

#[test_case("create trigger mine before update on main.shop__people for each row execute function suppress_redundant_updates_trigger()", "`trigger mine`"; "a trigger")]
#[test_case("create policy mine on main.shop__people using (true)", "`policy mine`"; "a policy")]
#[test_case("create publication mine for table main.shop__people", "`publication mine`"; "a publication")]
#[test_case("create view public.mine as select id from main.shop__people", "public.mine"; "a view")]
fn what_depends_on_the_table_stands_against_it(statement: &str, words: &str) {
    let (mut database, _) = outgrown(LIVE, MILESTONED);
    let own = digest(&migrate(&database, &[]));
    database.run(statement);
    let before = schema(&database);
    let plan = migrate(&database, &[]);
    assert_eq!(plan.code, 1, "{plan}");
    assert!(plan.stdout.contains(words), "{plan}");
    let run = migrate(&database, &["--execute", &own]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains(words), "{run}");
    assert_eq!(schema(&database), before);
}

#[test]
fn what_has_the_name_of_a_partition_is_left_alone() {
    let mut database = filled(LIVE, "bigint", "text?", "'a'");
    database.run("create table main.shop__people__closed (mine int)");
    let run = publish_model(&database, std::slice::from_ref(&spec(MILESTONED)), 2);
    assert_eq!(run.code, 1, "{run}");
    let plan = migrate(&database, &[]);
    assert_eq!(plan.code, 1, "{plan}");
    assert!(plan.stdout.contains("main.shop__people__closed"), "{plan}");
}

/// Only one dataset of a store changes: its batches are the whole store's.
#[test]
fn a_dataset_of_a_store_that_is_one_transaction_is_converted_alone() {
    let mut database = Cluster::shared().database();
    let mut spec = shop::stream(LIVE);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    let staged = shop::staged(&spec);
    let rows: Vec<_> = staged
        .iter()
        .filter(|(at, _)| *at == 0)
        .map(|(_, row)| row)
        .collect();
    acceptance::stage::rows(&mut database, &spec, &rows);
    merge(&database, &spec);
    let counted = "select count(*) from main.shop__customers";
    let before = database.value(counted);
    let place = spec
        .datasets
        .iter()
        .position(|own| own.name == "customers")
        .expect("it is there");
    let milestoned = shop::stream(MILESTONED).datasets.swap_remove(place);
    assert_eq!(milestoned.name, "customers");
    spec.datasets[place] = milestoned;
    let run = publish_model(&database, std::slice::from_ref(&spec), 2);
    assert_eq!(run.code, 1, "{run}");
    migrated(&database, &["--dataset", "customers"]);
    assert_eq!(database.value(counted), before);
    let rows: Vec<_> = staged
        .iter()
        .filter(|(at, _)| *at == 1)
        .map(|(_, row)| row)
        .collect();
    acceptance::stage::rows(&mut database, &spec, &rows);
    merge(&database, &spec);
    assert_ne!(
        database.value("select count(*) from main.shop__customers where dp_out is not null"),
        "0"
    );
    verified(&database);
}
