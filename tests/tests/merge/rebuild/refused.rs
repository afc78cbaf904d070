//! What stands against a rebuild, told with its remedy, and nothing changed.

use acceptance::{Cluster, Job, publish, shop};
use milepost_job_spec::{Outcome, Strategy};
use test_case::test_case;

use super::{ALL, People, SNAPSHOT, event};

fn refused(people: &mut People, origin: &str, outcome: Outcome, words: &str) {
    let state = people.state();
    for more in [&[][..], &["--yes"]] {
        let run = people.rebuild(origin, more);
        assert_eq!(run.code, i32::from(outcome.code()), "{run}");
        assert!(run.stderr.contains(words), "`{words}` is not in {run}");
    }
    assert_eq!(people.state(), state);
}

#[test]
fn a_stream_or_dataset_that_is_not_published_is_usage() {
    let people = People::of(ALL, &["id"]);
    for (store, dataset) in [("shop", "nobody"), ("nowhere", "people")] {
        let run = Job::new(people.database.url())
            .args([
                "rebuild",
                "--platform",
                "main",
                "--store",
                store,
                "--dataset",
                dataset,
                "--from",
                "source",
            ])
            .run();
        assert_eq!(run.code, i32::from(Outcome::Usage.code()), "{run}");
        assert!(
            run.stderr.contains("the published plan has no stream"),
            "{run}"
        );
    }
}

#[test]
fn a_stream_that_somebody_holds_is_left_alone() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    let state = people.state();
    let mut other = people.database.again();
    other.run("begin; select from milepost.streams for no key update");
    assert_eq!(
        people.rebuild("source", &["--yes"]).code,
        i32::from(Outcome::Held.code())
    );
    assert_eq!(
        people.rebuild("source", &[]).code,
        0,
        "a plan needs no lock"
    );
    other.run("rollback; begin; select from milepost.datasets for no key update");
    assert_eq!(
        people.rebuild("source", &["--yes"]).code,
        i32::from(Outcome::Held.code())
    );
    other.run("rollback");
    assert_eq!(people.state(), state);
}

#[test]
fn a_reader_that_stays_is_waited_for_and_then_told() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    let state = people.state();
    let mut other = people.database.again();
    other.run("begin; select from risk.shop__people");
    let run = people.rebuild("source", &["--yes"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr
            .contains("waited for whoever uses a table or view")
            && run.stderr.contains("pg_stat_activity"),
        "{run}"
    );
    other.run("rollback");
    assert_eq!(people.state(), state);
    people.rebuilt("source");
}

#[test]
fn a_table_of_somebody_else_is_not_moved() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    people
        .database
        .run("comment on table main.shop__people is 'mine'");
    refused(
        &mut people,
        "source",
        Outcome::Findings,
        "it was not made by merge-job",
    );
}

#[test]
fn events_without_a_key_are_not_brought_back() {
    let spec = super::people(Strategy::Append, &["id"]);
    let mut people = People {
        database: Cluster::shared().database(),
        spec,
        next: 0,
        model: 1,
    };
    people.spec.datasets[0].views.clear();
    people.spec.datasets[0].policy.truncate = milepost_job_spec::OnTruncate::Ignore;
    assert_eq!(people.publish().code, 0);
    for origin in ["source", "staging"] {
        let run = people.rebuild(origin, &["--yes"]);
        assert_eq!(run.code, i32::from(Outcome::Usage.code()), "{run}");
        assert!(run.stderr.contains("dataset `people` has no key"), "{run}");
    }
}

#[test_case("source"; "from the source")]
#[test_case("staging"; "from staging")]
fn several_partitions_are_refused(origin: &str) {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.stage_at(0, 1, SNAPSHOT[0]);
    people.merged();
    refused(
        &mut people,
        origin,
        Outcome::Findings,
        "several topic partitions",
    );
}

#[test]
fn a_new_partition_beside_the_known_one_is_refused_from_staging() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    people.stage_at(0, 1, SNAPSHOT[0]);
    refused(
        &mut people,
        "staging",
        Outcome::Findings,
        "partition 1, of dataset `people` is new",
    );
}

#[test]
fn a_topic_that_was_made_again_is_refused_from_staging() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    people
        .database
        .run("update main_staging.shop__people set __lsn = 7 where __connect_offset = 2");
    refused(
        &mut people,
        "staging",
        Outcome::Findings,
        "is not the one that was merged",
    );
}

#[test]
fn a_store_that_is_one_transaction_goes_not_back_in_staging() {
    let spec = shop::stream(ALL);
    let database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let run = Job::new(database.url())
        .args([
            "rebuild",
            "--platform",
            "main",
            "--store",
            "shop",
            "--dataset",
            "orders",
            "--from",
            "staging",
            "--yes",
        ])
        .run();
    assert_eq!(run.code, i32::from(Outcome::Usage.code()), "{run}");
    assert!(
        run.stderr.contains("in one transaction with the others")
            && run.stderr.contains("`--from source`"),
        "{run}"
    );
}

#[test]
fn staging_without_a_whole_snapshot_is_refused() {
    let mut people = People::of(ALL, &["id"]);
    refused(
        &mut people,
        "staging",
        Outcome::Findings,
        "nothing of dataset `people` was merged yet",
    );
    people.stage(&[event("c", 1, "ann", "a1")]);
    people.merged();
    let none = "staging holds no complete snapshot of dataset `people`";
    refused(&mut people, "staging", Outcome::Findings, none);
    people.stage(&SNAPSHOT[..2]);
    people.merged();
    refused(&mut people, "staging", Outcome::Findings, none);
    people.stage(&SNAPSHOT[2..]);
    people.merged();
    assert_eq!(people.rebuild("staging", &[]).code, 0);
    // Its beginning is trimmed.
    people
        .database
        .run("delete from main_staging.shop__people where __connect_offset < 2");
    refused(&mut people, "staging", Outcome::Findings, none);
}

#[test]
fn staging_of_which_rows_may_be_trimmed_is_refused() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    people.database.run("update milepost.batches set finished_at = finished_at - interval '8 days', started_at = started_at - interval '8 days'");
    refused(
        &mut people,
        "staging",
        Outcome::Findings,
        "longer ago than staged rows are kept (604800 s)",
    );
    // A later snapshot is whole.
    people.stage(&SNAPSHOT);
    people.merged();
    people.rebuilt("staging");
}

#[test]
fn rows_of_an_older_shape_are_counted_and_too_many_are_refused() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.stage(&[event("d", 2, "", ""), event("u", 3, "ci2", "c1")]);
    people
        .database
        .run("update main_staging.shop__people set code = null where __connect_offset >= 3");
    people
        .database
        .run("update main.shop__people__live set code = 0 where false");
    // The old table does not mind.
    people.spec.datasets[0].columns[2].nullable = true;
    assert_eq!(people.publish().code, 0);
    people.merged();
    people.change_key(&["code"]);
    let plan = people.rebuild("staging", &[]);
    assert!(
        plan.stdout.contains(
            "2 of them have a null in the new key and go to the quarantine; 1 of those are deletes"
        ),
        "{plan}"
    );
    people.spec.limits.max_quarantined = 1;
    assert_eq!(people.publish().code, 1);
    refused(
        &mut people,
        "staging",
        Outcome::Findings,
        "2 of the 5 staged rows of dataset `people` have a null in its key",
    );
}
