//! Rows that did not fit, tried again: in their order, once, and never over what came later.

use acceptance::{Cluster, Database, Job, Mirror, Run, publish, publish_model, shop};
use milepost_job_spec::{Strategy, StreamSpec, Versions};
use milepost_merge_job::batch::STEPS;
use milepost_simulator::{History, Settings, StagedRow};
use test_case::test_case;

use crate::random::spec_of_types;

use crate::ALL;

const UNKNOWN: &str = "'__debezium_unavailable_value'";

/// A stream of one dataset `things`: a key that is staged as text, a large text, and a code that may not be null.
fn things(strategy: Strategy) -> StreamSpec {
    let mut spec = shop::single_streams(&shop::stream(strategy)).remove(0);
    let columns = [("id", "integer"), ("big", "text?"), ("code", "text")];
    spec.stream.dataset = Some("things".to_owned());
    spec.datasets = vec![shop::dataset("things", strategy, &["id"], &columns)];
    spec.datasets[0].columns[0].staging_type = "text".to_owned();
    spec
}

/// The same, once somebody wrote into the model that a code may be null.
fn nullable(spec: &StreamSpec) -> StreamSpec {
    let mut spec = spec.clone();
    spec.datasets[0].columns[2].nullable = true;
    spec
}

struct Things {
    database: Database,
    spec: StreamSpec,
    next: i64,
}

impl Things {
    fn of(strategy: Strategy) -> Self {
        Self::with(things(strategy))
    }

    fn with(spec: StreamSpec) -> Self {
        let database = Cluster::shared().database();
        publish(&database, std::slice::from_ref(&spec));
        Self {
            database,
            spec,
            next: 0,
        }
    }

    /// Stages a row `id, big, code` and merges it.
    fn merge(&mut self, op: &str, values: &str) {
        self.stage(op, values);
        Job::merge(self.database.url(), &self.spec).succeed();
    }

    fn stage(&mut self, op: &str, values: &str) {
        let n = self.next;
        self.stage_at(n, op, values);
    }

    /// Stages a row with this position at the source, at the next offset.
    fn stage_at(&mut self, position: i64, op: &str, values: &str) {
        let offset = self.next;
        self.next += 1;
        self.database.run(&format!(
            "insert into main_staging.shop__things (id, big, code, __op, __sequence, __lsn, __transaction_id,
                 __transaction_total_order, __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
             values ({values}, '{op}', '[\"{position}\",\"{position}\"]', {position}, '{position}:1', 1, {position} + 1, 'false', 't', 0, {offset})"
        ));
    }

    /// Stages a row of a snapshot and merges it.
    fn read(&mut self, mark: &str, values: &str) {
        let offset = self.next;
        self.next += 1;
        self.database.run(&format!(
            "insert into main_staging.shop__things (id, big, code, __op, __lsn, __snapshot, __connect_topic, __connect_partition, __connect_offset)
             values ({values}, 'r', 1000, '{mark}', 't', 0, {offset})"
        ));
        Job::merge(self.database.url(), &self.spec).succeed();
    }

    /// From now on a code may be null.
    fn allow_null(&mut self) {
        self.spec = nullable(&self.spec);
        let run = publish_model(&self.database, std::slice::from_ref(&self.spec), 2);
        assert_eq!(run.code, 0, "{run}");
        self.database
            .run("alter table main.shop__things alter column code drop not null");
    }

    fn replay<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        let run = Job::quarantine(self.database.url(), &self.spec, "replay")
            .args(arguments)
            .run();
        assert_eq!(run.code, 0, "{run}");
        run
    }

    fn live(&mut self) -> String {
        let only_live = if self.spec.datasets[0].strategy.is_milestoned() {
            "where dp_out is null"
        } else {
            ""
        };
        self.database.value(&format!(
            "select coalesce(string_agg(concat_ws('=', id, big, code), ',' order by id), '') from main.shop__things {only_live}"
        ))
    }

    fn statuses(&mut self) -> String {
        self.database.value(
            "select coalesce(string_agg(status, ' ' order by \"offset\"), '') from milepost.quarantine",
        )
    }

    /// Everything that a replay may change.
    fn state(&mut self) -> String {
        let rows = self.database.rows(
            "select 'row', t::text from main.shop__things t
             union all select 'entry', q::text from milepost.quarantine q
             union all select 'batch', b::text from milepost.batches b
             union all select 'position', p::text from milepost.positions p order by 1, 2",
        );
        format!("{rows:?}")
    }

    fn verifies(&self) {
        Job::new(self.database.url())
            .args(["verify", "--platform", "main"])
            .succeed();
    }
}

