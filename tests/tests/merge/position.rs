//! Positions of every kind of source: order, replays, transactions, bounds; with rows made by hand, in the connectors' form.

use acceptance::{Cluster, Database, Job, Run, publish, shop};
use milepost_job_spec::{PgIdent, SourcePosition, StreamSpec, TableRef};
use test_case::test_case;

mod snapshot;

/// A way in which a source numbers its transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    MariaDb,
    MySqlFiles,
    MySqlGtids,
    SqlServer,
    Oracle,
}
use Kind::{MariaDb, MySqlFiles, MySqlGtids, Oracle, SqlServer};

use crate::ALL;

impl Kind {
    fn source(self) -> SourcePosition {
        match self {
            MariaDb => SourcePosition::MariaDb,
            MySqlFiles | MySqlGtids => SourcePosition::MySql,
            SqlServer => SourcePosition::SqlServer,
            Oracle => SourcePosition::Oracle,
        }
    }

    /// The id of the n-th transaction, in rows and END events.
    fn transaction(self, n: u64) -> String {
        match self {
            MariaDb => format!("0-1-{n}"),
            MySqlFiles => format!("file=mysql-bin.{n:06},pos=4"),
            MySqlGtids => format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:{n}"),
            SqlServer => format!("{n:08x}:00000a10:0003"),
            Oracle => format!("02000d00{n:08x}"),
        }
    }

    /// The columns of a row's place with their values, for the `row`-th row of the `n`-th transaction.
    fn place(self, n: u64, row: u64) -> (&'static str, String) {
        match self {
            MariaDb | MySqlFiles | MySqlGtids => (
                "__source_pos, __source_row",
                format!("{}, {}", 4 + 9 * (row / 2), row % 2),
            ),
            SqlServer => (
                "__source_commit_lsn, __source_change_lsn",
                format!("'{}', '{n:08x}:{row:08x}:0002'", self.transaction(n)),
            ),
            Oracle => ("__source_commit_scn", format!("'{n}'")),
        }
    }
}

/// A stream of two datasets, `one` and `two`, each with a key and a text.
fn stream(kind: Kind) -> StreamSpec {
    let mut spec = shop::stream(ALL);
    spec.source = kind.source();
    spec.datasets = ["one", "two"]
        .map(|name| shop::dataset(name, ALL, &["id"], &[("id", "bigint"), ("v", "text?")]))
        .to_vec();
    for column in spec.datasets.iter_mut().flat_map(|own| &mut own.columns) {
        column.placeholder = None;
    }
    spec
}

/// The dataset `one` alone.
fn single(kind: Kind) -> StreamSpec {
    shop::single_streams(&stream(kind)).remove(0)
}

/// Both, with END events where the source places them.
fn together(kind: Kind) -> StreamSpec {
    let mut spec = stream(kind);
    spec.transactions = kind.source().places_ends().then(|| TableRef {
        schema: ident("main_staging"),
        name: ident("shop__control"),
    });
    spec
}

fn ident(name: &str) -> PgIdent {
    name.parse().expect("a name of ours is an identifier")
}

/// Staging, row by row.
struct Play {
    kind: Kind,
    database: Database,
    spec: StreamSpec,
    next: i64,
}

impl Play {
    fn of(kind: Kind, spec: StreamSpec) -> Self {
        let database = Cluster::shared().database();
        publish(&database, std::slice::from_ref(&spec));
        Self {
            kind,
            database,
            spec,
            next: 0,
        }
    }

    /// Stages the `row`-th row of the `n`-th transaction; `order` is what the connector counts.
    fn stage(
        &mut self,
        dataset: &str,
        op: &str,
        (n, row, order): (u64, u64, u64),
        id: i64,
        v: &str,
    ) {
        let (columns, place) = self.kind.place(n, row);
        let transaction = self.kind.transaction(n);
        self.insert(
            dataset,
            &format!("id, v, __op, {columns}, __transaction_id, __transaction_total_order"),
            &format!("{id}, '{v}', '{op}', {place}, '{transaction}', {order}"),
        );
    }

    fn insert(&mut self, dataset: &str, columns: &str, values: &str) {
        self.database.run(&format!(
            "insert into main_staging.shop__{dataset} ({columns}, __source_ts_us, __connect_topic, __connect_partition, __connect_offset)
             values ({values}, 1, '{dataset}', 0, {})",
            self.next
        ));
        self.next += 1;
    }

