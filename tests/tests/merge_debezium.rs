//! What a real Debezium delivered, through the real merge job: every type, replays, key changes, lost rows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acceptance::debezium::{self, CHECKPOINTS, LOST, Topic};
use acceptance::{Cluster, Database, Job, Run, compare, publish, shop};
use milepost_job_spec::{DatasetSpec, Strategy, StreamSpec, Versions};
use milepost_platform::type_mapping;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::NamedTempFile;
use test_case::{test_case, test_matrix};

const LIVE: Strategy = Strategy::LiveOnly;
const ALL: Strategy = Strategy::Milestoned {
    versions: Versions::All,
};
const LAST: Strategy = Strategy::Milestoned {
    versions: Versions::LastPerBatch,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streams {
    One,
    PerDataset,
}

#[test]
fn the_platform_maps_types_as_the_decision_says() {
    let tables = [debezium::TYPES_ALL, debezium::ORDERS, debezium::ORDER_LINES];
    for &(name, written, staging, merge, unchanged) in tables.into_iter().flatten() {
        let mapping = written
            .parse()
            .ok()
            .and_then(|data_type| type_mapping::map(&data_type).ok())
            .map(|mapping| (mapping.staging, mapping.merge, mapping.placeholder));
        let decided = (
            staging.to_owned(),
            merge.to_owned(),
            debezium::placeholder(unchanged),
        );
        // The model has no word for bits of a length.
        let expected = (written != "bit(8)").then_some(decided);
        assert_eq!(mapping, expected, "{name} {written}");
    }
}

#[test_matrix([LIVE, ALL, LAST], [Streams::One, Streams::PerDataset])]
fn live_rows_equal_the_truth_at_every_checkpoint(strategy: Strategy, streams: Streams) {
    let mut play = Play::begin(strategy, streams);
    play.watch();
    if streams == Streams::One {
        play.stage_first_end();
    }
    play.deliver_from(0);
    let alignment = if streams == Streams::One {
        play.transactions_are_whole();
        "exact"
    } else {
        "staged"
    };
    assert_eq!(play.alignments(), [alignment], "seed {}", play.seed);
    if strategy.is_milestoned() {
        play.history_holds();
    }
}

#[test]
fn a_stream_may_begin_before_its_first_end_arrives() {
    let mut play = Play::begin(ALL, Streams::One);
    play.watch();
    // The snapshot, then of one topic the first transactions and half of another: no END, nothing of the other topics.
    play.deliver(0);
    let orders = play.place("orders");
    play.topics[orders].stage(&mut play.database, 17);
    play.merge(0).succeeded();
    assert_eq!(play.alignments(), ["staged"]);

    // What is left of transactions that were merged in part may come late: such a batch says `staged` again.
    play.deliver_from(1);
    let alignments = play.alignments();
    assert_eq!(
        alignments.first(),
        Some(&"staged".to_owned()),
        "seed {}",
        play.seed
    );
    assert_eq!(
        alignments.last(),
        Some(&"exact".to_owned()),
        "seed {}",
        play.seed
    );
    play.history_holds();
}

#[test_case(LIVE)]
#[test_case(ALL)]
#[test_case(LAST)]
fn a_transaction_whose_rows_were_lost_stops_the_stream(strategy: Strategy) {
    let mut play = Play::begin(strategy, Streams::One);
    play.stage_until(CHECKPOINTS);
    play.merge_all();
    play.is_truth(CHECKPOINTS);
    let before = play.progress();

    play.stage_until(LOST);
    let run = play.merge(0);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("waiting"), "{run}");
    assert!(run.stdout.contains("2044"), "{run}");
    assert_eq!(
        play.status(),
        ["waiting", "2044"].map(|text| Some(text.to_owned()))
    );
    assert_eq!(play.progress(), before, "nothing is merged");

    // How long a transaction has been incomplete is counted in seconds.
    std::thread::sleep(Duration::from_millis(1100));
    play.specs[0].limits.incomplete_transaction_seconds = 0;
    let run = play.merge(0);
    assert_eq!(run.code, 1, "{run}");
    for word in ["2044", "hint:", "sink"] {
        assert!(
            run.stderr.contains(word),
            "the message lacks {word:?}: {run}"
        );
    }
    assert_eq!(
        play.status(),
        ["failed", "2044"].map(|text| Some(text.to_owned()))
    );
    let failure = play.database.rows(
        "select error like '%2044%', hint like '%sink%' from milepost.batches where status = 'failed'",
    );
    assert_eq!(failure, [[Some("t".to_owned()), Some("t".to_owned())]]);
    assert_eq!(play.progress(), before, "nothing is merged");
    play.is_truth(CHECKPOINTS);
}

