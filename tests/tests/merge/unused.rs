//! `merge-job remove-unused-tables`: what no published stream has is told, then goes, and what anybody wants stays.

mod beside;
mod stays;

use acceptance::{Cluster, Database, Job, Run, publish_model, shop};
use milepost_job_spec::{PgIdent, Strategy, StreamSpec, TableRef};
use milepost_merge_job::unused::STEPS;
use test_case::test_case;

use crate::ALL;
use crate::topics::{Message, Things, create};

/// Every table of ours but control tables, and which of them are partitions.
const TABLES: &str = "select coalesce(string_agg(n.nspname || '.' || c.relname, ' ' order by n.nspname, c.relname), '')
   from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname like any (array['main%', 'second%']) and c.relkind in ('r', 'p') and c.relname not like '%other%'";

/// What is listed.
const LISTED: &str = "select coalesce(string_agg(schema || '.' || name, ' ' order by schema, name), '') from milepost.unused_tables";

/// Control rows that say how far a dataset is merged, and what is set aside of it.
const KNOWN: &str = "select (select count(*) from milepost.positions where dataset = 'things')
     + (select count(*) from milepost.datasets where dataset = 'things')
     + (select count(*) from milepost.quarantine where dataset = 'things')
     + (select count(*) from milepost.retention where dataset = 'things')";

fn ident(name: &str) -> PgIdent {
    name.parse().expect("a name of ours is an identifier")
}

/// A stream that stays, so that a plan has one.
fn other() -> StreamSpec {
    let mut spec = shop::single_streams(&shop::stream(ALL)).remove(0);
    let columns = [("id", "integer"), ("word", "text?")];
    spec.stream.dataset = Some("other".to_owned());
    spec.datasets = vec![shop::dataset("other", ALL, &["id"], &columns)];
    spec
}

fn publish(database: &Database, specs: &[StreamSpec], order: u64) {
    let run = publish_model(database, specs, order);
    assert_eq!(run.code, 0, "{run}");
}

fn remove(database: &Database, arguments: &[&str]) -> Run {
    Job::new(database.url())
        .args(std::iter::once("remove-unused-tables").chain(arguments.iter().copied()))
        .run()
}

/// Removes, and demands that it succeeds.
fn removed(database: &Database) -> Run {
    let run = remove(database, &[]);
    assert_eq!(run.code, 0, "{run}");
    run
}

/// Longer than the grace time.
fn age(database: &mut Database) {
    database
        .run("update milepost.unused_tables set unused_since = unused_since - interval '8 days'");
}

fn says(run: &Run, words: &[&str]) {
    for word in words {
        assert!(run.stdout.contains(word), "lacks {word:?}: {run}");
    }
}

/// Rows with these ids.
fn rows(ids: std::ops::Range<i64>) -> Vec<Message> {
    ids.map(|id| create(id, "a", 10 + id)).collect()
}

/// Merged rows of `things`, one of them set aside, beside a stream that stays; then no plan has `things` any more.
fn retired(strategy: Strategy) -> Things {
    let mut things = Things::of(strategy);
    things.deliver(0, &rows(0..6));
    things
        .database
        .run("update main_staging.shop__things set id = null where id = 5");
    assert_eq!(things.merged(), "0=a,1=a,2=a,3=a,4=a");
    things.database.run(
        "insert into milepost.retention (platform, store, dataset, history_from) values ('main', 'shop', 'things', '2026-01-01')",
    );
    assert_eq!(things.database.value(KNOWN), "4");
    let run = publish_model(&things.database, &[other()], 2);
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout
            .contains("retired, its tables stay until `merge-job remove-unused-tables`"),
        "{run}"
    );
    things
}

/// The same, listed for longer than the grace time.
fn due(strategy: Strategy) -> Things {
    let mut things = retired(strategy);
    removed(&things.database);
    age(&mut things.database);
    things
}

/// It begins anew: nothing is known of what was merged before, and every row is merged.
fn begins_anew(things: &mut Things, order: u64) {
    publish(&things.database, &[other(), things.spec.clone()], order);
    // Shorter than before: with a watermark left behind nothing of it would be merged.
    things.deliver(0, &[create(1, "new", 200), create(7, "new", 201)]);
    assert_eq!(things.merged(), "1=new,7=new");
    Job::new(things.database.url())
        .args(["verify", "--platform", "main"])
        .succeed();
}