    /// Stages the END of the `n`-th transaction.
    fn end(&mut self, n: u64, counts: &[(&str, u64)]) {
        let collections: Vec<String> = counts
            .iter()
            .map(|(name, count)| {
                format!(r#"{{"data_collection":"shop.{name}","event_count":{count}}}"#)
            })
            .collect();
        self.database.run(&format!(
            r#"insert into main_staging.shop__control values ('t', 0, {}, '{{"status":"END","id":"{}","data_collections":[{}]}}')"#,
            self.next,
            self.kind.transaction(n),
            collections.join(",")
        ));
        self.next += 1;
    }

    fn merge(&self) -> Run {
        Job::merge(self.database.url(), &self.spec).run()
    }

    fn succeed(&self) {
        Job::merge(self.database.url(), &self.spec).succeed();
    }

    fn live(&mut self, dataset: &str) -> String {
        self.database.value(&format!(
            "select coalesce(string_agg(id || '=' || v, ' ' order by id), '') from main.shop__{dataset} where dp_out is null"
        ))
    }

    fn replayed(&mut self) -> String {
        self.database
            .value("select sum(rows_replayed) from milepost.batches where status = 'succeeded'")
    }

    fn history(&mut self) -> String {
        self.database
            .value("select string_agg(id || '=' || v, ' ' order by dp_in, id) from main.shop__one")
    }
}

#[test_case(MariaDb)]
#[test_case(MySqlFiles)]
#[test_case(MySqlGtids)]
#[test_case(SqlServer)]
#[test_case(Oracle)]
fn what_is_delivered_again_changes_nothing(kind: Kind) {
    for cut in 0..3 {
        let mut play = Play::of(kind, single(kind));
        play.stage("one", "c", (9, 0, 1), 1, "a");
        play.stage("one", "u", (10, 0, 1), 1, "b");
        play.stage("one", "u", (10, 1, 2), 1, "c");
        if cut > 0 {
            play.succeed();
        }
        // The connector was killed: it begins inside the transaction before, counts from 1 again, and goes on.
        play.stage("one", "c", (9, 0, 1), 1, "a");
        if cut > 1 {
            play.succeed();
        }
        // What Oracle's connector sends again of the last commit cannot be told from news.
        if kind != Oracle {
            play.stage("one", "u", (10, 0, 1), 1, "b");
        }
        play.stage("one", "u", (10, 1, 1), 1, "c");
        play.stage("one", "u", (10, 2, 2), 1, "d");
        play.stage("one", "u", (16, 0, 1), 1, "e");
        play.succeed();
        assert_eq!(play.history(), "1=a 1=b 1=c 1=d 1=e", "{kind:?}, cut {cut}");
    }
}

#[test]
fn a_last_commit_of_oracle_that_is_delivered_again_ends_as_it_did() {
    let mut play = Play::of(Oracle, single(Oracle));
    play.stage("one", "c", (5, 0, 1), 1, "a");
    play.stage("one", "u", (5, 1, 2), 1, "b");
    play.succeed();
    play.stage("one", "c", (5, 0, 1), 1, "a");
    play.stage("one", "u", (5, 1, 2), 1, "b");
    // Another transaction may have the same number.
    play.stage("one", "c", (5, 0, 1), 2, "x");
    play.succeed();
    assert_eq!(play.live("one"), "1=b 2=x");
}

#[test_case(MariaDb)]
#[test_case(MySqlFiles)]
#[test_case(MySqlGtids)]
#[test_case(SqlServer)]
#[test_case(Oracle)]
fn positions_are_compared_as_numbers(kind: Kind) {
    let mut play = Play::of(kind, single(kind));
    let transactions = [9, 10, 15, 16, 99, 100, 255, 256, 999_999, 1_000_000];
    for (n, v) in transactions.into_iter().zip('a'..) {
        play.stage(
            "one",
            if v == 'a' { "c" } else { "u" },
            (n, 0, 1),
            1,
            &v.to_string(),
        );
    }
    play.succeed();
    assert_eq!(play.live("one"), "1=j");
    assert_eq!(
        play.database
            .value("select sum(rows_replayed) from milepost.batches"),
        "0"
    );
}

#[test_case(MariaDb)]
#[test_case(MySqlFiles)]
#[test_case(MySqlGtids)]
#[test_case(SqlServer)]
fn a_transaction_is_merged_when_all_of_it_is_staged(kind: Kind) {
    let mut play = Play::of(kind, together(kind));
    play.end(9, &[("one", 1)]);
    play.end(10, &[("one", 1), ("two", 2)]);
    play.stage("one", "c", (9, 0, 1), 1, "a");
    play.stage("one", "u", (10, 0, 1), 1, "b");
    play.stage("two", "c", (10, 1, 2), 1, "b");
    play.succeed();
    assert_eq!([play.live("one"), play.live("two")], ["1=a", ""]);
    play.stage("two", "c", (10, 2, 3), 2, "b");
    play.succeed();
    assert_eq!([play.live("one"), play.live("two")], ["1=b", "1=b 2=b"]);

    // The connector was killed inside the last transaction: rows and ENDs come again, the last with what was left of it.
    play.end(9, &[("one", 1)]);
    play.end(10, &[("two", 1)]);
    play.stage("one", "c", (9, 0, 1), 1, "a");
    play.stage("two", "c", (10, 2, 1), 2, "b");
    play.end(11, &[("one", 1), ("two", 1)]);
    play.stage("one", "u", (11, 0, 1), 1, "c");
    play.succeed();
    assert_eq!([play.live("one"), play.live("two")], ["1=b", "1=b 2=b"]);
    play.stage("two", "u", (11, 1, 2), 1, "c");
    play.succeed();
    assert_eq!([play.live("one"), play.live("two")], ["1=c", "1=c 2=b"]);
    let batches = "select string_agg(distinct alignment, ' ') || ' ' || bool_and(status = 'succeeded') from milepost.batches";
    assert_eq!(play.database.value(batches), "exact true");
}

#[test]
fn transactions_of_oracle_are_told_apart_by_their_commit() {
    let mut spec = together(Oracle);
    assert_eq!(spec.transactions, None);
    spec.limits.max_rows = 2;
    let mut play = Play::of(Oracle, spec);
    for n in [9, 10, 11] {
        play.stage("one", "c", (n, 0, 1), n.cast_signed(), "a");
        play.stage("two", "c", (n, 1, 2), n.cast_signed(), "a");
    }
    play.succeed();
    assert_eq!(play.live("one"), "9=a 10=a 11=a");
    // With the commits cut apart, no batch has more of one dataset than of the other.
    let batches = "select count(*) > 1, bool_and(of_one = of_two) from (
             select sum(rows_staged) filter (where dataset = 'one') as of_one, sum(rows_staged) filter (where dataset = 'two') as of_two
               from milepost.batch_datasets group by batch_id) b";
    assert_eq!(
        play.database.rows(batches),
        [["t", "t"].map(|text| Some(text.to_owned()))]
    );
}

