//! Filled from staging: the last complete snapshot and what follows it are merged again.

use test_case::test_case;

use super::{ALL, Event, LAST, LIVE, People, SNAPSHOT, event};

/// What a database that had this key from the start shows of the same rows.
fn from_the_start(people: &mut People, key: &[&str]) -> String {
    let mut other = People::of(people.spec.datasets[0].strategy, key);
    let staged = people
        .database
        .copy_out("copy main_staging.shop__people to stdout");
    other
        .database
        .copy_in("copy main_staging.shop__people from stdin", &staged);
    other.merged()
}

const LATER: [Event; 8] = [
    event("u", 1, "an2", "-"),
    event("d", 2, "bob", "b1"),
    event("c", 2, "bea", "b2"),
    event("u", 3, "cid", "c2"),
    event("c", 4, "dan", "d1"),
    event("u", 4, "da2", "-"),
    event("d", 3, "cid", "c2"),
    event("u", 2, "be2", "-"),
];

#[test_case(LIVE, &["id", "region"], 100; "a column more, live only")]
#[test_case(ALL, &["id", "region"], 1; "a column more, all versions, row by row")]
#[test_case(LAST, &["code"], 2; "another column, last version per batch")]
#[test_case(ALL, &["region", "code"], 3; "two other columns")]
fn a_changed_key_is_followed_and_all_is_merged_again(
    strategy: milepost_job_spec::Strategy,
    key: &[&str],
    max_rows: u64,
) {
    let mut people = People::of(strategy, &["id"]);
    // What is before the snapshot is not needed.
    people.stage(&[event("u", 8, "old", "-"), event("c", 9, "old", "o1")]);
    people.merged();
    people.stage(&SNAPSHOT);
    people.stage(&LATER);
    people.merged();
    people.change_key(key);
    people.spec.limits.max_rows = max_rows;
    assert_eq!(people.publish().code, 1);
    let state = people.state();
    let plan = people.rebuild("staging", &[]);
    for words in [
        "from staging: 11 rows of topic `t`, partition 0, from offset 2 on, the last complete snapshot (to 4)",
        "until all up to offset 12 is merged again",
        "no two live rows share a value of it now",
        "while the key was another leaves the former value live as well",
    ] {
        assert!(plan.stdout.contains(words), "`{words}` is not in {plan}");
    }
    assert_eq!(people.state(), state, "a plan changes nothing");
    people.rebuilt("staging");
    assert_eq!(people.live(), "");
    assert_eq!(people.status(), "snapshot");
    people.is_clean();
    people.stage(&[event("c", 5, "eve", "e1")]);
    let rows = people.merged();
    assert_eq!(rows, "1r1101an2:a1 2r0102be2:b2 4r0104da2:d1 5r1105eve:e1");
    // Row 9 was there before the snapshot, which did not have it.
    assert_eq!(
        from_the_start(&mut people, key),
        format!("{rows} 9r1109old:o1")
    );
    assert_eq!(people.status(), "healthy");
    people.is_clean();
    assert_eq!(
        people
            .database
            .value("select count(*) from milepost.quarantine where status = 'open'"),
        "0",
        "what was set aside before the snapshot is closed"
    );
    // What is delivered again is no news.
    people.stage_at(13, 0, event("c", 5, "eve", "e1"));
    people.stage_at(3, 0, SNAPSHOT[1]);
    assert_eq!(people.merged(), rows);
    people
        .database
        .run("update main_staging.shop__people set __lsn = 7 where __connect_offset = 13");
    assert_eq!(people.merge().code, 1, "another topic is noticed");
}

#[test]
fn a_topic_is_recognised_by_the_row_before_the_snapshot() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&[event("c", 8, "old", "o1"), event("c", 9, "old", "o1")]);
    people.stage(&SNAPSHOT);
    people.merged();
    people.rebuilt("staging");
    people
        .database
        .run("update main_staging.shop__people set __lsn = 7 where __connect_offset = 1");
    let run = people.merge();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr.contains("another row stands at offset 1"),
        "{run}"
    );
}