#[test_case(ALL; "milestoned")]
#[test_case(Strategy::LiveOnly; "live only")]
fn a_retired_dataset_is_told_then_removed_and_begins_anew_when_it_comes_back(strategy: Strategy) {
    let mut things = retired(strategy);
    let before = things.database.value(TABLES);
    let dump = |things: &Things| Cluster::shared().dump(&things.database, &[]);
    let unchanged = dump(&things);
    let dry = remove(&things.database, &["--dry-run"]);
    assert_eq!(dry.code, 0, "{dry}");
    says(
        &dry,
        &[
            "0 unused tables would be removed (0.0 kB), 2 listed",
            "main.shop__things: ",
            "main_staging.shop__things: ",
            "no published stream has it; it is removed after ",
        ],
    );
    assert_eq!(dump(&things), unchanged, "a dry run changes nothing");

    let run = removed(&things.database);
    says(&run, &["2 listed; 2 on the list"]);
    let listed = "main.shop__things main_staging.shop__things";
    assert_eq!(things.database.value(LISTED), listed);
    let event = things.database.rows(
        "select severity, message, hint, platform, store, dataset from milepost.events where message like '%is used by no%' order by message",
    );
    assert_eq!(event.len(), 2, "{event:?}");
    let text = |place: usize| event[0][place].clone().unwrap_or_default();
    assert!(text(1).starts_with(
        "table `main.shop__things` is used by no published stream; it is removed after 2"
    ));
    assert!(text(2).contains("`comment on table \"main\".\"shop__things\" is null`"));
    assert_eq!(
        [text(0), text(3), text(4), text(5)],
        ["warning", "main", "shop", "things"]
    );
    let run = removed(&things.database);
    says(
        &run,
        &["0 listed; 2 on the list", "waits; it is removed after"],
    );
    // A day less than the grace time.
    things
        .database
        .run("update milepost.unused_tables set unused_since = unused_since - interval '6 days'");
    removed(&things.database);
    assert_eq!(
        things.database.value(TABLES),
        before,
        "its time is not over"
    );
    let longer = remove(&things.database, &["--grace", "5", "--dry-run"]);
    says(&longer, &["2 unused tables would be removed"]);

    age(&mut things.database);
    let unchanged = dump(&things);
    says(
        &remove(&things.database, &["--dry-run"]),
        &["2 unused tables would be removed"],
    );
    assert_eq!(dump(&things), unchanged, "a dry run changes nothing");
    let run = removed(&things.database);
    says(
        &run,
        &[
            "2 unused tables removed",
            "main.shop__things: ",
            " kB, removed",
        ],
    );
    assert_eq!(things.database.value(TABLES), "");
    assert_eq!(things.database.value(LISTED), "");
    assert_eq!(things.database.value(KNOWN), "0");
    assert_eq!(
        things.database.value("select count(*) from milepost.events where severity = 'info' and message like '%was removed%'"),
        "2"
    );
    says(
        &removed(&things.database),
        &["0 unused tables removed (0.0 kB), 0 listed; 0 on the list"],
    );
    begins_anew(&mut things, 3);
}

#[test]
fn a_dataset_whose_other_table_somebody_dropped_goes_alone_and_begins_anew() {
    for gone in ["main_staging.shop__things", "main.shop__things"] {
        let mut things = due(ALL);
        things.database.run(&format!("drop table {gone}"));
        let run = removed(&things.database);
        says(
            &run,
            &[
                "1 unused table removed",
                &format!("{gone}: taken from the list"),
            ],
        );
        assert_eq!(things.database.value(TABLES), "");
        assert_eq!(things.database.value(KNOWN), "0");
        begins_anew(&mut things, 3);
    }
}

#[test]
fn a_dataset_that_left_a_store_that_stays_goes_with_its_staging_and_leaves_the_others_alone() {
    let mut spec = shop::stream(ALL);
    let columns = [("id", "integer"), ("word", "text?")];
    spec.datasets = ["one", "things"]
        .map(|name| shop::dataset(name, ALL, &["id"], &columns))
        .into();
    let mut things = Things::of(ALL);
    let database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec), 1);
    things.database = database;
    things.spec = spec.clone();
    things.deliver(0, &rows(0..3));
    assert_eq!(things.merged(), "0=a,1=a,2=a");
    let mut less = spec.clone();
    less.datasets.truncate(1);
    publish(&things.database, &[less], 2);
    removed(&things.database);
    assert_eq!(
        things.database.value(LISTED),
        "main.shop__things main_staging.shop__things"
    );
    age(&mut things.database);
    removed(&things.database);
    assert_eq!(
        things.database.value(TABLES),
        "main.shop__one main.shop__one__closed main.shop__one__live main_staging.shop__one"
    );
    assert_eq!(things.database.value(KNOWN), "0");
    publish(&things.database, &[spec], 3);
    things.deliver(0, &[create(1, "new", 200)]);
    assert_eq!(things.merged(), "1=new");
}

