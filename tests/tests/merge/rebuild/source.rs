//! Filled from the source: positions stay, and a new snapshot brings what the new table lacks.

use acceptance::{Cluster, Job, publish, publish_model, shop, stage};
use milepost_job_spec::{OnResnapshot, Strategy};
use milepost_simulator::{History, Settings};
use test_case::test_case;

use super::{ALL, Event, LAST, LIVE, People, SNAPSHOT, event, people};

/// A later snapshot of the three rows.
const AGAIN: [Event; 3] = [
    ("r", 1, "ann", "a1", "first"),
    ("r", 2, "bo2", "b1", "true"),
    ("r", 4, "dan", "d1", "last"),
];

#[test_case(LIVE, &["id", "region"], "id, region"; "a column more, live only")]
#[test_case(ALL, &["id", "region"], "id, region"; "a column more, all versions")]
#[test_case(LAST, &["code"], "code"; "another column, last version per batch")]
#[test_case(ALL, &["code"], "code"; "another column, all versions")]
fn a_changed_key_is_followed_and_a_new_snapshot_fills_the_table(
    strategy: Strategy,
    key: &[&str],
    told: &str,
) {
    let mut people = People::of(strategy, &["id"]);
    people.stage(&SNAPSHOT);
    people.stage(&[
        event("u", 2, "bo2", "-"),
        event("d", 3, "", ""),
        event("c", 4, "dan", "d1"),
    ]);
    let before = "1r1101ann:a1 2r0102bo2:b1 4r0104dan:d1";
    assert_eq!(people.merged(), before);
    people.change_key(key);
    assert_eq!(people.merge().code, 1, "the key of the table is another");

    let state = people.state();
    let plan = people.rebuild("source", &[]);
    assert_eq!(plan.code, 0, "{plan}");
    for words in [
        "main/shop#people: the table of dataset `people` is made anew by batch 2",
        "why      ",
        "its spec says",
        "kept     main.shop__people as shop__people__until_2",
        "3 live and ",
        "`merge-job remove-unused-tables` drops it in time, or you: `drop table \"main\".\"shop__people__until_2\"`",
        "docs/operations.md, \"A new snapshot\"",
        "says `snapshot` until then",
        "no two live rows share a value of it now",
        "nothing was changed: add --yes to do it",
    ] {
        assert!(plan.stdout.contains(words), "`{words}` is not in {plan}");
    }
    assert_eq!(people.state(), state, "a plan changes nothing");

    let done = people.rebuilt("source");
    assert!(done.stdout.contains("was made anew by batch 2"), "{done}");
    assert_eq!(people.primary_key(), format!("PRIMARY KEY ({told})"));
    assert_eq!(people.kept(), "shop__people__until_2");
    assert_eq!(people.live(), "");
    assert_eq!(people.status(), "snapshot");
    people.is_clean();
    let batch = people.database.rows(
        "select batch_number, status, rows_staged, rows_closed, rows_deleted from milepost.batches order by id desc limit 1",
    );
    assert_eq!(
        format!("{batch:?}"),
        r#"[[Some("2"), Some("succeeded"), Some("0"), Some("3"), Some("0")]]"#
    );
    let kept = people.database.value(
        "select string_agg(id || name, ' ' order by id) from main.shop__people__until_2 t where to_jsonb(t) ->> 'dp_out' is null",
    );
    assert_eq!(kept, "1ann 2bo2 4dan", "what was merged stays");

    // Events go on; what changes a large value not sets the row aside until the snapshot brings it.
    people.stage(&[
        event("u", 1, "an2", "-"),
        event("u", 2, "bo3", "b2"),
        event("d", 4, "", ""),
    ]);
    assert_eq!(people.merged(), "2r0102bo3:b2");
    assert_eq!(people.status(), "snapshot");
    assert_eq!(
        people
            .database
            .value("select count(*) from milepost.quarantine where status = 'open'"),
        "1"
    );

    people.stage(&AGAIN[..2]);
    people.merged();
    assert_eq!(people.status(), "snapshot", "its end is not merged yet");
    people.stage(&AGAIN[2..]);
    assert_eq!(people.merged(), before);
    assert_eq!(people.status(), "healthy");
    assert_eq!(
        people
            .database
            .value("select status from milepost.quarantine"),
        "superseded"
    );
    people.stage(&[event("u", 1, "an3", "-")]);
    assert_eq!(people.merged(), before.replace("ann", "an3"));
    people.is_clean();
}