#[test]
fn the_stream_says_snapshot_until_the_former_watermark() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.stage(&LATER);
    people.merged();
    people.rebuilt("staging");
    let merged = |people: &mut People, offset: u32| {
        people.database.run(&format!("create table if not exists public.later (like main_staging.shop__people);
             with gone as (delete from main_staging.shop__people where __connect_offset > {offset} returning *) insert into public.later select * from gone"));
        people.merged();
        people.database.run("with back as (delete from public.later returning *) insert into main_staging.shop__people select * from back");
    };
    for offset in [1, 2, 5, 9] {
        merged(&mut people, offset);
        assert_eq!(people.status(), "snapshot", "up to {offset}");
    }
    people.merged();
    assert_eq!(people.status(), "healthy");
    people.is_clean();
}

#[test]
fn a_truncate_behind_the_snapshot_counts() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.stage(&[
        event("u", 1, "an2", "-"),
        event("t", 0, "", ""),
        event("c", 6, "fay", "f1"),
    ]);
    let rows = people.merged();
    people.change_key(&["code"]);
    people.rebuilt("staging");
    assert_eq!(people.merged(), rows);
    assert_eq!(rows, "6r0106fay:f1");
    people.is_clean();
}

#[test]
fn a_snapshot_that_is_staged_and_not_merged_yet_fills_the_table_too() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    people.change_key(&["code"]);
    people.stage(&[event("u", 1, "an2", "-"), event("c", 7, "gus", "g1")]);
    people.stage(&[
        ("r", 1, "an2", "a1", "first"),
        ("r", 7, "gus", "g1", "last"),
    ]);
    let run = people.rebuilt("staging");
    assert!(run.stdout.contains("from offset 5 on"), "{run}");
    assert_eq!(people.status(), "snapshot");
    assert_eq!(people.merged(), "1r1101an2:a1 7r1107gus:g1");
    assert_eq!(people.status(), "healthy");
    people.is_clean();
}

#[test]
fn the_first_snapshot_of_a_topic_is_merged_again_from_its_first_row() {
    let mut people = People::of(LIVE, &["id"]);
    people.stage(&SNAPSHOT);
    let rows = people.merged();
    people.rebuilt("staging");
    assert_eq!(
        people
            .database
            .value("select watermark from milepost.positions"),
        "-1"
    );
    assert_eq!(people.merged(), rows);
    people.rebuilt("staging");
    people.rebuilt("staging");
    assert_eq!(people.merged(), rows, "twice in a row");
    assert_eq!(
        people.kept(),
        "shop__people__until_2 shop__people__until_4 shop__people__until_5"
    );
    people.is_clean();
}

#[test]
fn an_entry_of_a_row_that_is_merged_again_is_opened_and_keeps_what_a_person_mended() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.stage(&[event("u", 7, "gil", "-")]);
    people.merged();
    people
        .database
        .run("update milepost.quarantine set payload = payload || '{\"notes\": \"mended\"}'");
    people.change_key(&["code"]);
    people.rebuilt("staging");
    assert_eq!(
        people
            .database
            .value("select status from milepost.quarantine"),
        "superseded"
    );
    people.merged();
    assert_eq!(
        people
            .database
            .value("select status || (payload ->> 'notes') from milepost.quarantine"),
        "openmended"
    );
    let replay = acceptance::Job::quarantine(people.database.url(), &people.spec, "replay");
    replay.args(["--yes"]).succeed();
    assert!(
        people.live().contains("7r1107gil:mended"),
        "{}",
        people.live()
    );
}

#[test]
fn rows_without_the_new_key_are_set_aside_and_the_rest_is_merged() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.stage(&[event("u", 3, "ci2", "c1")]);
    people.merged();
    people
        .database
        .run("update main_staging.shop__people set code = null where __connect_offset = 3");
    people.change_key(&["code"]);
    let run = people.rebuilt("staging");
    assert!(
        run.stdout.contains("1 of them have a null in the new key"),
        "{run}"
    );
    assert_eq!(people.merged(), "1r1101ann:a1 2r0102bob:b1 3r1103cid:c1");
    assert_eq!(
        people
            .database
            .value("select count(*) from milepost.quarantine where status = 'open'"),
        "1"
    );
}

#[test]
fn a_column_that_the_old_table_let_be_null_stays_so() {
    let mut people = People::of(LIVE, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    let mut dataset = people.spec.datasets[0].clone();
    let mut added = dataset.columns[2].clone();
    added.name = super::ident("added");
    added.staged_as = super::ident("added");
    dataset.columns.push(added);
    people.spec.datasets = vec![dataset];
    assert_eq!(
        people.publish().code,
        0,
        "an added column may be null, whatever the spec says"
    );
    people.rebuilt("staging");
    assert_eq!(people.merged(), "1r1101ann:a1 2r0102bob:b1 3r1103cid:c1");
    assert_eq!(
        people
            .database
            .value("select count(*) from milepost.quarantine"),
        "0"
    );
}