/// The last offset of the old half of each key change of `types_all`, whose large values are unchanged: two first
/// deliveries and a replay.
const OLD_HALVES: [i64; 3] = [35, 64, 84];

#[test_matrix([LIVE, ALL, LAST], [OldHalf::WithTheNew, OldHalf::Alone])]
fn a_key_change_cut_between_its_halves_keeps_unchanged_values(strategy: Strategy, staged: OldHalf) {
    let mut play = Play::begin(strategy, Streams::PerDataset);
    play.max_rows = Some(1);
    let place = play.place("types_all");
    if staged == OldHalf::Alone {
        let mut next = 0;
        for old_half in OLD_HALVES {
            play.topics[place].stage(&mut play.database, old_half + 1 - next);
            play.merge(place).succeeded();
            next = old_half + 1;
        }
    }
    play.topics[place].stage_until(&mut play.database, 2);
    play.merge(place).succeeded();
    play.dataset_is_truth(place, 2);
    assert_eq!(play.value("select count(*) from milepost.quarantine"), "0");
    assert_eq!(
        play.value("select max(rows_staged) <= 2 from milepost.batches"),
        "t",
        "a batch has one row, or the two halves of a key change"
    );
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OldHalf {
    WithTheNew,
    Alone,
}

#[test_matrix([LIVE, ALL, LAST], [("c_jsonb", "{\"a\": "), ("c_numeric_12_2", "12.3.4")])]
fn a_value_that_does_not_cast_is_quarantined_until_a_complete_row_comes(
    strategy: Strategy,
    (column, value): (&str, &str),
) {
    let mut play = Play::begin(strategy, Streams::PerDataset);
    let place = play.place("types_all");
    // Offsets 39 to 41: key 5 is deleted, created again, updated without a large value.
    play.spoil(40, column, value);
    play.topics[place].stage(&mut play.database, 41);
    play.merge(place).succeeded();
    let quarantine = format!(
        "select topic, partition, \"offset\", status, key->>'id', payload->>'{column}', reason like '%cast%'
           from milepost.quarantine"
    );
    let entry = |status: &str| {
        let fields = ["shop__types_all", "0", "40", status, "5", value, "t"];
        vec![fields.map(|field| Some(field.to_owned())).to_vec()]
    };
    assert_eq!(play.database.rows(&quarantine), entry("open"));
    let dataset = play.dataset(place).clone();
    let live = dataset.live_table().quoted();
    assert_eq!(
        play.value(&format!("select count(*) from {live} where id = 5")),
        "0"
    );
    assert_eq!(
        play.value("select sum(rows_quarantined) from milepost.batches"),
        "1"
    );
    // What came before it in the same batches is merged: key 3 is key 103 now.
    assert_eq!(
        play.value(&format!(
            "select string_agg(id::text, ' ') from {live} where id in (3, 103)"
        )),
        "103"
    );

    play.topics[place].stage_until(&mut play.database, 1);
    play.merge(place).succeeded();
    assert_eq!(play.database.rows(&quarantine), entry("superseded"));
    play.dataset_is_truth(place, 1);
}

#[test_matrix([LIVE, ALL, LAST], [2, 3])]
fn more_rows_in_quarantine_than_allowed_fail_the_batch(strategy: Strategy, allowed: u64) {
    let mut play = Play::begin(strategy, Streams::PerDataset);
    let place = play.place("types_all");
    play.topics[place].stage_until(&mut play.database, 0);
    play.merge(place).succeeded();
    let before = play.progress();

    // Offsets 22 to 24: key 20 is created, and twice updated without its large values, which are unknown then.
    play.spoil(22, "c_json", "{");
    play.topics[place].stage_until(&mut play.database, 1);
    play.max_rows = Some(1000);
    play.specs[place].limits.max_quarantined = allowed;
    let run = play.merge(place);
    if allowed < 3 {
        assert_eq!(run.code, 1, "{run}");
        for word in ["types_all", "hint:"] {
            assert!(
                run.stderr.contains(word),
                "the message lacks {word:?}: {run}"
            );
        }
        assert_eq!(play.progress(), before, "nothing changed");
        assert_eq!(play.value("select count(*) from milepost.quarantine"), "0");
        play.dataset_is_truth(place, 0);
    } else {
        assert_eq!(run.code, 0, "{run}");
        let offsets = "select string_agg(\"offset\"::text, ' ' order by \"offset\") from milepost.quarantine where status = 'open'";
        assert_eq!(play.value(offsets), "22 23 24");
    }
}

/// The fixture on its way through one merge after another.
struct Play {
    seed: u64,
    rng: StdRng,
    database: Database,
    /// The stream of all datasets; what is merged are `specs`.
    stream: StreamSpec,
    specs: Vec<StreamSpec>,
    topics: Vec<Topic>,
    /// How many rows a batch takes; by chance if none.
    max_rows: Option<u64>,
}

impl Play {
    fn begin(strategy: Strategy, streams: Streams) -> Self {
        let seed = seed();
        let mut stream = debezium::stream(strategy);
        let specs = match streams {
            Streams::One => vec![stream.clone()],
            Streams::PerDataset => {
                stream.transactions = None;
                shop::single_streams(&stream)
            }
        };
        let mut database = Cluster::shared().database();
        publish(&database, &specs);
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            topics: Topic::load(&mut database, &stream),
            database,
            stream,
            specs,
            max_rows: None,
        }
    }

    /// Delivers the rest, and demands at each checkpoint what must be true then.
    fn deliver_from(&mut self, first: u32) {
        for checkpoint in first..=CHECKPOINTS {
            self.deliver(checkpoint);
            self.is_truth(checkpoint);
            self.counts_add_up(checkpoint);
        }
    }

    /// Stages BEGIN and END of the first transaction, none of whose rows are staged.
    fn stage_first_end(&mut self) {
        let control = self.topics.last_mut().expect("the stream has topics");
        control.stage(&mut self.database, 2);
    }

    /// Stages up to a checkpoint in random chunks, each topic at its own pace, and merges after each. At the end nothing
    /// is waited for.
    fn deliver(&mut self, checkpoint: u32) {
        loop {
            let left: Vec<(usize, i64)> = (0..self.topics.len())
                .map(|place| {
                    (
                        place,
                        self.topics[place].left(&mut self.database, checkpoint),
                    )
                })
                .filter(|(_, rows)| *rows > 0)
                .collect();
            if left.is_empty() {
                break;
            }
            let (place, rows) = left[self.rng.random_range(0..left.len())];
            let rows = self.rng.random_range(1..=rows.min(90));
            self.topics[place].stage(&mut self.database, rows);
            let spec = if self.specs.len() == 1 { 0 } else { place };
            let run = self.merge(spec);
            assert_eq!(run.code, 0, "{}: {run}", self.when(checkpoint));
        }
        let blocked = "select platform, store, dataset, status, blocked_on from milepost.stream_status where status <> 'healthy'";
        let when = self.when(checkpoint);
        let blocked = self.database.rows(blocked);
        assert!(blocked.is_empty(), "{when}: {blocked:?}");
    }

    fn stage_until(&mut self, checkpoint: u32) {
        for topic in &mut self.topics {
            topic.stage_until(&mut self.database, checkpoint);
        }
    }

    fn merge_all(&mut self) {
        for place in 0..self.specs.len() {
            self.merge(place).succeeded();
        }
    }

    /// One run of the merge job from a spec file.
    fn merge(&mut self, place: usize) -> Run {
        let spec = &mut self.specs[place];
        spec.limits.max_rows = match self.max_rows {
            Some(rows) => rows,
            None => self.rng.random_range(1..=80),
        };
        let file = NamedTempFile::new().expect("the temporary directory is writable");
        std::fs::write(file.path(), spec.to_json()).expect("the file is writable");
        let path = file.path().display().to_string();
        Job::new(self.database.url())
            .args(["merge", "--spec", &path])
            .run()
    }

    /// Keeps what is live after each batch, in the transaction of the batch itself.
    fn watch(&mut self) {
        let mut keep = String::new();
        for dataset in &self.stream.datasets {
            let (name, live) = (&dataset.name, dataset.live_table().quoted());
            self.database.run(&format!(
                "create schema if not exists seen;
                 create table seen.{name} as select 0::bigint as batch_number, * from {live}"
            ));
            keep += &format!(
                "if new.dataset is null or new.dataset = '{name}' then
                   insert into seen.{name} select new.batch_number, * from {live};
                 end if;\n"
            );
        }
        self.database.run(&format!(
            "create function seen.keep() returns trigger language plpgsql as $$ begin {keep} return null; end $$;
             create trigger keep after insert on milepost.batches
               for each row when (new.status = 'succeeded') execute function seen.keep()"
        ));
    }

    fn is_truth(&mut self, checkpoint: u32) {
        for place in 0..self.stream.datasets.len() {
            self.dataset_is_truth(place, checkpoint);
        }
    }

    fn dataset_is_truth(&mut self, place: usize, checkpoint: u32) {
        let when = self.when(checkpoint);
        let dataset = &self.stream.datasets[place];
        let truth = debezium::truth(&dataset.name, checkpoint);
        compare::load_truth(&mut self.database, dataset, &truth, true);
        compare::live_is_truth(&mut self.database, dataset, &when);
    }

    /// Every row staged is counted once, every row delivered again as a replay, and none is in quarantine.
    fn counts_add_up(&mut self, checkpoint: u32) {
        let when = self.when(checkpoint);
        for dataset in self.stream.datasets.clone() {
            let name = &dataset.name;
            let counts = self.database.rows(&format!(
                "select sum(rows_staged), sum(rows_inserted + rows_updated + rows_deleted + rows_unchanged
                          + rows_overtaken + rows_replayed), sum(rows_replayed), sum(rows_inserted) - sum(rows_deleted)
                   from milepost.batch_datasets where dataset = '{name}'"
            ));
            let expected = self.database.rows(&format!(
                "select count(*), count(*), count(*) - count(distinct (__lsn, __op, {key})), (select count(*) from {live})
                   from delivered.{name} where checkpoint <= {checkpoint}",
                key = key(&dataset),
                live = dataset.live_table().quoted(),
            ));
            assert_eq!(
                counts, expected,
                "{when}, `{name}`: staged, of a class, replayed, inserted less deleted (counted, expected)"
            );
            let replays = counts[0][2].as_deref() != Some("0");
            assert!(replays || checkpoint < 2, "{when}: the worker was killed");
        }
        assert_eq!(
            self.value("select count(*) from milepost.quarantine"),
            "0",
            "{when}"
        );
    }

    /// The alignments of the batches, in the order in which they came up.
    fn alignments(&mut self) -> Vec<String> {
        let sql = "select alignment from (select id, alignment, lag(alignment) over (order by id) as before from milepost.batches) b
                    where alignment is distinct from before order by id";
        self.database
            .rows(sql)
            .into_iter()
            .flatten()
            .flatten()
            .collect()
    }

    /// After each batch all rows of a source transaction, in all tables, were taken or none.
    fn transactions_are_whole(&mut self) {
        let rows: Vec<String> = self
            .stream
            .datasets
            .iter()
            .map(|dataset| {
                // A row counts as taken with its first delivery.
                let (name, key) = (&dataset.name, key(dataset));
                format!(
                    "select '{name}' as dataset, split_part(__transaction_id, ':', 1) as tx, min(__connect_offset) as first
                       from delivered.{name} where __transaction_id is not null and checkpoint <= {CHECKPOINTS}
                      group by tx, __lsn, __op, {key}"
                )
            })
            .collect();
        let split = self.database.rows(&format!(
            "with rows as materialized ({rows}), moved as materialized (
               select b.batch_number, p->>'dataset' as dataset, (p->>'offset')::bigint as high
                 from milepost.batches b, jsonb_array_elements(b.positions_to) p
             ), watermarks as materialized (
               select b.batch_number, d.dataset, coalesce(max(m.high), -1) as watermark
                 from milepost.batches b cross join (select distinct dataset from rows) d
                 left join moved m on m.dataset = d.dataset and m.batch_number <= b.batch_number
                group by 1, 2
             )
             select w.batch_number, r.tx, count(*) filter (where r.first <= w.watermark), count(*)
               from watermarks w join rows r using (dataset)
              group by 1, 2 having count(*) filter (where r.first <= w.watermark) not in (0, count(*))
              order by 1, 2 limit 5",
            rows = rows.join("\nunion all\n")
        ));
        assert!(
            split.is_empty(),
            "seed {}: split transactions (batch, transaction, rows taken, rows): {split:?}",
            self.seed
        );
    }

    /// What is always true of history, and that as of each batch it shows what was live then.
    fn history_holds(&mut self) {
        for dataset in self.stream.datasets.clone() {
            let when = format!("seed {}", self.seed);
            let versions = compare::versions(&mut self.database, &dataset);
            compare::invariants_hold(&versions, &when);
            let batches = self.database.rows(&format!(
                "select batch_number, batch_time from milepost.batches
                  where status = 'succeeded' and coalesce(dataset, '{0}') = '{0}' order by 1",
                dataset.name
            ));
            assert!(!batches.is_empty());
            for batch in batches {
                let [Some(number), Some(time)] = batch.as_slice() else {
                    panic!("a batch without number or time");
                };
                let seen = format!("seen.{} where batch_number = {number}", dataset.name);
                compare::copy_truth(&mut self.database, &dataset, &seen);
                let as_of = format!(
                    "{} where dp_in <= '{time}' and (dp_out is null or dp_out > '{time}')",
                    dataset.merge.quoted()
                );
                let when = format!("{when}, as of batch {number}");
                compare::rows_are_truth(&mut self.database, &dataset, &as_of, &when);
            }
        }
    }

    /// Puts a value into a row of `types_all` that is not staged yet.
    fn spoil(&mut self, offset: i64, column: &str, value: &str) {
        self.database.run(&format!(
            "update delivered.types_all set {column} = '{value}' where __connect_offset = {offset}"
        ));
    }

    /// Everything that a batch moves.
    fn progress(&mut self) -> Vec<Vec<Option<String>>> {
        self.database.rows(
            "select (select count(*) from milepost.batches where status = 'succeeded'),
                    (select max(batch_number) from milepost.streams), (select max(last_batch_time) from milepost.datasets),
                    (select jsonb_agg(p order by dataset, topic, partition) from milepost.positions p)",
        )
    }

    /// Status of the stream, and what it waits for.
    fn status(&mut self) -> [Option<String>; 2] {
        let sql = "select status, blocked_on from milepost.stream_status";
        let row = self.database.rows(sql).pop().unwrap_or_default();
        row.try_into().expect("two columns")
    }

    fn value(&mut self, sql: &str) -> String {
        self.database.value(sql)
    }

    fn dataset(&self, place: usize) -> &DatasetSpec {
        &self.stream.datasets[place]
    }

    fn place(&self, name: &str) -> usize {
        let mut datasets = self.stream.datasets.iter();
        datasets
            .position(|dataset| dataset.name == name)
            .expect("the fixture has it")
    }

    fn when(&self, checkpoint: u32) -> String {
        format!("seed {}, checkpoint {checkpoint}", self.seed)
    }
}

/// Demands that a run succeeded.
trait Succeeded {
    fn succeeded(self);
}

impl Succeeded for Run {
    fn succeeded(self) {
        assert_eq!(self.code, 0, "{self}");
    }
}

fn key(dataset: &DatasetSpec) -> String {
    let names: Vec<String> = dataset
        .key_columns()
        .map(|column| column.staged_as.quoted())
        .collect();
    names.join(", ")
}

/// The seed of a test's chances: `MILEPOST_SEED`, or another one every time. Whatever fails prints it.
fn seed() -> u64 {
    let given = std::env::var("MILEPOST_SEED").ok();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    given
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| now.map_or(0, |now| u64::from(now.subsec_nanos())))
}
