//! What a comparison finds, and what it takes for lag.

use acceptance::Job;
use test_case::test_case;

use super::{ALL, LAST, Pair, Strategy};

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(ALL; "all versions")]
#[test_case(LAST; "last version per batch")]
fn equal_tables_are_equal_and_what_differs_is_counted(strategy: Strategy) {
    let mut pair = Pair::of(strategy);
    pair.is_equal();
    // Lost: an insert, two updates and a delete.
    pair.write(11, "new");
    pair.write(1, "changed");
    pair.write(2, "changed");
    pair.delete(3);
    let run = pair.verify();
    assert_eq!(run.code, 1, "{run}");
    for line in [
        "error[source-missing]: shop#items: 1 row of the source is not in the table (table `main.shop__items`)",
        "error[source-extra]: shop#items: 1 row of the table is not at the source",
        "error[source-differs]: shop#items: 2 rows of the table are other than at the source",
        "shop#items: 10 rows compared with the source: 4 diverged",
        "  shop#items (table `main.shop__items`): insert 1 row, update 2, close 1",
        "execute it with `merge-job resync --platform main --store shop --execute ",
    ] {
        assert!(run.stdout.contains(line), "{line}: {run}");
    }
    // Nothing was changed, so the plan is the same again.
    assert_eq!(Pair::digest(&run), Pair::digest(&pair.resync(&[])));
}

#[test]
fn values_are_printed_for_nobody_and_keys_for_who_asks() {
    let mut pair = Pair::of(ALL);
    pair.write(4711, "secret");
    let run = pair.verify();
    assert!(!format!("{run}").contains("4711") && !format!("{run}").contains("secret"));
    let debug = pair
        .job("resync")
        .env("RUST_LOG", "trace")
        .args(["--settle", "0"])
        .run();
    assert!(!debug.stderr.contains("4711") && !debug.stderr.contains("secret"));
    let run = pair
        .job("verify")
        .args(["--settle", "0", "--show-keys"])
        .run();
    assert!(run.stdout.contains("  keys: (4711)\n"), "{run}");
    assert!(!run.stdout.contains("secret"), "{run}");
}

#[test]
fn a_row_whose_event_is_staged_waits_for_its_merge() {
    let mut pair = Pair::of(ALL);
    pair.write(1, "changed");
    pair.stage("u", 1, "changed");
    let run = pair.verify();
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout.contains(": 1 staged and not merged yet"),
        "{run}"
    );
    pair.merged();
    pair.is_equal();
}

#[test]
fn what_arrives_while_a_comparison_waits_was_lag() {
    let mut pair = Pair::of(ALL);
    pair.write(1, "changed");
    pair.write(11, "lost");
    let running = pair.job("verify").args(["--settle", "4"]).start();
    pair.until_it_waits();
    pair.stage("u", 1, "changed");
    pair.merged();
    let run = running.wait();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stdout.contains(": 1 diverged, 1 arrived meanwhile\n"),
        "{run}"
    );
}

#[test]
fn what_is_written_meanwhile_is_no_divergence() {
    let mut pair = Pair::of(ALL);
    pair.write(1, "changed");
    let running = pair.job("verify").args(["--settle", "4"]).start();
    pair.until_it_waits();
    pair.write(1, "changed again");
    let run = running.wait();
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout.contains("warning[source-lag]: shop#items: 1 row may be under way still: 0 not delivered by the connector, 1 written meanwhile"),
        "{run}"
    );
}

#[test]
fn a_row_that_the_table_cannot_hold_is_told_and_not_repaired() {
    let mut pair = Pair::of(ALL);
    pair.source.run("alter table items drop constraint items_pkey; alter table items alter price type numeric, alter id drop not null");
    pair.source
        .run("insert into items values (11, 'too dear', 12345678901.00), (null, 'nobody', 1)");
    let run = pair.verify();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stdout.contains(
            "error[source-unfit]: shop#items: 2 rows of the source cannot be in the table"
        ),
        "{run}"
    );
    assert!(!run.stdout.contains("repair plan"), "{run}");
}

#[test]
fn values_of_every_kind_are_equal_however_they_are_printed() {
    let mut pair = Pair::of(ALL);
    // The source prints other bytes for the same value of the merge type.
    pair.source.run("alter table items alter id type integer, alter price type double precision, alter v type character varying(9)");
    let run = pair.verify();
    assert_eq!(run.code, 0, "{run}");
    pair.source.run("update items set v = 'lost' where id = 7");
    pair.repaired();
    let run = pair.verify();
    assert_eq!(run.code, 0, "{run}");
    let v = "select v from main.shop__items where id = 7 and dp_out is null";
    assert_eq!(pair.platform.value(v), "lost");
}

#[test]
fn programs_read_the_same() {
    let mut pair = Pair::of(Strategy::LiveOnly);
    pair.delete(5);
    let run = pair
        .job("verify")
        .args(["--settle", "0", "--format", "json"])
        .run();
    assert_eq!(run.code, 1, "{run}");
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(report["version"], 1);
    assert_eq!(report["diagnostics"][0]["rule"], "source-extra");
    assert_eq!(report["comparison"][0]["diverged"], 1);
    assert_eq!(report["repair"]["datasets"][0]["delete"], 1);
    let digest = report["repair"]["digest"].as_str().expect("a digest");
    let run = pair.resync(&["--format", "json", "--execute", digest]);
    assert_eq!(run.code, 0, "{run}");
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(report["batches"][0]["deleted"], 1, "{run}");
    pair.is_equal();
}

#[test]
fn a_verification_without_a_source_reads_none() {
    let pair = Pair::of(ALL);
    let run = Job::new(pair.platform.url())
        .args(["verify", "--platform", "main"])
        .run();
    assert_eq!(run.code, 0, "{run}");
    assert!(!run.stdout.contains("source"), "{run}");
}
