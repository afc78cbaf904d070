//! A connector that resumed below its slot: its first transaction has the commit position of an earlier one.

use acceptance::{Cluster, Database, Job, publish, shop};
use milepost_job_spec::{Outcome, StreamSpec, TableRef};

use crate::{LIVE, ends};

/// The transactions before: each is `(commit position, number)`, over at the next one's commit position.
const FIRST: (i64, i64) = (1000, 741);
const SECOND: (i64, i64) = (2000, 742);
/// The one that another worker sends, which read the offset of the first.
const THIRD: (i64, i64) = (3000, 743);
const STALE: (i64, i64) = (1000, 743);
const FOURTH: (i64, i64) = (4000, 744);

struct Staging {
    database: Database,
    spec: StreamSpec,
    offsets: [i64; 3],
}

impl Staging {
    /// A stream of one table, or of two whose transactions END vouches for.
    fn new(names: &[&str], max_rows: u64) -> Self {
        let mut spec = shop::stream(LIVE);
        let columns = [("id", "bigint"), ("big", "text?")];
        spec.datasets = names
            .iter()
            .map(|name| shop::dataset(name, LIVE, &["id"], &columns))
            .collect();
        spec.limits.max_rows = max_rows;
        if let [one] = names {
            spec.stream.dataset = Some((*one).to_owned());
        } else {
            spec.transactions = Some(TableRef {
                schema: "main_staging".parse().expect("it is a name"),
                name: "shop__control".parse().expect("it is a name"),
            });
        }
        let database = Cluster::shared().database();
        publish(&database, std::slice::from_ref(&spec));
        Self {
            database,
            spec,
            offsets: [0; 3],
        }
    }

    /// A row that sets key `id` to `value`, at a row position of a transaction.
    fn row(&mut self, table: usize, (id, value): (i64, &str), transaction: (i64, i64), row: i64) {
        let name = self.spec.datasets[table].name.clone();
        let ((commit, number), offset) = (transaction, self.offsets[table]);
        let order = row % 1000;
        self.database.run(&format!(
            "insert into main_staging.shop__{name} (id, big, __op, __sequence, __lsn, __transaction_id, __transaction_total_order,
                 __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
             values ({id}, '{value}', case '{value}' when 'gone' then 'd' else 'u' end, '[\"{commit}\",\"{row}\"]', {row}, '{number}:{row}',
                 {order}, {number}, 'false', '{name}', 0, {offset})"
        ));
        self.offsets[table] += 1;
    }

    /// Rows of one table.
    fn rows(&mut self, transaction: (i64, i64), rows: &[(i64, i64, &str)]) {
        for (row, id, value) in rows {
            self.row(0, (*id, value), transaction, *row);
        }
    }

    fn end(&mut self, number: i64, position: i64, counts: [i64; 2]) {
        let Self {
            database, offsets, ..
        } = self;
        ends::stage(database, &mut offsets[2], (number, position), counts);
    }

    /// What is live in all tables after a run.
    fn merge(&mut self) -> String {
        Job::merge(self.database.url(), &self.spec).succeed();
        let tables: Vec<String> = self
            .spec
            .datasets
            .iter()
            .map(|own| format!("select id, big from main.shop__{}", own.name))
            .collect();
        self.database.value(&format!(
            "select string_agg(id || ' ' || big, ', ' order by id) from ({}) t",
            tables.join(" union all ")
        ))
    }

    fn replayed(&mut self) -> String {
        self.database
            .value("select sum(rows_replayed) from milepost.batches")
    }
}

/// A stream of one table with two transactions merged, in which `1` and `2` are live.
fn begun(max_rows: u64) -> Staging {
    let mut staging = Staging::new(&["one"], max_rows);
    staging.rows(FIRST, &[(1100, 1, "a"), (1200, 2, "a")]);
    staging.rows(SECOND, &[(2100, 2, "b")]);
    assert_eq!(staging.merge(), "1 a, 2 b");
    staging
}

const ROWS: [(i64, i64, &str); 4] = [
    (3100, 1, "c"),
    (3200, 2, "gone"),
    (3300, 3, "c"),
    (3400, 1, "d"),
];

