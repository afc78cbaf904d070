//! What is not removed: what is wanted, written to, read, made by others or made anew.

use milepost_job_spec::Strategy;

use super::{
    ALL, LISTED, TABLES, Things, age, create, due, ident, other, publish, remove, removed, retired,
    rows, says,
};

#[test]
fn what_a_publish_wants_again_is_taken_from_the_list_and_waits_anew_when_it_is_retired_again() {
    let mut things = due(ALL);
    let before = things.database.value(TABLES);
    publish(&things.database, &[other(), things.spec.clone()], 3);
    assert_eq!(things.database.value(LISTED), "", "by the publish itself");
    things.deliver(6, &rows(6..8));
    assert_eq!(things.merged(), "0=a,1=a,2=a,3=a,4=a,6=a,7=a");
    says(&removed(&things.database), &["0 listed; 0 on the list"]);
    publish(&things.database, &[other()], 4);
    says(&removed(&things.database), &["2 listed"]);
    removed(&things.database);
    assert_eq!(things.database.value(TABLES), before);
}

#[test]
fn a_table_without_our_mark_stays_with_the_other_one_of_its_dataset() {
    for unmarked in ["main.shop__things", "main_staging.shop__things"] {
        let mut things = due(ALL);
        let before = things.database.value(TABLES);
        things
            .database
            .run(&format!("comment on table {unmarked} is null"));
        let run = removed(&things.database);
        says(
            &run,
            &[
                "it stays, since `",
                &format!("{unmarked}: taken from the list"),
            ],
        );
        assert_eq!(things.database.value(TABLES), before);
        assert_eq!(things.database.value(LISTED), "");
        // It is published again, and merged on.
        publish(&things.database, &[other(), things.spec.clone()], 3);
        things.deliver(6, &rows(6..7));
        assert_eq!(things.merged(), "0=a,1=a,2=a,3=a,4=a,6=a");
    }
}

#[test]
fn nothing_is_listed_by_its_name_or_by_half_a_mark() {
    let mut things = retired(ALL);
    things.database.run(
        "create schema elsewhere;
         create table main.shop__mine (id int);
         create table main.shop__claimed (id int); comment on table main.shop__claimed is 'milepost: mine';
         create table main.shop__noted (id int); comment on table main.shop__noted is 'of milepost: {\"holds\": \"x\", \"columns\": []}';
         create table elsewhere.far (id int); comment on table elsewhere.far is 'milepost: {\"holds\": \"x\", \"columns\": []}';
         comment on table milepost.events is 'milepost: {\"holds\": \"x\", \"columns\": []}';
         create role somebody; create table main.shop__theirs (id int); alter table main.shop__theirs owner to somebody;
         comment on table main.shop__theirs is 'milepost: {\"holds\": \"x\", \"columns\": []}'",
    );
    removed(&things.database);
    assert!(things.database.value(LISTED).contains("main.shop__things"));
    assert!(!things.database.value(LISTED).contains("shop__mine"));
    for foreign in ["claimed", "noted", "far", "events"] {
        assert!(
            !things.database.value(LISTED).contains(foreign),
            "{foreign}"
        );
    }
}

#[test]
fn a_table_that_somebody_reads_stays_with_all_of_its_dataset_and_is_named_while_others_go() {
    let mut things = due(ALL);
    things.database.run(
        "create view public.report as select word from main.shop__things;
         create table main.old (id int);
         comment on table main.old is 'milepost: {\"holds\": \"merged rows\", \"columns\": [\"id\"]}'",
    );
    removed_or_not(&things, 1);
    age(&mut things.database);
    for arguments in [&["--dry-run"][..], &[]] {
        let run = remove(&things.database, arguments);
        assert_eq!(run.code, 1, "{run}");
        assert!(
            run.stderr
                .contains("something depends on it: `view public.report`"),
            "{run}"
        );
        assert!(
            run.stderr.contains("hint: drop or detach what reads it"),
            "{run}"
        );
        says(&run, &["main.old: 0.0 kB, removed"]);
    }
    assert_eq!(
        things.database.value(TABLES),
        "main.shop__things main.shop__things__closed main.shop__things__live main_staging.shop__things"
    );
    // One that is ours goes by another command.
    things.database.run(
        "drop view public.report; create view public.ours as select word from main.shop__things__live;
         comment on view public.ours is 'milepost: a view'",
    );
    let run = remove(&things.database, &[]);
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr
            .contains("`merge-job reconcile-views` drops them"),
        "{run}"
    );
    things.database.run("drop view public.ours");
    removed(&things.database);
    assert_eq!(things.database.value(TABLES), "");
}

fn removed_or_not(things: &Things, code: i32) {
    let run = remove(&things.database, &[]);
    assert_eq!(run.code, code, "{run}");
}