#[test]
fn a_column_leaves_the_key_and_the_order_of_columns_changes() {
    let mut people = People::of(ALL, &["id", "region"]);
    people.stage(&SNAPSHOT);
    let rows = people.merged();
    for (key, told) in [(&["region", "id"][..], "region, id"), (&["id"], "id")] {
        people.change_key(key);
        people.rebuilt("source");
        assert_eq!(people.primary_key(), format!("PRIMARY KEY ({told})"));
        people.stage(&SNAPSHOT);
        assert_eq!(people.merged(), rows);
        assert_eq!(people.status(), "healthy");
    }
    assert_eq!(people.kept(), "shop__people__until_2 shop__people__until_4");
    people.is_clean();
}

#[test]
fn only_a_complete_snapshot_that_began_after_the_rebuild_ends_it() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    // A new snapshot is under way.
    people.stage(&AGAIN[..2]);
    people.merged();
    people.change_key(&["code"]);
    people.rebuilt("source");
    people.stage(&AGAIN[2..]);
    assert_eq!(people.merged(), "4r0104dan:d1", "of that snapshot the rest");
    assert_eq!(people.status(), "snapshot");
    let mut incremental = AGAIN;
    for row in &mut incremental {
        row.4 = "incremental";
    }
    people.stage(&incremental);
    assert_eq!(people.merged(), "1r1101ann:a1 2r0102bo2:b1 4r0104dan:d1");
    assert_eq!(people.status(), "snapshot", "nobody knows its end");
    people.stage(&AGAIN);
    people.merged();
    assert_eq!(people.status(), "healthy");
    people.is_clean();
}

#[test]
fn a_snapshot_that_heals_closes_what_it_does_not_have_also_in_a_new_table() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    people.change_key(&["code"]);
    people.spec.datasets[0].policy.resnapshot = OnResnapshot::Heal;
    people.spec.datasets[0].policy.max_missing_percent = 100;
    assert_eq!(people.publish().code, 1);
    people.rebuilt("source");
    people.stage(&[event("c", 9, "eva", "e1")]);
    people.merged();
    people.spec.limits.max_rows = 1;
    assert_eq!(people.publish().code, 0);
    people.stage(&AGAIN);
    assert_eq!(people.merged(), "1r1101ann:a1 2r0102bo2:b1 4r0104dan:d1");
    assert_eq!(people.status(), "healthy");
}

#[test]
fn entries_of_the_old_table_are_closed_and_say_why() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.stage(&[event("u", 7, "gil", "-")]);
    people.merged();
    people.change_key(&["code"]);
    let run = people.rebuilt("source");
    assert!(
        run.stdout
            .contains("1 open entries of the quarantine are closed as superseded"),
        "{run}"
    );
    let entry = people.database.rows("select status, reason like '%; superseded: batch 2 made the table anew' from milepost.quarantine");
    assert_eq!(format!("{entry:?}"), r#"[[Some("superseded"), Some("t")]]"#);
}

#[test]
fn a_table_without_a_difference_may_be_made_anew_and_so_may_one_that_is_gone() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    let rows = people.merged();
    let plan = people.rebuild("source", &[]);
    assert!(
        plan.stdout.contains("no difference between table and spec"),
        "{plan}"
    );
    people.rebuilt("source");
    people.stage(&SNAPSHOT);
    assert_eq!(people.merged(), rows);

    people.database.run("drop table main.shop__people cascade");
    let run = people.merge();
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("`merge-job rebuild`"), "{run}");
    let run = people.rebuilt("source");
    assert!(run.stdout.contains("nothing: the table is gone"), "{run}");
    people.stage(&SNAPSHOT);
    assert_eq!(people.merged(), rows);
    people.is_clean();

    // A partition that somebody detached is in the way, and stays.
    people
        .database
        .run("alter table main.shop__people detach partition main.shop__people__closed");
    people.rebuilt("source");
    people.stage(&SNAPSHOT);
    assert_eq!(people.merged(), rows);
    people.is_clean();
}

#[test]
fn a_table_goes_from_one_strategy_to_the_other() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    let rows = people.merged();
    for (strategy, name) in [(LIVE, "live-only"), (LAST, "milestoned")] {
        people.spec = super::people(strategy, &["id"]);
        assert_eq!(people.publish().code, 1);
        if strategy == LIVE {
            let run = people.rebuild("source", &["--yes"]);
            assert_eq!(run.code, 1, "{run}");
            assert!(
                run.stderr.contains("merge-job reconcile-views"),
                "views that nobody wants read it: {run}"
            );
            Job::new(people.database.url())
                .args(["reconcile-views"])
                .succeed();
        }
        people.rebuilt("source");
        assert_eq!(
            people
                .database
                .value("select strategy from milepost.datasets"),
            name
        );
        people.stage(&SNAPSHOT);
        assert_eq!(people.merged(), rows);
        people.is_clean();
    }
}