#[test]
fn tables_that_another_stream_of_the_store_has_now_stay_and_its_ends_of_transactions_go() {
    let mut spec = shop::stream(ALL);
    let columns = [("id", "integer"), ("word", "text?")];
    spec.datasets = ["one", "two"]
        .map(|name| shop::dataset(name, ALL, &["id"], &columns))
        .into();
    spec.transactions = Some(TableRef {
        schema: ident("main_staging"),
        name: ident("shop__control"),
    });
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec), 1);
    database.run(
        "insert into milepost.positions (platform, store, dataset, topic, partition, watermark)
         values ('main', 'shop', '', 'tx', 0, 9), ('main', 'shop', 'one', 'one', 0, 4)",
    );
    publish(&database, &shop::single_streams(&spec), 2);
    removed(&database);
    assert_eq!(database.value(LISTED), "main_staging.shop__control");
    age(&mut database);
    says(&removed(&database), &["1 unused table removed"]);
    assert_eq!(
        database.value("select string_agg(dataset || watermark, ' ') from milepost.positions"),
        "one4"
    );
    assert_eq!(
        database.value("select count(*) from milepost.datasets"),
        "2"
    );
}

#[test]
fn a_table_that_a_rebuild_kept_aside_goes_while_its_dataset_is_merged_on() {
    let mut things = Things::of(ALL);
    things.deliver(0, &rows(0..4));
    let live = things.merged();
    let rebuild = [
        "rebuild",
        "--platform",
        "main",
        "--store",
        "shop",
        "--dataset",
        "things",
        "--from",
        "source",
        "--yes",
    ];
    Job::new(things.database.url()).args(rebuild).succeed();
    let kept = "main.shop__things__until_2";
    assert!(things.database.value(TABLES).contains(kept));
    removed(&things.database);
    assert_eq!(things.database.value(LISTED), kept);
    let known = things.database.value(KNOWN);
    age(&mut things.database);
    let run = removed(&things.database);
    says(&run, &["1 unused table removed", kept]);
    assert_eq!(
        things.database.value(TABLES),
        "main.shop__things main.shop__things__closed main.shop__things__live main_staging.shop__things"
    );
    assert_eq!(things.database.value(KNOWN), known);
    things.deliver(4, &rows(4..6));
    assert_ne!(things.merged(), live);
    assert_eq!(things.live(), "4=a,5=a");
}

#[test]
fn a_run_killed_before_any_step_did_nothing_or_all() {
    let prepared = due(ALL);
    let spec = prepared.spec;
    let mut original = prepared.database;
    // Another table comes onto the list in the same run.
    original.run("create table main.old (id int)");
    original.run("comment on table main.old is 'milepost: {\"holds\": \"merged rows\", \"columns\": [\"id\"]}'");
    for step in STEPS {
        let (before, database) = Cluster::shared().copy(original);
        original = before;
        let mut own = Things {
            database,
            spec: spec.clone(),
        };
        let tables = own.database.value(TABLES);
        let died = Job::new(own.database.url())
            .args(["remove-unused-tables"])
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(died.code, -1, "step `{step}` was never reached: {died}");
        let is_listed = step != "unused-list";
        assert_eq!(
            own.database.value(LISTED).contains("main.old"),
            is_listed,
            "{step}"
        );
        if step == "unused-done" {
            assert_eq!(own.database.value(TABLES), "main.old");
            assert_eq!(own.database.value(KNOWN), "0");
        } else {
            assert_eq!(own.database.value(TABLES), tables, "{step}");
            assert_eq!(own.database.value(KNOWN), "4", "{step}");
        }
        // The locks of a run that died go within moments.
        removed(&own.database);
        assert_eq!(own.database.value(TABLES), "main.old", "{step}");
        assert_eq!(
            own.database
                .value("select count(*) from milepost.events where message like '%was removed%'"),
            "2",
            "{step}"
        );
        begins_anew(&mut own, 3);
    }
}