#[test]
fn what_fits_by_now_is_merged_in_its_order_with_what_joined_it() {
    for strategy in [
        ALL,
        Strategy::Milestoned {
            versions: Versions::LastPerBatch,
        },
        Strategy::LiveOnly,
    ] {
        let mut things = Things::of(strategy);
        things.merge("c", "1, 'old', 'a'");
        things.merge("u", "1, 'new', null");
        things.merge("u", &format!("1, {UNKNOWN}, 'b'"));
        things.merge("u", &format!("2, {UNKNOWN}, 'c'"));
        assert_eq!(things.statuses(), "open open open");
        things.allow_null();
        let before = things.database.value(
            "select row(watermark, fence_commit, fence_row, watermark_row)::text from milepost.positions",
        );
        let run = things.replay(["--yes"]);
        assert!(run.stdout.contains("replayed 2 entries"), "{run}");
        assert!(run.stdout.contains("1 entry still open"), "{run}");
        assert_eq!(things.live(), "1=new=b");
        assert_eq!(things.statuses(), "replayed replayed open");
        let after = things.database.value(
            "select row(watermark, fence_commit, fence_row, watermark_row)::text from milepost.positions",
        );
        assert_eq!(after, before, "a replay moves neither watermark nor fence");
        let versions = if strategy == ALL {
            "1=old, 1=new, 1=new"
        } else {
            "1=old, 1=new"
        };
        if strategy.is_milestoned() {
            assert_eq!(
                things.database.value(
                    "select string_agg(id || '=' || big, ', ' order by dp_in) from main.shop__things"
                ),
                versions
            );
        }
        assert_eq!(
            things.database.value(
                "select concat_ws(' ', alignment, rows_staged, rows_quarantined, open_quarantine) from milepost.batches b
                   join milepost.stream_status s on s.batch_number = b.batch_number"
            ),
            "staged 3 1 1"
        );
        things.verifies();
    }
}

/// T36: a cast would round it.
#[test]
fn a_number_with_more_decimals_than_its_type_is_set_aside() {
    let mut spec = things(ALL);
    let code = &mut spec.datasets[0].columns[2];
    (code.merge_type, code.staging_type) = ("numeric(6,2)".to_owned(), "text".to_owned());
    let mut things = Things::with(spec);
    for (id, number) in ["1.5", "1.500", "15E-1", "NaN", "1.505", "1E-7", "-0.001"]
        .iter()
        .enumerate()
    {
        things.merge("c", &format!("{id}, 'x', '{number}'"));
    }
    things.merge("u", "0, 'x', '1.501'");
    things.merge("d", "1, null, null");
    assert_eq!(things.live(), "0=x=1.50,2=x=1.50,3=x=NaN");
    let reasons = things
        .database
        .rows("select distinct reason from milepost.quarantine where status = 'open'");
    let reason = "column `code` has more decimals than numeric(6,2) keeps".to_owned();
    assert_eq!(reasons, [[Some(reason)]]);
    assert_eq!(things.statuses(), "open open open open");
    things.verifies();
}

/// Rounded or cut, it would be the key of another row, which would close its entry.
#[test_case("numeric(6,2)", "1.23", "1.234", "1.230"; "more decimals")]
#[test_case("character varying(4)", "abcd", "abcde", "abcd"; "more characters")]
fn a_key_with_more_than_its_type_keeps_is_no_other_row(
    merge_type: &str,
    fits: &str,
    does_not: &str,
    again: &str,
) {
    let mut spec = things(ALL);
    merge_type.clone_into(&mut spec.datasets[0].columns[0].merge_type);
    let mut things = Things::with(spec);
    things.merge("c", &format!("'{fits}', 'a', 'x'"));
    things.stage("c", &format!("'{does_not}', 'b', 'y'"));
    things.stage("u", &format!("'{again}', {UNKNOWN}, 'z'"));
    things.merge("u", &format!("'{fits}', 'c', 'w'"));
    assert_eq!(things.live(), format!("{fits}=c=w"));
    assert_eq!(things.statuses(), "open");
    things.verifies();
}

