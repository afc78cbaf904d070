//! What publish refuses: the message names table, difference and remedy, and the table stays as it is.

use acceptance::{Cluster, Database, Job, publish_model, shop};
use milepost_job_spec::{Strategy, StreamSpec};
use test_case::test_case;

use crate::{COLUMNS, MILESTONED, files, fill, ident, merged, people, publish_ok, schema, with};

/// Publishes `after` beside a healthy stream, and demands that it is refused with these words while the other goes on.
fn is_refused(database: &mut Database, after: &StreamSpec, words: &[&str]) {
    let other = crate::stream(shop::dataset("other", MILESTONED, &["id"], &COLUMNS));
    let (before, heaps) = (schema(database), files(database));
    let run = publish_model(database, &[after.clone(), other], 2);
    assert_eq!(run.code, 1, "{run}");
    for word in words.iter().chain(&["hint: ", "stream main/shop#people"]) {
        assert!(
            run.stderr.contains(word),
            "the message lacks {word:?}: {run}"
        );
    }
    assert_ne!(
        database.value("select count(*) from risk.shop__other"),
        "",
        "the other stream goes on"
    );

    // What the other stream made is no part of the comparison.
    database.run(
        "drop function if exists risk.shop__other__as_of, risk.shop__other__history(timestamptz); drop view risk.shop__other, risk.shop__other__history;
         drop table main.shop__other, main_staging.shop__other",
    );
    assert_eq!(schema(database), before, "the refused table is as before");
    assert_eq!(files(database), heaps);

    let merge = Job::merge(database.url(), after).run();
    assert_eq!(merge.code, 1, "no row moves either: {merge}");
    assert!(merge.stderr.contains(words[1]), "{merge}");
}

