//! New snapshots of a dataset that has live rows: what they do not have was deleted while nobody read, or was not read.

use std::collections::BTreeSet;

use acceptance::{Cluster, Database, Job, Mirror, publish, shop};
use milepost_job_spec::{OnResnapshot, Strategy, StreamSpec};
use milepost_simulator::{Op, StagedRow};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use test_case::test_case;

use crate::{ALL, LAST};

fn spec(strategy: Strategy, resnapshot: OnResnapshot, percent: u8) -> StreamSpec {
    let mut spec = shop::stream(strategy);
    let mut dataset = shop::dataset(
        "one",
        strategy,
        &["id"],
        &[("id", "bigint"), ("v", "text?")],
    );
    dataset.policy.resnapshot = resnapshot;
    dataset.policy.max_missing_percent = percent;
    spec.stream.dataset = Some("one".to_owned());
    spec.datasets = vec![dataset];
    spec
}

/// One topic and what was staged of it, beside the reference.
struct Topic<'a> {
    database: Database,
    spec: &'a StreamSpec,
    mirror: Mirror<'a>,
    next: i64,
}

impl<'a> Topic<'a> {
    fn of(spec: &'a StreamSpec) -> Self {
        let database = Cluster::shared().database();
        publish(&database, std::slice::from_ref(spec));
        Self {
            database,
            spec,
            mirror: Mirror::new(spec),
            next: 0,
        }
    }

    /// Stages rows: what happened, key, and `__snapshot`.
    fn stage(&mut self, rows: &[(Op, u64, &str)]) {
        let rows: Vec<StagedRow> = rows
            .iter()
            .map(|(op, id, snapshot)| {
                let offset = self.next;
                self.next += 1;
                let lsn = u64::try_from(offset + 10).expect("it is small");
                let read = *op == Op::Read;
                StagedRow {
                    dataset: 0,
                    topic: "one".to_owned(),
                    partition: 0,
                    offset,
                    op: *op,
                    columns: vec![Some(id.to_string()), Some("x".to_owned())],
                    source_ts_us: Some(1_000_000 + offset),
                    last_commit: (!read).then_some(lsn),
                    stale_commit: None,
                    lsn: Some(lsn),
                    transaction_id: (!read).then(|| format!("{lsn}:{lsn}")),
                    total_order: (!read).then_some(1),
                    snapshot: (*snapshot).to_owned(),
                }
            })
            .collect();
        self.mirror
            .stage(&mut self.database, &rows.iter().collect::<Vec<_>>());
    }

    /// Stages a complete snapshot of these keys.
    fn snapshot(&mut self, ids: &[u64]) {
        let place = |n: usize| match n {
            n if n + 1 == ids.len() => "last",
            0 => "first",
            _ => "true",
        };
        let rows: Vec<(Op, u64, &str)> = ids
            .iter()
            .enumerate()
            .map(|(n, id)| (Op::Read, *id, place(n)))
            .collect();
        self.stage(&rows);
    }

    /// Merges, compares with the reference, and returns the live keys.
    fn merge(&mut self) -> String {
        Job::merge(self.database.url(), self.spec).succeed();
        self.mirror.follow(&mut self.database);
        self.live()
    }

    fn live(&mut self) -> String {
        let table = self.spec.datasets[0].live_table().quoted();
        self.database.value(&format!(
            "select coalesce(string_agg(id::text, ' ' order by id), '') from {table}"
        ))
    }

    fn told(&mut self) -> String {
        self.database
            .value("select coalesce(string_agg(message, '; ' order by id), '') from milepost.events where severity = 'warning'")
    }

    fn healed(&mut self) -> String {
        self.database
            .value("select sum(rows_healed) || ' of ' || sum(rows_closed) from milepost.batches")
    }

    fn beginning(&mut self) -> String {
        self.database
            .value("select coalesce(max(snapshot_from)::text, 'none') from milepost.positions")
    }
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(ALL; "all versions")]
#[test_case(LAST; "last version per batch")]
fn what_a_complete_snapshot_does_not_have_is_closed(strategy: Strategy) {
    for max_rows in [1, 2, 100] {
        let mut spec = spec(strategy, OnResnapshot::Heal, 50);
        spec.limits.max_rows = max_rows;
        let mut topic = Topic::of(&spec);
        topic.snapshot(&[1, 2, 3, 4, 5, 6]);
        topic.stage(&[(Op::Create, 7, "false")]);
        assert_eq!(topic.merge(), "1 2 3 4 5 6 7");
        // A snapshot that was given up, then a complete one, and changes behind it.
        topic.stage(&[(Op::Read, 1, "first"), (Op::Read, 2, "true")]);
        assert_eq!(topic.merge(), "1 2 3 4 5 6 7");
        assert_eq!(topic.beginning(), "7");
        topic.snapshot(&[1, 3, 4, 7]);
        topic.stage(&[(Op::Delete, 3, "false"), (Op::Create, 8, "false")]);
        assert_eq!(topic.merge(), "1 4 7 8");
        assert_eq!(topic.healed(), "3 of 4");
        assert_eq!(topic.beginning(), "none");
        assert_eq!(
            topic.told(),
            "3 rows of dataset `one` were closed: a complete snapshot does not have them"
        );
    }
}

