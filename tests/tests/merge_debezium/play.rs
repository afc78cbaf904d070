//! A fixture on its way through one merge after another.

use std::time::{SystemTime, UNIX_EPOCH};

use acceptance::debezium::{Fixture, Topic};
use acceptance::{Cluster, Database, Job, Run, compare, publish, shop};
use milepost_job_spec::{DatasetSpec, Strategy, StreamSpec};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::NamedTempFile;

/// How the fixture's tables are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Streams {
    /// As one stream.
    One,
    /// As a stream each.
    PerDataset,
}

/// The fixture on its way through one merge after another.
pub(super) struct Play {
    pub(super) seed: u64,
    rng: StdRng,
    pub(super) database: Database,
    fixture: &'static Fixture,
    /// The stream of all datasets; what is merged are `specs`.
    stream: StreamSpec,
    pub(super) specs: Vec<StreamSpec>,
    pub(super) topics: Vec<Topic>,
    /// How many rows a batch takes; by chance if none.
    pub(super) max_rows: Option<u64>,
}

impl Play {
    pub(super) fn begin(fixture: &'static Fixture, strategy: Strategy, streams: Streams) -> Self {
        let seed = seed();
        let mut stream = fixture.stream(strategy);
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
            topics: Topic::load(&mut database, fixture, &stream),
            database,
            fixture,
            stream,
            specs,
            max_rows: None,
        }
    }

    /// Delivers the rest, and demands at each checkpoint what must be true then.
    pub(super) fn deliver_from(&mut self, first: u32) {
        for checkpoint in first..=self.fixture.checkpoints {
            self.deliver(checkpoint);
            self.is_truth(checkpoint);
            self.counts_add_up(checkpoint);
        }
    }

    /// Stages BEGIN and END of the first transaction, none of whose rows are staged.
    pub(super) fn stage_first_end(&mut self) {
        let control = self.topics.last_mut().expect("the stream has topics");
        control.stage(&mut self.database, 2);
    }

    /// Stages up to a checkpoint in random chunks, each topic at its own pace, and merges after each. At the end nothing
    /// is waited for.
    pub(super) fn deliver(&mut self, checkpoint: u32) {
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

    pub(super) fn stage_until(&mut self, checkpoint: u32) {
        for topic in &mut self.topics {
            topic.stage_until(&mut self.database, checkpoint);
        }
    }

    pub(super) fn merge_all(&mut self) {
        for place in 0..self.specs.len() {
            self.merge(place).succeeded();
        }
    }

    /// One run of the merge job from a spec file.
    pub(super) fn merge(&mut self, place: usize) -> Run {
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
    pub(super) fn watch(&mut self) {
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

    pub(super) fn is_truth(&mut self, checkpoint: u32) {
        for place in 0..self.stream.datasets.len() {
            self.dataset_is_truth(place, checkpoint);
        }
    }

    pub(super) fn dataset_is_truth(&mut self, place: usize, checkpoint: u32) {
        let when = self.when(checkpoint);
        let dataset = &self.stream.datasets[place];
        let truth = self.fixture.truth(&dataset.name, checkpoint);
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
                "select count(*), count(*), count(*) - count(distinct ({identity}, __op, {key})), (select count(*) from {live})
                   from delivered.{name} where checkpoint <= {checkpoint}",
                identity = self.fixture.identity,
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

    /// Of tables that are merged without their keys: by their keys each event is known, and was appended once. A large value
    /// that was not sent cannot be filled.
    pub(super) fn each_event_is_kept(&mut self, checkpoint: u32) {
        let when = self.when(checkpoint);
        for (name, key, _) in self.fixture.tables {
            let (identity, key) = (self.fixture.identity, key.join(", "));
            let kept = self.value(&format!(
                "select (select count(*) from main.shop__{name}) + (select count(*) from milepost.quarantine where dataset = '{name}')"
            ));
            let happened = self.value(&format!(
                "select count(distinct ({identity}, __op, {key})) from delivered.{name} where checkpoint <= {checkpoint}"
            ));
            assert_eq!(kept, happened, "{when}, `{name}`");
        }
        let quarantined =
            "select coalesce(string_agg(distinct reason, '; '), '') from milepost.quarantine";
        let reason = self.value(quarantined);
        assert!(
            reason.is_empty() || reason == "an unchanged large value is not known here",
            "{when}: {reason}"
        );
    }

    /// The alignments of the batches, in the order in which they came up.
    pub(super) fn alignments(&mut self) -> Vec<String> {
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
    pub(super) fn transactions_are_whole(&mut self) {
        let rows: Vec<String> = self
            .stream
            .datasets
            .iter()
            .map(|dataset| {
                // A row counts as taken with its first delivery.
                let (name, key) = (&dataset.name, key(dataset));
                let (identity, checkpoints) = (self.fixture.identity, self.fixture.checkpoints);
                format!(
                    "select '{name}' as dataset, split_part(__transaction_id, ':', 1) as tx, min(__connect_offset) as first
                       from delivered.{name} where __transaction_id is not null and checkpoint <= {checkpoints}
                      group by tx, {identity}, __op, {key}"
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
    pub(super) fn history_holds(&mut self) {
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
    pub(super) fn spoil(&mut self, offset: i64, column: &str, value: &str) {
        self.database.run(&format!(
            "update delivered.types_all set {column} = '{value}' where __connect_offset = {offset}"
        ));
    }

    /// Everything that a batch moves.
    pub(super) fn progress(&mut self) -> Vec<Vec<Option<String>>> {
        self.database.rows(
            "select (select count(*) from milepost.batches where status = 'succeeded'),
                    (select max(batch_number) from milepost.streams), (select max(last_batch_time) from milepost.datasets),
                    (select jsonb_agg(p order by dataset, topic, partition) from milepost.positions p)",
        )
    }

    /// Status of the stream, and what it waits for.
    pub(super) fn status(&mut self) -> [Option<String>; 2] {
        let sql = "select status, blocked_on from milepost.stream_status";
        let row = self.database.rows(sql).pop().unwrap_or_default();
        row.try_into().expect("two columns")
    }

    pub(super) fn value(&mut self, sql: &str) -> String {
        self.database.value(sql)
    }

    pub(super) fn dataset(&self, place: usize) -> &DatasetSpec {
        &self.stream.datasets[place]
    }

    pub(super) fn place(&self, name: &str) -> usize {
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
pub(super) trait Succeeded {
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