#[test_case("email", "character varying(10)?", "column `email` is character varying(20), its spec says character varying(10)"; "narrowed")]
#[test_case("id", "integer", "column `id` is bigint, its spec says integer"; "narrowed key")]
#[test_case("balance", "numeric(9,3)?", "column `balance` is numeric(8,2), its spec says numeric(9,3)"; "rescaled")]
#[test_case("balance", "text?", "column `balance` is numeric(8,2), its spec says text"; "rewritten")]
#[test_case("name", "text; drop table main.shop__people", "`text; drop table main.shop__people` is no name of a type"; "no type at all")]
fn a_type_that_no_row_fits_or_that_rewrites_the_table(column: &str, kind: &str, difference: &str) {
    let mut database = Cluster::shared().database();
    let spec = people(MILESTONED, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    fill(&mut database, &spec);
    is_refused(
        &mut database,
        &people(MILESTONED, &with(column, kind)),
        &["table `main.shop__people`", difference],
    );
}

#[test]
fn integer_to_bigint_is_a_migration() {
    let mut database = Cluster::shared().database();
    let spec = people(MILESTONED, &[("id", "integer")]);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    is_refused(
        &mut database,
        &people(MILESTONED, &[("id", "bigint")]),
        &[
            "table `main.shop__people`",
            "is integer, its spec says bigint",
            "planned migration",
        ],
    );
}

#[test_case(Strategy::LiveOnly, MILESTONED, "it is live-only, its spec is milestoned"; "to milestoned")]
#[test_case(MILESTONED, Strategy::LiveOnly, "it is milestoned, its spec is live-only"; "to live only")]
fn another_strategy_is_a_migration(before: Strategy, after: Strategy, difference: &str) {
    let mut database = Cluster::shared().database();
    let spec = people(before, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    fill(&mut database, &spec);
    is_refused(
        &mut database,
        &people(after, &COLUMNS),
        &["table `main.shop__people`", difference, "planned migration"],
    );
}

#[test_case(Strategy::LiveOnly, Strategy::Append, "it holds rows by key, its spec is `append`"; "live only to append")]
#[test_case(MILESTONED, Strategy::Append, "it holds rows by key, its spec is `append`"; "milestoned to append")]
#[test_case(Strategy::Append, Strategy::LiveOnly, "it holds appended rows, its spec has a key"; "append to live only")]
#[test_case(Strategy::Append, MILESTONED, "it holds appended rows, its spec has a key"; "append to milestoned")]
fn a_dataset_gets_or_loses_no_key(before: Strategy, after: Strategy, difference: &str) {
    let mut database = Cluster::shared().database();
    let spec = people(before, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    fill(&mut database, &spec);
    is_refused(
        &mut database,
        &people(after, &COLUMNS),
        &[
            "table `main.shop__people`",
            difference,
            "give the dataset another name",
        ],
    );
}

#[test_case("add primary key (id)", "has a primary key (\"id\"), its spec has none"; "a key")]
#[test_case("drop column dp_op cascade", "column `dp_op` is missing"; "no operation")]
fn a_table_of_appended_rows_that_somebody_changed(change: &str, difference: &str) {
    let mut database = Cluster::shared().database();
    let spec = people(Strategy::Append, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    database.run(&format!("alter table main.shop__people {change}"));
    is_refused(
        &mut database,
        &spec,
        &["table `main.shop__people`", difference],
    );
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(MILESTONED; "milestoned")]
fn another_key_is_a_migration(strategy: Strategy) {
    let mut database = Cluster::shared().database();
    let spec = people(strategy, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    let mut after = spec;
    after.datasets[0].key = vec![ident("id"), ident("name")];
    is_refused(
        &mut database,
        &after,
        &[
            "table `main.shop__people`",
            "its spec says (\"id\", \"name\")",
            "`merge-job rebuild --platform main --store shop --dataset people --from staging`",
        ],
    );
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(MILESTONED; "milestoned")]
fn a_new_column_in_the_key_is_told_as_new_and_not_as_dropped(strategy: Strategy) {
    let database = Cluster::shared().database();
    publish_ok(&database, &[people(strategy, &COLUMNS)], 1);
    let mut columns = COLUMNS.to_vec();
    columns.push(("region", "text"));
    let mut after = people(strategy, &columns);
    after.datasets[0].key = vec![ident("id"), ident("region")];
    let run = publish_model(&database, &[after], 2);
    assert_eq!(run.code, 1, "{run}");
    for words in [
        "it has no column `region`, which belongs to the key that its spec says",
        "`merge-job rebuild`",
    ] {
        assert!(run.stderr.contains(words), "{run}");
    }
}

#[test_case("alter table main.shop__people drop column email cascade", "column `email` is missing: somebody dropped or renamed it"; "a dropped column")]
#[test_case("drop function risk.shop__people__as_of; drop view risk.shop__people__history, risk.shop__people;
             alter table main.shop__people rename column email to mail", "column `email` is missing"; "a renamed column")]
#[test_case("alter table main.shop__people__live drop constraint shop__people__live_pkey", "has no primary key, its spec says (\"id\")"; "a lost key")]
#[test_case("alter table main.shop__people__live set unlogged", "partition `main.shop__people__live` is unlogged"; "an unlogged partition")]
#[test_case("alter table main.shop__people detach partition main.shop__people__closed", "`main.shop__people__closed` is not its partition DEFAULT"; "a detached partition")]
#[test_case("drop table main.shop__people__closed", "its partition `main.shop__people__closed` is gone"; "a lost partition")]
#[test_case("drop table main.shop__people cascade", "it is gone, although batches have merged rows into it"; "a lost table")]
#[test_case("drop table main.shop__people cascade; create view main.shop__people as select 1", "it is a view"; "a view in its place")]
fn a_merge_table_that_somebody_changed(change: &str, difference: &str) {
    let mut database = Cluster::shared().database();
    let spec = people(MILESTONED, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    fill(&mut database, &spec);
    database.run(change);
    is_refused(
        &mut database,
        &spec,
        &["table `main.shop__people`", difference],
    );
}

#[test_case("drop table main_staging.shop__people", "it is gone, although batches have merged rows from it"; "a lost table")]
#[test_case("alter table main_staging.shop__people drop column __op", "column `__op` is missing"; "a lost column of ours")]
#[test_case("alter table main_staging.shop__people alter column __lsn type numeric", "column `__lsn` is numeric, its spec says bigint"; "another type")]
fn a_staging_table_that_somebody_changed(change: &str, difference: &str) {
    let mut database = Cluster::shared().database();
    let spec = people(MILESTONED, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    merged(&mut database);
    database.run(change);
    is_refused(
        &mut database,
        &spec,
        &["table `main_staging.shop__people`", difference],
    );
}

#[test]
fn a_table_that_was_not_made_by_merge_job_is_used_and_never_changed() {
    let mut database = Cluster::shared().database();
    let narrow = [("id", "bigint"), ("name", "text?")];
    database.run(
        "create schema main; create table main.shop__people (id bigint primary key, name text)",
    );
    publish_ok(&database, &[people(Strategy::LiveOnly, &narrow)], 1);
    let wider = people(
        Strategy::LiveOnly,
        &[("id", "bigint"), ("name", "text?"), ("email", "text?")],
    );
    let run = publish_model(&database, std::slice::from_ref(&wider), 2);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("was not made by merge-job"), "{run}");

    // The remedy of the message makes it the platform's.
    let remedy = run
        .stderr
        .split('`')
        .find(|part| part.starts_with("comment on table"));
    database.run(remedy.expect("the message has a remedy"));
    publish_ok(&database, &[wider], 3);
}

#[test]
fn a_dataset_that_is_merged_keeps_its_table() {
    let mut database = Cluster::shared().database();
    let spec = people(MILESTONED, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    merged(&mut database);
    let mut after = spec;
    after.datasets[0].merge.name = ident("shop__persons");
    is_refused(
        &mut database,
        &after,
        &[
            "table `main.shop__persons`",
            "merged into `main.shop__people` until now",
        ],
    );
}

#[test]
fn all_differences_are_told_at_once() {
    let database = Cluster::shared().database();
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 1);
    let mut columns = with("email", "character varying(5)?");
    columns[2].1 = "numeric(6,2)?";
    let run = publish_model(&database, &[people(MILESTONED, &columns)], 2);
    assert_eq!(run.code, 1, "{run}");
    // Staging and merge table have both columns.
    assert_eq!(run.stderr.matches("error: ").count(), 4, "{run}");
}
