//! A topic is recognised by rows that are erased: it goes on being recognised, without their values.

use milepost_job_spec::Strategy;
use test_case::test_case;

use super::{ALL, CANARY, Message, People, places_of};

/// The first row of the topic is hers, and so is the last.
fn messages() -> Vec<Message> {
    vec![
        Message::of("c", CANARY, "1", 10),
        Message::of("c", "Ann", "1", 11),
        Message::of("u", CANARY, "1.0", 12),
    ]
}

fn erased(strategy: Strategy) -> People {
    let mut people = People::of(strategy);
    people.deliver(0, &messages());
    people.merged();
    people.erased(CANARY, "1");
    assert_eq!(
        places_of(&mut people.database, CANARY),
        Vec::<String>::new()
    );
    people
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(ALL; "all versions")]
fn a_stream_goes_on_behind_an_erased_row(strategy: Strategy) {
    let mut people = erased(strategy);
    assert!(people.merge().stdout.contains("nothing to merge"));
    people.verified();
    people.deliver(3, &[Message::of("c", "Bob", "2", 13)]);
    assert_eq!(people.merged(), "Ann=1.00,Bob=2.00");
    people.verified();
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(ALL; "all versions")]
fn what_is_delivered_again_is_not_merged_again_and_can_be_erased_again(strategy: Strategy) {
    let mut people = erased(strategy);
    people.deliver(0, &messages());
    assert!(people.merge().stdout.contains("nothing to merge"));
    assert_eq!(people.live(), "Ann=1.00");
    people.verified();
    assert_eq!(
        places_of(&mut people.database, CANARY),
        ["main_staging.shop__people"]
    );
    let again = people.erased(CANARY, "1");
    assert!(
        again
            .stdout
            .contains("0 staged rows, and 2 of which only the position stays"),
        "{again}"
    );
    assert_eq!(
        places_of(&mut people.database, CANARY),
        Vec::<String>::new()
    );

    // And once more, with news: the control row learns of the lowest row again, and forgets it again.
    people.deliver(0, &messages());
    people.deliver(3, &[Message::of("c", "Bob", "2", 13)]);
    assert_eq!(people.merged(), "Ann=1.00,Bob=2.00");
    people.verified();
    assert_eq!(
        places_of(&mut people.database, CANARY),
        ["main_staging.shop__people", "milepost.positions"]
    );
    people.erased(CANARY, "1");
    assert_eq!(
        places_of(&mut people.database, CANARY),
        Vec::<String>::new()
    );
    people.deliver(4, &[Message::of("u", "Bob", "2", 14)]);
    assert_eq!(people.merged(), "Ann=1.00,Bob=2.00");
    people.verified();
    assert_eq!(
        people
            .database
            .value("select sum(rows_replayed) from milepost.batches"),
        "0"
    );
}

#[test]
fn a_topic_that_was_made_again_is_noticed_all_the_same() {
    for (offset, message) in [
        // At the watermark and at the lowest row, where only positions are known: even for the same person.
        (2, Message::of("u", CANARY, "1.0", 99)),
        (0, Message::of("c", CANARY, "1", 99)),
        (0, Message::of("c", CANARY, "1", 99).mark("first")),
    ] {
        let mut people = erased(ALL);
        people.deliver(offset, &[message]);
        people.deliver(3, &[Message::of("c", "Bob", "2", 100)]);
        let run = people.merge();
        assert_eq!(run.code, 1, "{run}");
        let words = format!("another row stands at offset {offset}");
        assert!(run.stderr.contains(&words), "{run}");
    }
}

#[test]
fn a_row_that_is_gone_is_missing_all_the_same() {
    let mut people = erased(ALL);
    people
        .database
        .run("delete from main_staging.shop__people where __connect_offset = 2");
    let run = people.merge();
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("is not staged any more"), "{run}");
}

#[test]
fn only_the_columns_of_the_sink_stay_of_a_row() {
    let mut people = People::of(ALL);
    // A column that an older model had, which no spec knows.
    people
        .database
        .run("alter table main_staging.shop__people add column phone text");
    people.deliver(0, &messages());
    people.database.run(&format!(
        "update main_staging.shop__people set phone = '{CANARY}'"
    ));
    people.merged();
    people.erased(CANARY, "1");
    let left = people.database.value(
        "select string_agg(jsonb_strip_nulls(to_jsonb(s))::text, ' ' order by __connect_offset) from main_staging.shop__people s
          where __connect_offset <> 1",
    );
    assert_eq!(
        left,
        r#"{"__op": "c", "__lsn": 10, "__deleted": "false", "__sequence": "[\"10\",\"10\"]", "__snapshot": "false", "__source_ts_us": 10, "__connect_topic": "t", "__connect_offset": 0, "__transaction_id": "10:1", "__connect_partition": 0, "__transaction_total_order": 1} {"__op": "u", "__lsn": 12, "__deleted": "false", "__sequence": "[\"12\",\"12\"]", "__snapshot": "false", "__source_ts_us": 12, "__connect_topic": "t", "__connect_offset": 2, "__transaction_id": "12:1", "__connect_partition": 0, "__transaction_total_order": 1}"#
    );
    let kept = people
        .database
        .value("select concat(watermark_row, lowest_row) from milepost.positions");
    assert!(kept.contains(r#""__lsn": "12""#), "{kept}");
    assert!(!kept.contains("number"), "{kept}");
}

#[test]
fn a_snapshot_that_begins_and_ends_with_an_erased_row_supersedes_as_before() {
    let mut people = People::of(ALL);
    people.deliver(
        0,
        &[
            Message::of("c", "Ann", "1", 10),
            // Its key is not known: whether the snapshot has it nobody can tell by it.
            Message::of("c", "Nobody", "none", 11),
            Message::of("r", CANARY, "1", 20).mark("first"),
            Message::of("r", "Ann", "1", 20).mark("true"),
            Message::of("r", CANARY, "2", 20).mark("last"),
            Message::of("c", "Bob", "2", 21),
        ],
    );
    assert_eq!(
        people.merged(),
        format!("Ann=1.00,Bob=2.00,{CANARY}=1.00,{CANARY}=2.00")
    );
    people.erased(CANARY, "1");
    people.erased(CANARY, "2");
    assert_eq!(
        places_of(&mut people.database, CANARY),
        Vec::<String>::new()
    );
    people
        .database
        .run("update milepost.quarantine set payload = payload || '{\"number\": \"9\"}'");
    acceptance::Job::quarantine(people.database.url(), &people.spec, "replay")
        .args(["--yes"])
        .succeed();
    assert_eq!(people.live(), "Ann=1.00,Bob=2.00");
    assert_eq!(
        people
            .database
            .value("select string_agg(status, ',') from milepost.quarantine"),
        "superseded"
    );
    people.verified();
}
