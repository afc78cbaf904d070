//! What can never be merged, and the complete snapshot that is the way on from there.

use test_case::test_case;

use super::{BINLOG, Kind, MariaDb, MySqlGtids, Play, SqlServer, single, together};

#[test]
fn of_what_a_snapshot_supersedes_only_deletes_count() {
    for missing_place in [false, true] {
        let mut play = Play::of(MariaDb, single(MariaDb));
        for id in 1..=4 {
            play.stage("one", "c", (id, 0, 1), id.cast_signed(), "a");
        }
        play.succeed();
        let columns = format!("id, v, __op, {BINLOG}");
        let start = if missing_place { "null" } else { "'1-1-3'" };
        play.stage("one", "u", (5, 0, 1), 1, "b");
        play.insert("one", &columns, &format!("1, 'x', 'u', {start}, 4, 0"));
        play.insert("one", &columns, "2, null, 'd', '1-1-4', 4, 0");
        play.insert("one", &columns, "3, null, 'd', '1-1-5', 4, 0");
        play.insert("one", &columns, "3, 'x', 'c', '1-1-6', 4, 0");
        play.insert("one", &columns, "5, 'x', 'c', '1-1-7', 4, 0");
        assert_eq!(play.merge().code, 1);
        play.insert("one", "id, v, __op, __snapshot", "1, 'c', 'r', 'first'");
        play.insert("one", "id, v, __op, __snapshot", "3, 'a', 'r', 'true'");
        play.insert(
            "one",
            "id, v, __op, __snapshot",
            "4, 'a', 'r', 'last_in_data_collection'",
        );
        play.insert("one", &columns, "4, 'd', 'u', '1-1-8', 4, 0");
        play.succeed();
        // 2 is gone at the source. 3 came back before the snapshot: its version goes on.
        assert_eq!(play.live("one"), "1=c 3=a 4=d");
        assert_eq!(play.history(), "1=a 2=a 3=a 4=a 1=b 1=c 4=d");
        assert_eq!(play.replayed(), "4");
        assert_eq!(
            play.database
                .value("select sum(rows_deleted) from milepost.batches"),
            "1"
        );
    }
}

/// Commit times go on while positions go back: another server answers under the source's name.
#[test]
fn a_replaced_source_is_merged_from_its_snapshot_on() {
    let mut play = Play::of(SqlServer, single(SqlServer));
    play.stage("one", "c", (100, 0, 1), 1, "a");
    play.succeed();
    play.stage("one", "u", (7, 0, 1), 1, "x");
    play.database
        .run("update main_staging.shop__one set __source_ts_us = 2 where v = 'x'");
    let run = play.merge();
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("the source was replaced"), "{run}");
    play.insert("one", "id, v, __op, __snapshot", "1, 'b', 'r', 'last'");
    play.stage("one", "u", (9, 0, 1), 1, "c");
    play.succeed();
    assert_eq!(play.history(), "1=a 1=b 1=c");
}

#[test_case(MariaDb)]
#[test_case(MySqlGtids)]
#[test_case(SqlServer)]
fn a_transaction_that_never_becomes_whole_ends_with_a_snapshot(kind: Kind) {
    for lost in ["a part", "all", "the end"] {
        let mut play = Play::of(kind, together(kind));
        play.end(9, &[("one", 1), ("two", 1)]);
        play.stage("one", "c", (9, 0, 1), 1, "a");
        play.stage("two", "c", (9, 1, 2), 1, "a");
        play.succeed();
        if lost != "the end" {
            play.end(10, &[("one", 2), ("two", 1)]);
        }
        if lost != "all" {
            play.stage("one", "u", (10, 0, 1), 1, "b");
            play.stage("two", "d", (10, 2, 3), 1, "");
        }
        play.stage("one", "c", (11, 0, 1), 2, "a");
        play.end(11, &[("one", 1)]);
        play.succeed();
        let live = |play: &mut Play| [play.live("one"), play.live("two")];
        assert_eq!(live(&mut play), ["1=a", "1=a"], "{lost}");
        // The snapshot of one dataset alone says nothing of the other.
        let snapshot = "id, v, __op, __snapshot";
        play.insert("one", snapshot, "1, 'b', 'r', 'first'");
        play.insert("one", snapshot, "2, 'a', 'r', 'last_in_data_collection'");
        play.succeed();
        assert_eq!(live(&mut play), ["1=a", "1=a"], "{lost}");
        // The first transaction behind it is staged before the snapshot of the other, and its END last.
        play.stage("one", "u", (12, 0, 1), 2, "b");
        play.insert("two", snapshot, "2, 's', 'r', 'last'");
        play.succeed();
        let two = if lost == "all" { "1=a 2=s" } else { "2=s" };
        assert_eq!(live(&mut play), ["1=b 2=a", two], "{lost}");
        play.end(12, &[("one", 1)]);
        play.end(13, &[("one", 1), ("two", 1)]);
        play.stage("one", "c", (13, 0, 1), 3, "a");
        play.succeed();
        assert_eq!(play.live("one"), "1=b 2=b", "{lost}");
        // Transactions are whole again from there on.
        play.stage("two", "c", (13, 1, 2), 3, "a");
        play.succeed();
        assert_eq!(play.live("one"), "1=b 2=b 3=a", "{lost}");
        let batches = "select string_agg(distinct alignment, ' ') || ' ' || bool_and(rows_staged = rows_inserted + rows_updated              + rows_deleted + rows_unchanged + rows_overtaken + rows_replayed) from milepost.batches where status = 'succeeded'";
        assert_eq!(play.database.value(batches), "exact staged true", "{lost}");
    }
}