#[test]
fn publications_foreign_keys_heirs_and_foreign_partitions_count_as_readers() {
    for (made, named) in [
        ("create publication mine for table main_staging.shop__things", "publication mine"),
        ("create table public.heir () inherits (main_staging.shop__things)", "public.heir"),
        (
            "create table public.child (t text, p int, o bigint, foreign key (t, p, o) references main_staging.shop__things (__connect_topic, __connect_partition, __connect_offset))",
            "foreign key of public.child",
        ),
        (
            "create function public.f() returns bigint language sql begin atomic select count(*) from main.shop__things; end",
            "function public.f()",
        ),
        (
            "alter table main.shop__things detach partition main.shop__things__closed;
             create table public.part (like main.shop__things);
             alter table main.shop__things attach partition public.part for values in ('2000-01-01');
             create table public.part2 (like main.shop__things);
             alter table main.shop__things attach partition public.part2 for values in ('2000-01-02')",
            "",
        ),
    ] {
        let mut things = due(ALL);
        things.database.run(made);
        let before = things.database.value(TABLES);
        let run = remove(&things.database, &[]);
        if named.is_empty() {
            // A partition that was detached is a table of the dataset without our mark.
            assert_eq!(run.code, 0, "{run}");
        } else {
            assert_eq!(run.code, 1, "{made}: {run}");
            assert!(run.stderr.contains(named), "{run}");
        }
        assert_eq!(things.database.value(TABLES), before, "{made}");
    }
}

#[test]
fn a_table_that_was_made_again_is_another_one_and_waits_anew() {
    let mut things = due(Strategy::LiveOnly);
    things.database.run(
        "create table main.again (like main.shop__things including all);
         drop table main.shop__things; alter table main.again rename to shop__things;
         comment on table main.shop__things is 'milepost: {\"holds\": \"merged rows\", \"columns\": [\"id\", \"word\"]}'",
    );
    let run = removed(&things.database);
    says(
        &run,
        &["0 unused tables removed", "1 listed; 2 on the list"],
    );
    assert_eq!(
        things.database.value(TABLES),
        "main.shop__things main_staging.shop__things"
    );
    removed(&things.database);
    age(&mut things.database);
    says(&removed(&things.database), &["2 unused tables removed"]);
}

/// Above what is staged, in the place of a staged row, below all of them, and in another topic.
#[test]
fn staging_that_is_written_to_stays_and_says_so() {
    let mut things = due(ALL);
    things
        .database
        .run("delete from main_staging.shop__things where __connect_offset = 0");
    for (round, (topic, offset)) in [("t", 6), ("t", 3), ("t", 0), ("another", 0)]
        .into_iter()
        .enumerate()
    {
        things.sink(topic, 0, offset, &create(90, "late", 300));
        for arguments in [&["--dry-run"][..], &[]] {
            let run = remove(&things.database, arguments);
            assert_eq!(run.code, 0, "{run}");
            says(
                &run,
                &[
                    "0 unused tables",
                    "main_staging.shop__things: ",
                    "rows were staged since it was listed, so something still writes to it",
                ],
            );
        }
        assert_eq!(
            things.database.value("select count(*) from milepost.events where message like 'rows were staged%' and severity = 'warning'"),
            (round + 1).to_string()
        );
        says(&removed(&things.database), &["2 on the list", "waits"]);
        age(&mut things.database);
    }
    says(&removed(&things.database), &["2 unused tables removed"]);
    assert_eq!(things.database.value(TABLES), "");
}

#[test]
fn a_transaction_that_is_older_than_the_staged_rows_and_goes_on_makes_none_of_them_new() {
    let mut things = Things::of(ALL);
    let mut long = things.database.again();
    long.run("begin; select pg_current_xact_id()");
    things.deliver(0, &rows(0..3));
    things.merged();
    publish(&things.database, &[other()], 2);
    removed(&things.database);
    age(&mut things.database);
    says(&removed(&things.database), &["2 unused tables removed"]);
    long.run("rollback");
}

/// It began before the table was listed, and stages its row later.
#[test]
fn a_transaction_that_was_open_when_a_table_was_listed_counts_as_later() {
    let mut things = retired(ALL);
    let mut other = things.database.again();
    std::mem::swap(&mut things.database, &mut other);
    things.database.run("begin; select pg_current_xact_id()");
    says(&removed(&other), &["2 listed"]);
    things.deliver(6, &rows(6..7));
    things.database.run("commit");
    age(&mut things.database);
    says(&removed(&other), &["something still writes to it"]);
}

#[test]
fn a_platform_is_looked_at_alone() {
    let mut things = retired(ALL);
    let moved = |name: &str| {
        let mut spec = if name == "other" {
            other()
        } else {
            things.spec.clone()
        };
        spec.stream.platform = "second".to_owned();
        let dataset = &mut spec.datasets[0];
        dataset.staging.schema = ident("second_staging");
        for table in [
            Some(&mut dataset.merge),
            dataset.live.as_mut(),
            dataset.closed.as_mut(),
        ] {
            table.expect("it is milestoned").schema = ident("second");
        }
        spec
    };
    publish(&things.database, &[moved("things"), moved("other")], 1);
    publish(&things.database, &[moved("other")], 2);
    let second = "second.shop__things second_staging.shop__things";
    let run = remove(&things.database, &["--platform", "second"]);
    says(&run, &["2 listed; 2 on the list"]);
    assert_eq!(things.database.value(LISTED), second);
    age(&mut things.database);
    says(
        &remove(&things.database, &["--platform", "main"]),
        &["2 listed; 2 on the list"],
    );
    assert_eq!(
        things.database.value(LISTED),
        format!("main.shop__things main_staging.shop__things {second}")
    );
    says(
        &remove(&things.database, &["--platform", "second"]),
        &["2 unused tables removed"],
    );
    assert!(!things.database.value(TABLES).contains("second"));
    assert_eq!(
        things
            .database
            .value("select count(*) from milepost.positions where platform = 'main'"),
        "1"
    );
    let unknown = remove(&things.database, &["--platform", "third"]);
    assert_eq!(unknown.code, 2, "{unknown}");
}