#[test]
fn the_lower_of_two_rows_that_share_the_new_key_is_told_and_gives_way() {
    let mut people = People::of(LIVE, &["id"]);
    people.stage(&SNAPSHOT);
    people
        .database
        .run("update main_staging.shop__people set code = 7");
    people.merged();
    people.change_key(&["code"]);
    let run = people.rebuilt("source");
    assert!(
        run.stdout
            .contains("1 values of it have several live rows now"),
        "{run}"
    );
    people.stage(&SNAPSHOT);
    people
        .database
        .run("update main_staging.shop__people set code = 7");
    assert_eq!(people.merged(), "3r17cid:c1");
}

#[test]
fn a_topic_that_is_made_again_is_noticed_and_its_snapshot_fills_the_table() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    let rows = people.merged();
    people.change_key(&["id", "region"]);
    people.rebuilt("source");
    people
        .database
        .run("update main_staging.shop__people set __lsn = 7 where __connect_offset = 2");
    let run = people.merge();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr.contains("is not the one that was merged"),
        "{run}"
    );
    let accept = [
        "topics",
        "accept",
        "--platform",
        "main",
        "--store",
        "shop",
        "--dataset",
        "people",
    ];
    let place = [
        "--topic",
        "t",
        "--partition",
        "0",
        "--as",
        "recreated",
        "--yes",
    ];
    Job::new(people.database.url())
        .args(accept)
        .args(place)
        .succeed();
    people.next = 0;
    people.stage(&SNAPSHOT);
    assert_eq!(people.merged(), rows);
    assert_eq!(people.status(), "healthy");
}

#[test]
fn one_dataset_of_a_store_is_made_anew_and_the_others_go_on() {
    let settings = Settings {
        replica_identity_full: true,
        ..Settings::default()
    };
    let mut spec = shop::stream(ALL);
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let mut history = History::with(&spec, crate::seed(), settings);
    stage::round(&mut database, &spec, &history.round(30));
    Job::merge(database.url(), &spec).succeed();
    spec.datasets[2].key.reverse();
    assert_eq!(
        publish_model(&database, std::slice::from_ref(&spec), 2).code,
        1
    );
    let own = [
        "rebuild",
        "--platform",
        "main",
        "--store",
        "shop",
        "--from",
        "source",
        "--dataset",
        "order_lines",
    ];
    let before = database.value("select count(*) from main.shop__customers");
    Job::new(database.url()).args(own).args(["--yes"]).succeed();
    assert_eq!(
        database.value("select count(*) from main.shop__order_lines"),
        "0"
    );
    assert_eq!(
        database.value("select count(*) from main.shop__customers"),
        before
    );
    stage::round(&mut database, &spec, &history.round(30));
    Job::merge(database.url(), &spec).succeed();
    let verified = Job::new(database.url())
        .args(["verify", "--platform", "main"])
        .run();
    assert_eq!(verified.code, 0, "{verified}");
    assert_eq!(
        database.value("select status from milepost.stream_status"),
        "snapshot"
    );
}

#[test]
fn a_long_and_hostile_name_is_kept_under_a_legal_one() {
    let mut spec = people(ALL, &["id"]);
    let own = |suffix: &str| {
        format!("x\"'; -- {}{suffix}", "é".repeat(22))
            .parse()
            .expect("it has at most 63 bytes")
    };
    let dataset = &mut spec.datasets[0];
    dataset.merge.name = own("");
    for (part, suffix) in [(&mut dataset.live, "_l"), (&mut dataset.closed, "_c")] {
        part.as_mut().expect("it is milestoned").name = own(suffix);
    }
    let mut people = People {
        database: Cluster::shared().database(),
        spec: spec.clone(),
        next: 0,
        model: 1,
    };
    assert_eq!(people.publish().code, 0);
    people.stage(&SNAPSHOT);
    let rows = people.merged();
    people.spec.datasets[0].key = vec!["code".parse().expect("a name")];
    assert_eq!(people.publish().code, 1);
    people.rebuilt("source");
    people.stage(&SNAPSHOT);
    assert_eq!(people.merged(), rows);
    people.is_clean();
    assert!(people.kept().ends_with("__until_2"), "{}", people.kept());
}
