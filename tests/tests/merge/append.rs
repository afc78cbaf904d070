//! Datasets without a key: every staged row that is no replay is kept, once.

mod log;
mod quarantine;
mod store;

use acceptance::Job;
use milepost_job_spec::{OnTruncate, Outcome};
use milepost_merge_job::batch::STEPS;
use test_case::test_case;

use log::{Log, UNKNOWN};

#[test]
fn every_event_is_a_row_with_its_batch_and_its_operation() {
    let mut log = Log::begin(1000);
    log.read("first", "'a', 1, null");
    log.read("last", "'a', 1, null");
    log.succeed();
    assert_eq!(log.appended(), "a:r a:r");
    // Equal rows are rows, and a deleted row keeps what is told of it, nulls too.
    log.row("c", "'b', 2, null", (1, 10, 1));
    log.row("c", "'b', 2, null", (1, 11, 2));
    log.row("u", "null, null, null", (1, 12, 3));
    log.row("d", "'b', 2, '[]'", (1, 13, 4));
    log.row("d", "null, null, null", (1, 14, 5));
    log.succeed();
    assert_eq!(log.appended(), "a:r a:r b:c b:c null:u b:d null:d");
    assert_eq!(
        log.counts(),
        "5 staged, 5 inserted, 0 replayed, 0 quarantined, 0 truncate"
    );
    assert_eq!(
        log.value("select doc from main.shop__events where dp_op = 'd' and word is not null"),
        "[]"
    );
    let columns = "select string_agg(column_name || case is_nullable when 'NO' then ' not null' else '' end, ', ' order by ordinal_position)
         from information_schema.columns where table_schema = 'main' and table_name = 'shop__events'";
    assert_eq!(
        log.value(columns),
        "word, number, doc, dp_in not null, dp_op not null"
    );
    let times = "select count(*) from milepost.batches b
         where (select count(*) from main.shop__events e where e.dp_in = b.batch_time) = b.rows_inserted";
    assert_eq!(log.value(times), "2", "a row comes in with its batch");
    log.verify();
}

#[test]
fn batch_times_increase_though_the_clock_does_not() {
    let mut log = Log::begin(1000);
    log.database
        .run("update milepost.datasets set last_batch_time = '2100-01-01'");
    for place in 1..4 {
        log.row("c", "'a', 1, null", (place, place, 1));
        log.succeed();
    }
    assert_eq!(
        log.value("select string_agg(to_char(dp_in at time zone 'UTC', 'YYYY US'), ', ' order by dp_in) from main.shop__events"),
        "2100 000001, 2100 000002, 2100 000003"
    );
}

/// One record of eight equal rows, as a `copy` writes it: the connector is killed, and begins again before the first.
#[test_case(1000; "in one batch")]
#[test_case(3; "in batches of three")]
#[test_case(1; "in batches of one")]
fn rows_of_one_record_are_told_apart_by_their_number(max_rows: u64) {
    for merge_between in [false, true] {
        for first_order in [1, 5] {
            for came in [0, 1, 5, 8] {
                let when = format!("{came} came, the first is {first_order}, {merge_between}");
                let mut log = Log::begin(max_rows);
                log.copy(came, first_order);
                if merge_between {
                    log.succeed();
                }
                // It counts from 1 again, and is killed once more.
                log.copy(came / 2, 1);
                if merge_between {
                    log.succeed();
                }
                log.copy(8, 1);
                log.row("c", "'end', 0, null", (9, 50, 9));
                log.succeed();
                let rows = ["same:c"; 8].join(" ");
                assert_eq!(log.appended(), format!("{rows} end:c"), "{when}");
                log.all_are_counted();
                log.verify();
            }
        }
    }
}

#[test]
fn what_a_restarted_connector_sends_again_is_counted_and_left_out() {
    for max_rows in [1000, 4, 1] {
        for merge_between in [false, true] {
            let mut log = Log::begin(max_rows);
            for _ in 0..2 {
                for place in 1..=5 {
                    log.row("c", "'one', 1, null", (place, place * 10, 1));
                    log.row("u", "'two', 2, null", (place, place * 10 + 1, 2));
                }
                if merge_between {
                    log.succeed();
                }
            }
            // From the middle on, and further than before.
            for place in 4..=6 {
                log.row("c", "'one', 1, null", (place, place * 10, 1));
                log.row("u", "'two', 2, null", (place, place * 10 + 1, 2));
            }
            log.succeed();
            assert_eq!(log.appended(), ["one:c two:u"; 6].join(" "));
            assert_eq!(
                log.value("select sum(rows_replayed) from milepost.batches"),
                "14"
            );
            log.all_are_counted();
        }
    }
}