const BINLOG: &str = "__transaction_id, __source_pos, __source_row";
const LSNS: &str = "__source_commit_lsn, __source_change_lsn";
const LSN: &str = "'0000002b:00000160:0003'";

#[test_case(MariaDb, BINLOG, "null, 4, 0"; "no transaction")]
#[test_case(MariaDb, BINLOG, "'0-1-1000000000000000000', 4, 0"; "a sequence of 19 digits")]
#[test_case(MariaDb, BINLOG, "'0-1-1', 4294967296, 0"; "a place beyond 32 bits")]
#[test_case(MariaDb, BINLOG, "'0-1-1', -1, 0"; "a negative place")]
#[test_case(MariaDb, BINLOG, "'0-1-1', 4, null"; "no row in the event")]
#[test_case(MySqlFiles, BINLOG, "'file=b.2147483648,pos=4', 4, 0"; "a file beyond 31 bits")]
#[test_case(MySqlFiles, BINLOG, "'file=b.1,pos=4294967296', 4, 0"; "a transaction beyond 32 bits")]
#[test_case(MySqlFiles, BINLOG, "'mysql-bin', 4, 0"; "neither file nor number")]
#[test_case(SqlServer, LSNS, &format!("null, {LSN}"); "no commit")]
#[test_case(SqlServer, LSNS, &format!("{LSN}, null"); "no change")]
#[test_case(SqlServer, LSNS, &format!("'10000000:00000160:0003', {LSN}"); "a log file beyond 28 bits")]
#[test_case(SqlServer, LSNS, &format!("{LSN}, '0000002b:01000000:0003'"); "a block beyond 24 bits")]
#[test_case(SqlServer, LSNS, &format!("{LSN}, '0000002b:00000160:0800'"); "a record beyond 11 bits")]
#[test_case(Oracle, "__source_commit_scn", "null"; "no commit number")]
#[test_case(Oracle, "__source_commit_scn", "'1000000000000000000'"; "a commit number of 19 digits")]
fn a_row_without_a_place_fails_its_batch(kind: Kind, columns: &str, values: &str) {
    let mut play = Play::of(kind, single(kind));
    // Rows of a snapshot have no place, and need none.
    play.insert("one", "id, v, __op, __snapshot", "7, 's', 'r', 'last'");
    play.succeed();
    play.stage("one", "c", (3, 0, 1), 1, "a");
    play.insert(
        "one",
        &format!("id, v, __op, {columns}"),
        &format!("2, 'b', 'c', {values}"),
    );
    let run = play.merge();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr
            .contains("1 staged rows of dataset `one` do not say where"),
        "{run}"
    );
    assert!(run.stderr.contains("hint:"), "{run}");
    assert_eq!(play.live("one"), "7=s");
}