#[test]
fn a_replay_without_yes_tells_and_changes_nothing() {
    let mut things = Things::of(ALL);
    things.merge("c", "1, 'secret', null");
    things.merge("c", "null, 'secret', 'a'");
    let before = things.state();
    for verb in ["replay", "discard"] {
        let all = (verb == "discard").then_some("--all");
        let run = Job::quarantine(things.database.url(), &things.spec, verb)
            .args(all)
            .run();
        assert_eq!(run.code, 0, "{run}");
        for words in [
            "shop#things: 1 × column `code` is null and not nullable",
            "shop#things: 1 × the key column `id` is null",
            "2 entries would be",
            "--yes",
        ] {
            assert!(run.stdout.contains(words), "{run}");
        }
        assert!(!run.stdout.contains("secret"), "{run}");
    }
    assert_eq!(things.state(), before);
}

#[test]
fn a_second_replay_changes_no_row() {
    let mut things = Things::of(ALL);
    things.merge("c", "1, 'one', null");
    things.allow_null();
    things.replay(["--yes"]);
    assert_eq!(things.live(), "1=one");
    let before = things.state();
    let run = things.replay(["--yes"]);
    assert!(run.stdout.contains("nothing to replay"), "{run}");
    let run = things.replay(["--id", "1", "--yes"]);
    assert!(run.stdout.contains("not open here, left alone: 1"), "{run}");
    assert_eq!(things.state(), before);
    // The stream goes on as if nothing had been.
    things.merge("u", &format!("1, {UNKNOWN}, 'b'"));
    assert_eq!(things.live(), "1=one=b");
    things.verifies();
}

#[test]
fn what_still_does_not_fit_stays_open_with_its_reason_of_now() {
    let mut things = Things::of(ALL);
    things.merge("c", "'4294967296', 'wide', null");
    things.merge("c", "1, 'one', null");
    things.database.run(
        "update milepost.quarantine set payload = payload || '{\"id\": null, \"code\": \"a\"}' where \"offset\" = 0",
    );
    let run = things.replay(["--yes"]);
    assert!(run.stdout.contains("2 entries still open"), "{run}");
    assert_eq!(
        things.database.value(
            "select string_agg(reason, '; ' order by \"offset\") from milepost.quarantine where status = 'open'"
        ),
        "the key column `id` is null; column `code` is null and not nullable"
    );
    assert_eq!(things.live(), "");
    things.verifies();
}

#[test]
fn an_entry_is_not_replayed_over_a_later_row_a_delete_or_a_snapshot() {
    for later in ["u", "d", "r"] {
        let mut things = Things::of(ALL);
        things.merge("c", "1, 'old', 'a'");
        things.merge("u", "1, 'middle', null");
        if later == "r" {
            things.read("first", "1, 'newest', 'z'");
        } else {
            things.merge(later, "1, 'newest', 'z'");
        }
        things.allow_null();
        let before = things.live();
        assert_eq!(things.statuses(), "superseded", "{later}");
        things.replay(["--yes"]);
        assert_eq!(things.live(), before, "{later}");
        things.verifies();
    }
}

#[test]
fn an_entry_behind_which_a_whole_snapshot_lacks_its_key_is_superseded() {
    let mut things = Things::of(ALL);
    things.merge("c", "1, 'gone', null");
    things.merge("c", "2, 'two', 'b'");
    things.read("first", "2, 'two', 'b'");
    things.read("last", "3, 'three', 'c'");
    things.merge("c", "4, 'four', null");
    things.allow_null();
    let run = things.replay(["--yes"]);
    assert!(run.stdout.contains("1 entry superseded"), "{run}");
    assert_eq!(things.statuses(), "superseded replayed");
    assert_eq!(things.live(), "2=two=b,3=three=c,4=four");
}

#[test]
fn a_key_that_is_mended_does_not_overwrite_what_came_later() {
    for strategy in [ALL, Strategy::LiveOnly] {
        let mut things = Things::of(strategy);
        things.merge("c", "null, 'lost', 'a'");
        things.merge("c", "null, 'late', 'a'");
        things.merge("c", "null, 'deleted', 'a'");
        things.merge("c", "2, 'newer', 'b'");
        things.merge("c", "3, 'x', 'c'");
        things.merge("d", "3, null, null");
        // A connector that starts again sends the first row once more: that is no later row.
        things.stage_at(0, "c", "1, 'lost', 'a'");
        Job::merge(things.database.url(), &things.spec).succeed();
        let run = things.replay(["--yes"]);
        assert!(run.stdout.contains("3 entries still open"), "{run}");
        for (offset, id) in [(0, 1), (1, 2), (2, 3)] {
            things.database.run(&format!(
                "update milepost.quarantine set payload = payload || '{{\"id\": \"{id}\"}}' where \"offset\" = {offset}"
            ));
        }
        things.replay(["--yes"]);
        assert_eq!(things.statuses(), "replayed superseded superseded");
        assert_eq!(things.live(), "1=lost=a,2=newer=b");
        things.verifies();
    }
}