#[test]
fn a_late_delivery_of_what_is_merged_appends_nothing() {
    for came in [true, false] {
        let mut log = Log::begin(1000);
        log.row("c", "'a', 1, null", (1, 10, 3));
        if came {
            log.row("c", "'b', 1, null", (1, 20, 9));
        }
        log.succeed();
        // The rest of the transaction, by a connector that began inside it.
        log.row("c", "'b', 1, null", (1, 20, 1));
        log.succeed();
        // A worker that was taken for dead sends what it still had, as it counts it.
        log.row("c", "'b', 1, null", (1, 20, 9));
        log.succeed();
        assert_eq!(log.appended(), "a:c b:c", "{came}");
        log.all_are_counted();
    }
}

#[test]
fn where_rows_have_no_order_only_a_lower_position_tells_a_replay() {
    let mut log = Log::begin(1000);
    for _ in 0..2 {
        log.row("c", "'a', 1, null", (1, 10, 0));
        log.row("c", "'b', 1, null", (2, 20, 0));
    }
    log.row("c", "'b', 1, null", (2, 20, 0));
    log.database
        .run("update main_staging.shop__events set __transaction_total_order = null");
    log.succeed();
    assert_eq!(log.appended(), "a:c b:c b:c");
    log.all_are_counted();
}

#[test]
fn a_new_snapshot_is_appended_again() {
    let mut log = Log::begin(1000);
    log.row("c", "'a', 1, null", (1, 10, 1));
    log.succeed();
    log.read("first", "'a', 1, null");
    log.read("last", "'b', 1, null");
    log.succeed();
    // It starts the fence anew: what follows is what the connector sees from there on.
    log.row("c", "'c', 1, null", (1, 10, 1));
    log.succeed();
    assert_eq!(log.appended(), "a:c a:r b:r c:c");
    assert_eq!(
        log.value("select count(*) from milepost.events"),
        "0",
        "nobody looks for rows that a snapshot does not have"
    );
    log.verify();
}

#[test]
fn a_replaced_source_stops_the_stream_until_it_is_snapshotted() {
    let mut log = Log::begin(1000);
    log.row("c", "'a', 1, null", (5, 50, 1));
    log.succeed();
    log.row("c", "'lost', 1, null", (2, 20, 1));
    log.database
        .run("update main_staging.shop__events set __source_ts_us = 1000000 where word = 'lost'");
    let run = log.merge(&[]);
    assert_eq!(run.code, i32::from(Outcome::Findings.code()), "{run}");
    assert!(run.stderr.contains("the source was replaced"), "{run}");
    log.read("first", "'b', 1, null");
    log.read("last", "'lost', 1, null");
    log.succeed();
    assert_eq!(log.appended(), "a:c b:r lost:r");
    log.all_are_counted();
}

#[test]
fn a_run_killed_before_any_step_appends_each_row_once_after_all() {
    for step in STEPS {
        let mut log = Log::begin(4);
        log.row("c", "'bad', 'x', null", (9, 30, 1));
        log.copy(3, 2);
        log.succeed();
        log.copy(5, 1);
        log.row("c", &format!("'part', 1, {UNKNOWN}"), (9, 60, 2));
        log.row("c", "'end', 1, null", (9, 70, 3));
        let killed = Job::merge(log.database.url(), &log.spec)
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(killed.code, -1, "step `{step}` was never reached: {killed}");
        log.succeed();
        assert_eq!(
            log.appended(),
            "same:c same:c same:c same:c same:c end:c",
            "{step}"
        );
        assert_eq!(log.value("select count(*) from milepost.quarantine"), "2");
        log.all_are_counted();
        log.verify();
    }
}