#[test]
fn what_is_missing_stays_and_is_told_once_where_the_policy_is_to_report() {
    let spec = spec(ALL, OnResnapshot::Report, 0);
    let mut topic = Topic::of(&spec);
    topic.snapshot(&[1, 2, 3]);
    topic.merge();
    topic.snapshot(&[1, 4]);
    assert_eq!(topic.merge(), "1 2 3 4");
    topic.stage(&[(Op::Create, 5, "false")]);
    topic.merge();
    assert_eq!(
        topic.told(),
        "a complete snapshot of dataset `one` does not have 2 of its live rows; they stay"
    );
}

/// T64: an extract that is cut off must not pass for deletes of everything else.
#[test]
fn more_missing_rows_than_the_policy_allows_need_a_person() {
    let spec = spec(ALL, OnResnapshot::Heal, 25);
    let mut topic = Topic::of(&spec);
    topic.snapshot(&[1, 2, 3, 4]);
    topic.merge();
    topic.snapshot(&[1, 2, 3]);
    assert_eq!(topic.merge(), "1 2 3", "a quarter is allowed");
    topic.snapshot(&[1]);
    let run = Job::merge(topic.database.url(), &spec).run();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr.contains("does not have 2 of its 3 live rows"),
        "{run}"
    );
    assert!(
        run.stderr
            .contains("merge-job merge --platform main --store shop --dataset one --allow-missing"),
        "{run}"
    );
    assert_eq!(topic.live(), "1 2 3");
    Job::merge(topic.database.url(), &spec)
        .args(["--allow-missing"])
        .succeed();
    assert_eq!(topic.merge(), "1");
}

/// Incremental rows, a snapshot without an end and several partitions say nothing of rows that are not there.
#[test]
fn what_is_no_complete_snapshot_heals_nothing() {
    let spec = spec(ALL, OnResnapshot::Heal, 100);
    let mut topic = Topic::of(&spec);
    topic.snapshot(&[1, 2, 3]);
    topic.merge();
    topic.stage(&[(Op::Read, 1, "incremental"), (Op::Read, 4, "incremental")]);
    topic.stage(&[(Op::Read, 1, "first"), (Op::Read, 2, "true")]);
    assert_eq!(topic.merge(), "1 2 3 4");
    topic.database.run(
        "insert into milepost.positions (platform, store, dataset, topic, partition, watermark) values ('main', 'shop', 'one', 'one', 1, 7)",
    );
    topic.stage(&[(Op::Read, 1, "last")]);
    Job::merge(topic.database.url(), &spec).succeed();
    assert_eq!(topic.live(), "1 2 3 4");
    assert_eq!(topic.told(), "");
}

#[test]
fn a_run_killed_before_any_step_heals_when_it_runs_again() {
    let spec = spec(ALL, OnResnapshot::Heal, 100);
    let mut topic = Topic::of(&spec);
    topic.snapshot(&[1, 2, 3, 4]);
    topic.merge();
    topic.stage(&[(Op::Read, 1, "first"), (Op::Read, 2, "true")]);
    topic.merge();
    topic.stage(&[(Op::Read, 3, "last")]);
    for step in ["survey", "reduce", "close", "apply", "record", "commit"] {
        let run = Job::merge(topic.database.url(), &spec)
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(run.code, -1, "{run}");
    }
    let merged = loop {
        // The lock of a run that died may hold for a moment.
        let run = Job::merge(topic.database.url(), &spec).run();
        if run.code != 75 {
            break run;
        }
    };
    assert_eq!(merged.code, 0, "{merged}");
    assert_eq!(topic.merge(), "1 2 3");
    assert_eq!(topic.healed(), "1 of 1");
}

/// Deletes get lost, snapshots are given up and taken again, cut anywhere: the live rows are those of the source.
#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(ALL; "all versions")]
#[test_case(LAST; "last version per batch")]
fn random_histories_with_lost_deletes_end_at_the_source(strategy: Strategy) {
    let seed = crate::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut spec = spec(strategy, OnResnapshot::Heal, 100);
    spec.limits.max_rows = rng.random_range(1..12);
    let mut topic = Topic::of(&spec);
    let mut source: BTreeSet<u64> = (1..6).collect();
    topic.snapshot(&source.iter().copied().collect::<Vec<_>>());
    for _ in 0..8 {
        for _ in 0..rng.random_range(0..6) {
            let id = rng.random_range(1..12);
            if source.insert(id) {
                topic.stage(&[(Op::Create, id, "false")]);
            } else {
                source.remove(&id);
                if rng.random_bool(0.5) {
                    topic.stage(&[(Op::Delete, id, "false")]);
                }
            }
        }
        if rng.random_bool(0.4) {
            let id = rng.random_range(1..12);
            topic.stage(&[(Op::Read, id, "first"), (Op::Read, id, "true")]);
        }
        if rng.random_bool(0.3) {
            topic.merge();
        }
        source.insert(20);
        let ids: Vec<u64> = source.iter().copied().collect();
        topic.snapshot(&ids);
        if rng.random_bool(0.6) {
            let expected: Vec<String> = ids.iter().map(u64::to_string).collect();
            assert_eq!(topic.merge(), expected.join(" "), "MILEPOST_SEED={seed}");
        }
    }
}