/// A sink may bring the END of the last transaction before a snapshot after the snapshot.
#[test_case(MariaDb)]
#[test_case(MySqlGtids)]
#[test_case(SqlServer)]
fn an_end_that_comes_after_the_snapshot_holds_nothing_up(kind: Kind) {
    let mut play = Play::of(kind, together(kind));
    play.end(9, &[("one", 1), ("two", 1)]);
    play.stage("one", "c", (9, 0, 1), 1, "a");
    play.stage("two", "c", (9, 1, 2), 1, "a");
    play.succeed();
    play.stage("one", "u", (10, 0, 1), 1, "b");
    play.stage("two", "u", (11, 0, 1), 1, "b");
    for dataset in ["one", "two"] {
        play.insert(dataset, "id, v, __op, __snapshot", "1, 'b', 'r', 'last'");
    }
    play.succeed();
    assert_eq!([play.live("one"), play.live("two")], ["1=b", "1=b"]);
    play.end(10, &[("one", 1)]);
    play.end(11, &[("two", 1)]);
    play.end(12, &[("one", 1)]);
    play.stage("one", "u", (12, 0, 1), 1, "c");
    play.succeed();
    assert_eq!(play.live("one"), "1=c");
}

/// A server whose transactions count anew takes over a stream of two datasets.
#[test]
fn transactions_of_another_origin_are_whole_again_behind_the_snapshot() {
    let mut play = Play::of(MariaDb, together(MariaDb));
    let row = |play: &mut Play, dataset: &str, n: u64, v: &str| {
        play.stage(dataset, "u", (n, 0, 1), 1, v);
        play.database.run(&format!(
            "update main_staging.shop__{dataset} set __transaction_id = replace(__transaction_id, '0-1-', '1-2-') where v = '{v}'"
        ));
    };
    let end = |play: &mut Play, n: u64| {
        play.end(n, &[("one", 1), ("two", 1)]);
        play.database.run(&format!(
            "update main_staging.shop__control set payload = replace(payload, '\"0-1-{n}\"', '\"1-2-{n}\"')"
        ));
    };
    play.end(100, &[("one", 1), ("two", 1)]);
    play.stage("one", "c", (100, 0, 1), 1, "a");
    play.stage("two", "c", (100, 1, 2), 1, "a");
    play.succeed();
    row(&mut play, "one", 5, "x");
    row(&mut play, "two", 5, "x");
    end(&mut play, 5);
    assert_eq!(play.merge().code, 1);
    let snapshot = "id, v, __op, __snapshot";
    play.insert("one", snapshot, "1, 'b', 'r', 'first'");
    play.insert("one", snapshot, "2, 'b', 'r', 'last_in_data_collection'");
    // The other dataset may still have what belongs to it.
    assert_eq!(play.merge().code, 1);
    assert_eq!([play.live("one"), play.live("two")], ["1=a", "1=a"]);
    play.insert("two", snapshot, "1, 'b', 'r', 'last'");
    row(&mut play, "one", 6, "c");
    play.succeed();
    assert_eq!([play.live("one"), play.live("two")], ["1=b 2=b", "1=b"]);
    end(&mut play, 6);
    play.succeed();
    assert_eq!([play.live("one"), play.live("two")], ["1=b 2=b", "1=b"]);
    row(&mut play, "two", 6, "c");
    play.succeed();
    assert_eq!([play.live("one"), play.live("two")], ["1=c 2=b", "1=c"]);
    assert_eq!(play.history(), "1=a 1=b 2=b 1=c");
    let alignments = "select string_agg(alignment, ' ' order by id) from milepost.batches where status = 'succeeded'";
    assert_eq!(play.database.value(alignments), "exact staged exact");
}

/// The snapshot of one dataset is taken for over and merged, while the other still has rows of before: one more ends that.
#[test]
fn a_second_snapshot_ends_what_the_first_left() {
    let mut play = Play::of(MariaDb, together(MariaDb));
    play.end(9, &[("one", 1)]);
    play.stage("one", "c", (9, 0, 1), 1, "a");
    play.succeed();
    play.end(10, &[("one", 2)]);
    play.stage("one", "u", (10, 0, 1), 1, "b");
    play.insert("one", "id, v, __op, __snapshot", "1, 'b', 'r', 'last'");
    play.succeed();
    assert_eq!(play.live("one"), "1=b");
    // It had nothing merged, so nothing was asked of it; its rows are of an unknown place.
    play.insert(
        "two",
        &format!("id, v, __op, {BINLOG}"),
        "1, 'x', 'c', null, 4, 0",
    );
    play.insert("two", "id, v, __op, __snapshot", "1, 'b', 'r', 'first'");
    play.end(11, &[("one", 1)]);
    play.stage("one", "u", (11, 0, 1), 1, "c");
    assert_eq!(play.merge().code, 1);
    play.insert("one", "id, v, __op, __snapshot", "1, 'd', 'r', 'first'");
    play.insert(
        "one",
        "id, v, __op, __snapshot",
        "2, 'd', 'r', 'last_in_data_collection'",
    );
    play.insert("two", "id, v, __op, __snapshot", "1, 'd', 'r', 'last'");
    play.succeed();
    assert_eq!([play.live("one"), play.live("two")], ["1=d 2=d", "1=d"]);
}