#[test]
fn a_mended_key_whose_later_rows_are_trimmed_stays_open() {
    let mut things = Things::of(ALL);
    things.merge("c", "null, 'lost', 'a'");
    things.database.run(
        "update milepost.quarantine set payload = payload || '{\"id\": \"1\"}', quarantined_at = now() - interval '1 year'",
    );
    let run = things.replay(["--yes"]);
    assert!(run.stdout.contains("1 entry still open"), "{run}");
    assert_eq!(things.live(), "");
    assert!(
        things
            .database
            .value("select reason from milepost.quarantine")
            .contains("not staged any more")
    );
}

#[test]
fn a_payload_that_was_mended_badly_harms_no_other() {
    let mut things = Things::of(ALL);
    things.merge("c", "1, 'one', null");
    things.merge("c", "2, 'two', null");
    things.database.run(
        "update milepost.quarantine set payload = payload || '{\"__lsn\": \"many\"}' where \"offset\" = 0",
    );
    things.allow_null();
    let run = things.replay(["--yes"]);
    assert!(run.stdout.contains("1 entry still open"), "{run}");
    assert_eq!(things.live(), "2=two");
    assert_eq!(things.statuses(), "open replayed");
    assert!(!run.stderr.contains("many"), "{run}");
}

#[test]
fn one_entry_takes_the_others_of_its_key_with_it() {
    let mut things = Things::of(ALL);
    things.merge("c", "1, 'old', 'a'");
    things.merge("u", "1, 'new', null");
    things.merge("c", "2, 'two', null");
    things.merge("u", &format!("1, {UNKNOWN}, 'b'"));
    things.allow_null();
    let last = things
        .database
        .value("select max(id) from milepost.quarantine");
    let plan = things.replay(["--id", &last]);
    assert!(plan.stdout.contains("2 entries would be tried"), "{plan}");
    things.replay(["--id", &last, "--yes"]);
    assert_eq!(things.live(), "1=new=b");
    assert_eq!(things.statuses(), "replayed open replayed");
}

#[test]
fn a_replay_waits_for_no_run_that_holds_the_stream() {
    let mut things = Things::of(ALL);
    things.merge("c", "1, 'one', null");
    let mut other = things.database.again();
    other.run("begin; select 1 from milepost.streams for no key update");
    for (verb, all) in [("replay", None), ("discard", Some("--all"))] {
        let run = Job::quarantine(things.database.url(), &things.spec, verb)
            .args(all)
            .args(["--yes"])
            .run();
        assert_eq!(run.code, 75, "{run}");
    }
    assert_eq!(things.statuses(), "open");
}

#[test]
fn a_replay_killed_before_any_step_leaves_entries_with_their_rows() {
    let mut things = Things::of(ALL);
    things.merge("c", "1, 'old', 'a'");
    things.merge("u", "1, 'new', null");
    things.merge("u", &format!("1, {UNKNOWN}, 'b'"));
    things.merge("c", "null, 'x', 'a'");
    things.allow_null();
    let (spec, next) = (things.spec, things.next);
    let mut prepared = things.database;
    for step in STEPS {
        let (original, database) = Cluster::shared().copy(prepared);
        prepared = original;
        let mut things = Things {
            database,
            spec: spec.clone(),
            next,
        };
        let run = Job::quarantine(things.database.url(), &spec, "replay")
            .args(["--yes"])
            .env("MILEPOST_FAULT", step)
            .run();
        assert_eq!(run.code, -1, "step `{step}` was never reached: {run}");
        let expected = if step == "done" {
            ("replayed replayed open", "1=new=b")
        } else {
            ("open open open", "1=old=a")
        };
        assert_eq!(
            things.statuses(),
            expected.0,
            "after a death before `{step}`"
        );
        assert_eq!(things.live(), expected.1, "after a death before `{step}`");
        // The lock of a run that died may hold for a moment.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let run = Job::quarantine(things.database.url(), &spec, "replay")
                .args(["--yes"])
                .run();
            match run.code {
                0 => break,
                75 if std::time::Instant::now() < until => {}
                _ => panic!("{run}"),
            }
        }
        assert_eq!(things.statuses(), "replayed replayed open", "{step}");
        assert_eq!(things.live(), "1=new=b", "{step}");
        assert_eq!(
            things
                .database
                .value("select count(*) from main.shop__things"),
            "3",
            "{step}"
        );
        things.verifies();
    }
}