#[test]
fn its_rows_are_merged_whatever_came_of_them_before() {
    for max_rows in [1, 2, 100] {
        for came in 0..=ROWS.len() {
            for merged in [false, true] {
                let mut staging = begun(max_rows);
                staging.rows(THIRD, &ROWS[..came]);
                if merged {
                    staging.merge();
                }
                staging.rows(STALE, &ROWS);
                staging.rows(FOURTH, &[(4100, 4, "e")]);
                let when = format!("{came} came, at most {max_rows} in a batch, merged {merged}");
                assert_eq!(staging.merge(), "1 d, 3 c, 4 e", "{when}");
                let again = staging.replayed().parse::<usize>().expect("a number");
                assert_eq!(again, came, "{when}");
            }
        }
    }
}

#[test]
fn what_the_worker_that_was_taken_for_dead_still_sends_changes_nothing() {
    for max_rows in [1, 3, 100] {
        for merged in [false, true] {
            let mut staging = begun(max_rows);
            staging.rows(STALE, &ROWS);
            if merged {
                assert_eq!(staging.merge(), "1 d, 3 c");
            }
            staging.rows(THIRD, &ROWS[..3]);
            let when = format!("at most {max_rows} in a batch, merged {merged}");
            assert_eq!(staging.merge(), "1 d, 3 c", "{when}");
            // And all of what came before, as a restart sends it.
            staging.rows(FIRST, &[(1100, 1, "a"), (1200, 2, "a")]);
            staging.rows(SECOND, &[(2100, 2, "b")]);
            assert_eq!(staging.merge(), "1 d, 3 c", "{when}");
        }
    }
}

#[test]
fn a_transaction_with_the_position_of_the_one_before_it_is_told_from_it() {
    for max_rows in [1, 100] {
        let mut staging = begun(max_rows);
        // It began before the second one had written its row.
        let rows = [(2050, 1, "c"), (2150, 2, "c")];
        let shared = (SECOND.0, THIRD.1);
        staging.rows(shared, &rows);
        assert_eq!(staging.merge(), "1 c, 2 c", "at most {max_rows} in a batch");
        staging.rows(SECOND, &[(2100, 2, "b")]);
        staging.rows(shared, &rows);
        assert_eq!(staging.merge(), "1 c, 2 c", "at most {max_rows} in a batch");
        assert_eq!(staging.replayed(), "3");
    }
}

#[test]
fn what_nothing_tells_from_a_replay_stops_the_stream() {
    let mut staging = begun(100);
    // Its rows were written before the second transaction's commit position, and it was committed after it.
    staging.rows(STALE, &[(1500, 1, "c")]);
    let run = Job::merge(staging.database.url(), &staging.spec).run();
    assert_eq!(run.code, i32::from(Outcome::Findings.code()), "{run}");
    assert!(run.stderr.contains("the source was replaced"), "{run}");
}

#[test]
fn ends_vouch_for_it_in_all_tables_at_once() {
    for (stale, ends_first) in [(1000, false), (1000, true), (2000, false), (2000, true)] {
        let mut staging = Staging::new(&["one", "two"], 100);
        staging.end(FIRST.1, 2000, [1, 1]);
        staging.row(0, (1, "a"), FIRST, 1100);
        staging.row(1, (2, "a"), FIRST, 1200);
        staging.end(SECOND.1, 3000, [0, 1]);
        staging.row(1, (2, "b"), SECOND, 2100);
        assert_eq!(staging.merge(), "1 a, 2 b");
        let third = (stale, THIRD.1);
        let when = format!("as of {stale}, END first: {ends_first}");
        if ends_first {
            staging.end(THIRD.1, 4000, [2, 1]);
        }
        // A long one: a row of it was written before the second was over.
        staging.row(1, (2, "c"), third, 2050);
        assert_eq!(staging.merge(), "1 a, 2 b", "{when}");
        staging.row(0, (1, "c"), third, 3100);
        assert_eq!(staging.merge(), "1 a, 2 b", "{when}");
        staging.row(0, (3, "c"), third, 3200);
        if !ends_first {
            assert_eq!(staging.merge(), "1 a, 2 b", "{when}");
            staging.end(THIRD.1, 4000, [2, 1]);
        }
        assert_eq!(staging.merge(), "1 c, 2 c, 3 c", "{when}");
        staging.row(1, (2, "d"), FOURTH, 4100);
        staging.end(FOURTH.1, 5000, [0, 1]);
        assert_eq!(staging.merge(), "1 c, 2 d, 3 c", "{when}");
        let aligned = "select string_agg(distinct alignment, ' ') from milepost.batches";
        assert_eq!(staging.database.value(aligned), "exact", "{when}");
    }
}
