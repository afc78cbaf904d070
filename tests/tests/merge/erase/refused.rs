//! What is refused changes nothing, and says nothing of values.

use acceptance::{Job, publish};
use milepost_job_spec::{Outcome, Strategy};

use super::{ALL, CANARY, Message, People, everything};
use crate::LIVE;
use crate::random::without_key;

fn people() -> People {
    let mut people = People::of(ALL);
    people.deliver(
        0,
        &[
            Message::of("c", CANARY, "1", 10),
            Message::of("c", "Ann", "1", 11),
        ],
    );
    people.merged();
    people
}

#[test]
fn rows_that_are_not_merged_are_not_overlooked() {
    let mut people = people();
    people.deliver(2, &[Message::of("u", CANARY, "1.00", 12)]);
    let before = everything(&mut people.database);
    let plan = people.erase(CANARY, "1", &[]);
    assert_eq!(plan.code, 0, "{plan}");
    assert!(
        plan.stdout.contains(
            "1 staged row of the keys is not merged yet; with --yes that is refused: merge first"
        ),
        "{plan}"
    );
    let run = people.erase(CANARY, "1", &["--yes"]);
    assert_eq!(run.code, i32::from(Outcome::Findings.code()), "{run}");
    assert!(
        run.stderr
            .contains("run `merge-job merge --platform main --store shop --dataset people`"),
        "{run}"
    );
    assert_eq!(everything(&mut people.database), before);
    // Those of others do not matter.
    let run = people.erase("Ann", "1", &["--yes"]);
    assert_eq!(run.code, 0, "{run}");
    people.merged();
    people.erased(CANARY, "1");
    assert_eq!(people.live(), "");
}

/// A table that is not what its spec says is told as such, to whoever asks for the plan too.
#[test]
fn a_table_of_another_strategy_is_told_before_it_is_looked_into() {
    let mut people = People::of(LIVE);
    people.deliver(0, &[Message::of("c", CANARY, "1", 10)]);
    people.merged();
    let mut spec = super::people(ALL);
    let run = acceptance::publish_model(&people.database, std::slice::from_mut(&mut spec), 2);
    assert_eq!(run.code, 1, "{run}");
    for more in [&[][..], &["--yes"]] {
        let run = people.erase(CANARY, "1", more);
        assert_eq!(run.code, i32::from(Outcome::Findings.code()), "{run}");
        assert!(run.stderr.contains("merge-job migrate-tables"), "{run}");
    }
}

/// What a rebuild kept aside has another key, so nothing is erased there, and nobody is told that it was.
#[test]
fn a_table_that_was_kept_aside_stands_against_it() {
    let mut people = people();
    let rebuild = ["rebuild", "--platform", "main", "--store", "shop"];
    Job::new(people.database.url())
        .args(rebuild)
        .args(["--from", "source", "--yes"])
        .succeed();
    let plan = people.erase(CANARY, "1", &[]);
    assert_eq!(plan.code, 0, "{plan}");
    let kept = people.database.value(
        "select c.oid::regclass::text from pg_class c where c.relkind = 'p' and c.relname like '%\\_\\_until\\_%'",
    );
    assert!(plan.stdout.contains("which a rebuild kept aside"), "{plan}");
    let before = everything(&mut people.database);
    let run = people.erase(CANARY, "1", &["--yes"]);
    assert_eq!(run.code, i32::from(Outcome::Findings.code()), "{run}");
    assert!(run.stderr.contains("drop table"), "{run}");
    assert_eq!(everything(&mut people.database), before);
    people.database.run(&format!("drop table {kept}"));
    let run = people.erase(CANARY, "1", &["--yes"]);
    assert_eq!(run.code, 0, "{run}");
}

#[test]
fn what_is_no_key_is_a_usage_error_without_the_value() {
    let mut people = people();
    let before = everything(&mut people.database);
    let columns = "the key of dataset `people` is `it's \"who\"`, `number`";
    for (key, words) in [
        (&["number=7777"][..], "lacks column `it's \"who\"`"),
        (&["who=7777", "number=7777"], columns),
        (
            &["it's \"who\"=x", "number=7777x"],
            "key 1: the value of column `number` is no value of its type, numeric(6,2)",
        ),
        // It would be rounded, and be another key.
        (
            &["it's \"who\"=x", "number=7777.001"],
            "the value of column `number`",
        ),
        (
            &["it's \"who\"=x", "number=77777"],
            "the value of column `number`",
        ),
        (
            &["it's \"who\"=x", "number="],
            "the value of column `number`",
        ),
    ] {
        let keys = key.iter().flat_map(|key| ["--key", key]);
        let run = Job::erase(people.database.url(), &people.spec, "people")
            .args(keys)
            .args(["--yes"])
            .env("RUST_LOG", "debug")
            .run();
        assert_eq!(run.code, i32::from(Outcome::Usage.code()), "{run}");
        assert!(run.stderr.contains(words), "{run}");
        assert!(!run.to_string().contains("7777"), "{run}");
    }
    let run = Job::erase(people.database.url(), &people.spec, "people")
        .args(["--keys-from", "-"])
        .input("{\"it's \\\"who\\\"\": \"Ann\", \"number\": 1}\n{\"it's \\\"who\\\"\": \"Ann\", \"number\": \"7777x\"}")
        .run();
    assert_eq!(run.code, 2, "{run}");
    assert!(
        run.stderr.contains("key 2: the value of column `number`"),
        "{run}"
    );
    let run = Job::erase(people.database.url(), &people.spec, "people")
        .args(["--keys-from", "/nowhere"])
        .run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("cannot read `/nowhere`"), "{run}");
    assert_eq!(everything(&mut people.database), before);
}

#[test]
fn a_text_that_is_too_long_is_no_key_and_not_another_one() {
    let mut spec = super::people(Strategy::LiveOnly);
    spec.datasets[0].columns[0].merge_type = "character varying(3)".to_owned();
    spec.datasets[0].columns[0].staging_type = "text".to_owned();
    let mut people = People::with(spec);
    people.deliver(0, &[Message::of("c", "Ann", "1", 10)]);
    people.merged();
    let run = people.erase("Anna", "1", &["--yes"]);
    assert_eq!(run.code, 2, "{run}");
    assert_eq!(people.live(), "Ann=1.00");
    people.erased("Ann", "1");
    assert_eq!(people.live(), "");
}

#[test]
fn a_dataset_without_a_key_and_one_that_is_not_published_are_refused() {
    let people = people();
    let run = Job::erase(people.database.url(), &people.spec, "nothing")
        .args(["--key", "id=1"])
        .run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("has no stream"), "{run}");

    let mut spec = super::people(ALL);
    without_key(&mut spec.datasets[0]);
    spec.datasets[0].policy = milepost_job_spec::DatasetPolicy::default();
    let database = acceptance::Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let run = Job::erase(database.url(), &spec, "people")
        .args(["--key", "number=1"])
        .run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("dataset `people` has no key"), "{run}");
}