/// What MariaDB 11.4 writes by default: every event of a transaction stands where the first one does.
#[test_case(&[(0, 0, 1), (0, 1, 2), (0, 0, 3)]; "an event after an event of several rows")]
#[test_case(&[(0, 0, 1), (0, 0, 2)]; "an event after an event of one row")]
fn rows_that_do_not_stand_behind_each_other_fail_their_batch(rows: &[(u64, u64, u64)]) {
    for apart in [false, true] {
        let mut play = Play::of(MariaDb, single(MariaDb));
        for (id, (place, row, order)) in (1..).zip(rows) {
            let is_last = id == rows.len();
            // A single row at one place with the last merged row may be news or not: it is merged, and nothing is lost.
            if apart && is_last && rows.len() > 2 {
                play.succeed();
            }
            play.insert(
                "one",
                &format!("id, v, __op, {BINLOG}, __transaction_total_order"),
                &format!("{id}, 'a', 'c', '0-1-7', {place}, {row}, {order}"),
            );
        }
        let run = play.merge();
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains("binlog_legacy_event_pos"), "{run}");
    }
}

#[test_case(MariaDb, "0-1-40", "1-1-50"; "a domain")]
#[test_case(MySqlGtids, "3e11fa47-71ca-11e1-9e33-c80aa9429562:4", "3e11fa47-71ca-11e1-9e33-c80aa9429563:50"; "a server")]
#[test_case(MySqlGtids, "3e11fa47-71ca-11e1-9e33-c80aa9429562:4", "3e11fa47-71ca-11e1-9e33-c80aa9429562:tag:50"; "a tag")]
#[test_case(MySqlFiles, "file=b.000004,pos=4", "3e11fa47-71ca-11e1-9e33-c80aa9429562:50"; "a numbering")]
fn another_origin_fails_a_batch_until_a_snapshot(kind: Kind, before: &str, after: &str) {
    for together in [true, false] {
        let mut play = Play::of(kind, single(kind));
        let row = |transaction: &str, id: u32| format!("{id}, 'a', 'c', '{transaction}', 4, 0");
        let columns = format!("id, v, __op, {BINLOG}");
        play.insert("one", &columns, &row(before, 1));
        if !together {
            play.succeed();
        }
        // An incremental snapshot says nothing of the order.
        play.insert(
            "one",
            "id, v, __op, __snapshot",
            "1, 'a', 'r', 'incremental'",
        );
        play.insert("one", &columns, &row(after, 2));
        let run = play.merge();
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains("another server or domain"), "{run}");
        assert!(run.stderr.contains("snapshot"), "{run}");
        assert_eq!(play.live("one"), if together { "" } else { "1=a" });

        // A snapshot that is not whole yet supersedes nothing.
        play.insert("one", "id, v, __op, __snapshot", "2, 's', 'r', 'first'");
        assert_eq!(play.merge().code, 1);
        play.insert("one", "id, v, __op, __snapshot", "3, 's', 'r', 'last'");
        play.insert("one", &columns, &row(after, 4));
        play.succeed();
        assert_eq!(play.live("one"), "1=a 2=s 3=s 4=a");
        // What came of the new origin before the snapshot left no version.
        assert_eq!(play.history(), "1=a 2=s 3=s 4=a");
        assert_eq!(play.replayed(), "1");
        // From the snapshot on, the new origin is the one.
        play.insert("one", &columns, &row(before, 5));
        assert_eq!(play.merge().code, 1);
    }
}

#[test]
fn times_of_mysql_are_read_from_microseconds_or_set_aside() {
    let mut spec = single(MariaDb);
    let columns = [
        ("id", "bigint"),
        ("v", "text?"),
        ("at", "time(6) without time zone?"),
        ("span", "interval?"),
        ("small", "smallint?"),
    ];
    spec.datasets = vec![shop::dataset("one", ALL, &["id"], &columns)];
    for column in &mut spec.datasets[0].columns[2..] {
        column.staging_type = "bigint".to_owned();
    }
    let mut play = Play::of(MariaDb, spec);
    let rows = [
        ("45296789012", "-3020399999999", "1"),
        ("86400000000", "0", "-32768"),
        ("86400000001", "1", "1"),
        ("-1", "1", "1"),
        ("0", "1", "32768"),
    ];
    for (id, (at, span, small)) in (1..).zip(rows) {
        play.insert(
            "one",
            &format!("id, at, span, small, __op, {BINLOG}"),
            &format!("{id}, {at}, {span}, {small}, 'c', '0-1-{id}', 4, 0"),
        );
    }
    play.succeed();
    let live = "select string_agg(concat_ws(' ', id, at, span, small), ', ' order by id) from main.shop__one";
    assert_eq!(
        play.database.value(live),
        "1 12:34:56.789012 -838:59:59.999999 1, 2 24:00:00 00:00:00 -32768"
    );
    let set_aside =
        "select string_agg(key ->> 'id', ' ' order by \"offset\") from milepost.quarantine";
    assert_eq!(play.database.value(set_aside), "3 4 5");
}