#[test]
fn a_discarded_entry_holds_its_key_up_no_more() {
    let mut things = Things::of(ALL);
    things.merge("c", "1, 'old', 'a'");
    things.merge("u", "1, 'secret', null");
    let run = Job::quarantine(things.database.url(), &things.spec, "discard")
        .args(["--all", "--yes"])
        .run();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(things.statuses(), "discarded");
    assert_eq!(
        things.database.value("select message from milepost.events"),
        "1 entry of the quarantine of `things` discarded"
    );
    things.merge("u", &format!("1, {UNKNOWN}, 'b'"));
    assert_eq!(things.live(), "1=old=b");
    things.allow_null();
    things.replay(["--yes"]);
    assert_eq!(things.live(), "1=old=b");
}

#[test]
fn entries_are_listed_without_values_unless_asked_for() {
    let mut things = Things::of(ALL);
    things.merge("c", "17, 'secret', null");
    let list = |more: &[&str]| {
        let run = Job::new(things.database.url())
            .args([
                "quarantine",
                "list",
                "--platform",
                "main",
                "--store",
                "shop",
            ])
            .args(more.iter().copied())
            .run();
        assert_eq!(run.code, 0, "{run}");
        run.stdout
    };
    let text = list(&[]);
    assert!(text.contains("shop#things  t/0@0"), "{text}");
    assert!(text.contains("column `code` is null"), "{text}");
    assert!(text.ends_with("1 entry open\n"), "{text}");
    assert!(!text.contains("secret") && !text.contains("17"), "{text}");
    assert!(list(&["--show-payload"]).contains("secret"));
    let json: serde_json::Value =
        serde_json::from_str(&list(&["--format", "json"])).expect("it is JSON");
    assert_eq!(json["version"], 1);
    assert_eq!(json["entries"][0]["offset"], 0);
    assert!(json["entries"][0].get("payload").is_none());
    assert!(json["entries"][0].get("key").is_none());
}

#[test]
fn replays_between_batches_give_what_the_reference_gives() {
    let seed = crate::seed();
    let mut replayed = 0;
    for (n, strategy) in [
        ALL,
        Strategy::Milestoned {
            versions: Versions::LastPerBatch,
        },
        Strategy::LiveOnly,
        Strategy::Append,
    ]
    .into_iter()
    .enumerate()
    {
        let spec = spec_of_types(strategy);
        let mut database = Cluster::shared().database();
        publish(&database, std::slice::from_ref(&spec));
        let settings = Settings {
            // Without a key only what does not cast is set aside.
            spoiled: if strategy.is_append() { 0.6 } else { 0.2 },
            restarts: 0.1,
            keys: 30,
            ..Settings::default()
        };
        let mut history = History::with(&spec, seed.wrapping_add(n as u64), settings);
        let mut mirror = Mirror::new(&spec);
        for _ in 0..4 {
            let round = history.round(25);
            let rows: Vec<&StagedRow> = round.rows.iter().collect();
            mirror.stage(&mut database, &rows);
            Job::merge(database.url(), &spec).succeed();
            mirror.follow(&mut database);
            mirror.mend(&mut database);
            Job::quarantine(database.url(), &spec, "replay")
                .args(["--yes"])
                .succeed();
            assert!(
                mirror.follow_replay(&mut database),
                "MILEPOST_SEED={seed}: nothing was set aside"
            );
        }
        let count =
            database.value("select count(*) from milepost.quarantine where status = 'replayed'");
        replayed += count.parse::<u64>().expect("a count is a number");
        Job::new(database.url())
            .args(["verify", "--platform", "main"])
            .succeed();
    }
    assert_ne!(
        replayed, 0,
        "MILEPOST_SEED={seed}: no entry was ever merged"
    );
}