#[test]
fn a_record_that_overwrites_itself_is_appended_once() {
    let mut log = Log::begin(1000);
    log.row("c", "'a', 1, null", (1, 10, 1));
    log.row("c", "'b', 1, null", (1, 11, 2));
    log.succeed();
    // The sink lost its offsets: the same records at the same offsets.
    log.database
        .run("update main_staging.shop__events set word = word");
    log.offset = 0;
    let run = log.merge(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(log.appended(), "a:c b:c");
    assert_eq!(log.value("select count(*) from milepost.batches"), "1");
}

#[test]
fn a_truncate_is_an_event_that_deletes_nothing() {
    let mut log = Log::with(1000, |spec| {
        spec.datasets[0].policy.truncate = OnTruncate::Ignore;
    });
    log.row("c", "'a', 1, null", (1, 10, 1));
    log.row("t", "null, null, null", (2, 20, 1));
    log.row("c", "'b', 1, null", (3, 30, 1));
    log.succeed();
    assert_eq!(log.appended(), "a:c null:t b:c");
    assert_eq!(
        log.counts(),
        "3 staged, 2 inserted, 0 replayed, 0 quarantined, 1 truncate"
    );
    // Delivered again it is a replay.
    log.row("t", "null, null, null", (2, 20, 1));
    log.succeed();
    assert_eq!(log.appended(), "a:c null:t b:c");
    log.all_are_counted();
    log.verify();
}

#[test]
fn a_truncate_stops_the_stream_where_the_policy_says_so() {
    for allowed in ["ignore", "close-all"] {
        let mut log = Log::begin(1000);
        log.row("c", "'a', 1, null", (1, 10, 1));
        log.row("t", "null, null, null", (2, 20, 1));
        log.row("c", "'b', 1, null", (3, 30, 1));
        for _ in 0..2 {
            let run = log.merge(&[]);
            assert_eq!(run.code, i32::from(Outcome::Findings.code()), "{run}");
            assert!(run.stderr.contains("truncated dataset `events`"), "{run}");
            assert!(run.stderr.contains("--truncate ignore"), "{run}");
            assert!(!run.stderr.contains("close-all"), "{run}");
            assert_eq!(log.appended(), "a:c", "what is before it is merged");
        }
        let run = log.merge(&["--truncate", allowed]);
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(log.appended(), "a:c null:t b:c");
        log.verify();
    }
}

#[test]
fn a_topic_of_several_partitions_is_refused_before_a_row_of_it_is_merged() {
    for max_rows in [1000, 1] {
        let mut log = Log::begin(max_rows);
        log.row("c", "'a', 1, null", (1, 10, 1));
        log.row("c", "'b', 1, null", (2, 20, 1));
        log.database
            .run("update main_staging.shop__events set __connect_partition = 1 where word = 'b'");
        let run = log.merge(&[]);
        assert_eq!(run.code, i32::from(Outcome::Findings.code()), "{run}");
        assert!(
            run.stderr.contains(
                "dataset `events` has no key, and its topic `t.events` has several partitions"
            ),
            "{run}"
        );
        assert!(run.stderr.contains("one partition"), "{run}");
        assert_eq!(log.appended(), "");
    }
    let mut log = Log::begin(1000);
    log.row("c", "'a', 1, null", (1, 10, 1));
    log.succeed();
    log.row("c", "'b', 1, null", (2, 20, 1));
    log.database
        .run("update main_staging.shop__events set __connect_partition = 1 where word = 'b'");
    let run = log.merge(&[]);
    assert_eq!(run.code, i32::from(Outcome::Findings.code()), "{run}");
    assert!(run.stderr.contains("has several partitions"), "{run}");
    assert_eq!(log.appended(), "a:c");
    let accept = Job::new(log.database.url())
        .args(["topics", "accept", "--platform", "main", "--store", "shop"])
        .args(["--dataset", "events", "--topic", "t.events"])
        .args(["--partition", "1", "--as", "new", "--yes"])
        .run();
    assert_eq!(accept.code, i32::from(Outcome::Usage.code()), "{accept}");
    assert!(accept.stderr.contains("one partition"), "{accept}");
}

#[test_case("delete from main.shop__events where ctid = (select min(ctid) from main.shop__events)"; "a lost row")]
#[test_case("insert into main.shop__events select * from main.shop__events where word = 'a'"; "a doubled row")]
#[test_case("insert into main.shop__events select word, number, doc, clock_timestamp(), dp_op from main.shop__events where word = 'a'"; "a row of no batch")]
#[test_case("delete from main.shop__events where dp_in = (select max(dp_in) from main.shop__events)"; "a lost batch")]
fn verify_finds_rows_that_no_batch_appended_or_that_are_gone(fault: &str) {
    let mut log = Log::begin(1000);
    log.row("c", "'a', 1, null", (1, 10, 1));
    log.row("c", "'b', 1, null", (1, 11, 2));
    log.succeed();
    log.row("c", "'c', 1, null", (2, 20, 1));
    log.succeed();
    log.verify();
    log.database.run(fault);
    let run = Job::new(log.database.url())
        .args(["verify", "--platform", "main"])
        .run();
    assert_eq!(run.code, i32::from(Outcome::Findings.code()), "{run}");
    let told = format!("{run}");
    assert!(told.contains("appended-rows"), "{told}");
}

#[test]
fn a_view_shows_when_a_row_came_in_and_what_it_did() {
    let mut log = Log::with(1000, |spec| {
        let ident = |text: &str| text.parse().expect("it is a name");
        spec.datasets[0].views.push(milepost_job_spec::ViewSpec {
            schema: ident("main_ws_desk"),
            role: ident("main_ws_desk"),
            live: ident("shop__events"),
            history: None,
            as_of: None,
        });
    });
    log.row("d", "'a', 1, null", (1, 10, 1));
    log.succeed();
    let row = "select concat_ws(' ', word, number, doc, dp_op, dp_in = (select batch_time from milepost.batches)) from main_ws_desk.shop__events";
    assert_eq!(log.value(row), "a 1 d t");
}
