use std::collections::{BTreeMap, BTreeSet};

use milepost_job_spec::StreamSpec;
use milepost_simulator::{Image, Op, StagedRow, value};

use crate::version::Counts;
use crate::{Database, Reference, Version, compare, stage, tally};

/// The reference merge beside the real one: it learns from the metrics where each batch was cut and when it was, merges
/// the same rows, and demands the same live rows, versions, counts and quarantine.
#[derive(Debug)]
pub struct Mirror<'a> {
    pub(crate) spec: &'a StreamSpec,
    pub(crate) tables: Vec<Reference>,
    pub(crate) staged: Vec<StagedRow>,
    pub(crate) watermarks: BTreeMap<(String, i32), i64>,
    batch_number: i64,
    batch_time: i64,
    /// In which batches the rows of each source transaction were.
    transactions: BTreeMap<String, BTreeSet<i64>>,
}

/// A row of `milepost.batches`.
pub(crate) struct Batch {
    id: String,
    number: i64,
    time: i64,
    pub(crate) cut: BTreeMap<(String, i32), i64>,
}

/// Every class of a staged row, `closed` and `healed`: the columns of `milepost.batch_datasets`.
const CLASSES: [&str; 10] = [
    "inserted",
    "updated",
    "deleted",
    "unchanged",
    "overtaken",
    "replayed",
    "quarantined",
    "truncate",
    "closed",
    "healed",
];

impl<'a> Mirror<'a> {
    /// A stream that has merged nothing.
    #[must_use]
    pub fn new(spec: &'a StreamSpec) -> Self {
        Self {
            spec,
            tables: vec![Reference::default(); spec.datasets.len()],
            staged: Vec::new(),
            watermarks: BTreeMap::new(),
            batch_number: 0,
            batch_time: i64::MIN / 2,
            transactions: BTreeMap::new(),
        }
    }

    /// Stages rows for both.
    pub fn stage(&mut self, database: &mut Database, rows: &[&StagedRow]) {
        stage::rows(database, self.spec, rows);
        self.staged.extend(rows.iter().copied().cloned());
    }

    /// Merges what the real merge has merged since the last call, batch by batch, and compares. Returns the number of batches.
    ///
    /// # Panics
    /// Where the two differ.
    pub fn follow(&mut self, database: &mut Database) -> usize {
        let batches = self.batches(database);
        for batch in &batches {
            self.merge(database, batch);
        }
        self.compare(database);
        batches.len()
    }

    /// Merges the open rows of the quarantine, as the real replay has done since the last call, and compares. Returns whether
    /// there were any.
    ///
    /// # Panics
    /// Where the two differ.
    pub fn follow_replay(&mut self, database: &mut Database) -> bool {
        let batches = self.batches(database);
        assert!(batches.len() <= 1, "a stream is replayed in one batch");
        for batch in &batches {
            assert!(batch.cut.is_empty(), "a replay moves no watermark");
            let mut most = 1;
            for (place, dataset) in self.spec.datasets.iter().enumerate() {
                let counts = self.tables[place].replay(dataset, batch.time);
                most = most.max(counts.most);
                self.compare_counts(database, batch, &dataset.name, &counts);
            }
            self.go_on(batch, most);
        }
        self.compare(database);
        !batches.is_empty()
    }

    /// Mends rows of the quarantine, here and there: a value that does not cast is none in every second of them, where the
    /// column may be null.
    pub fn mend(&mut self, database: &mut Database) {
        for (place, dataset) in self.spec.datasets.iter().enumerate() {
            let open = self.tables[place].quarantine.0.iter_mut();
            for ((topic, partition, offset), entry) in
                open.filter(|(_, entry)| entry.status == "open")
            {
                let columns = dataset.columns.iter().zip(&mut entry.row.columns);
                for (column, value) in columns.filter(|(column, _)| column.nullable) {
                    if offset % 2 == 0 && value.as_deref() == Some(value::UNCASTABLE) {
                        *value = None;
                        database.run(&format!(
                            "update milepost.quarantine set payload = payload || '{{\"{}\": null}}'
                              where dataset = '{}' and topic = '{topic}' and partition = {partition} and \"offset\" = {offset}",
                            column.staged_as, dataset.name
                        ));
                    }
                }
            }
        }
    }

    pub(crate) fn compare(&self, database: &mut Database) {
        let when = format!("batch {}", self.batch_number);
        for (place, dataset) in self.spec.datasets.iter().enumerate() {
            let mut merged = compare::versions(database, dataset);
            if dataset.key.is_empty() {
                let mut expected = self.appended(place).to_vec();
                expected.sort();
                let same = merged.iter().zip(&expected).take_while(|(a, b)| a == b);
                let same = same.count();
                assert!(
                    merged == expected,
                    "{when}, `{}`: of {} rows {} were appended; after {same} {:#?} in place of {:#?}",
                    dataset.name,
                    expected.len(),
                    merged.len(),
                    merged.get(same),
                    expected.get(same)
                );
                continue;
            }
            let expected = self.versions(place);
            if dataset.strategy.is_milestoned() {
                compare::invariants_hold(&merged, &when);
            }
            merged.retain(|version| expected.binary_search(version).is_err());
            let found = compare::versions(database, dataset);
            let missing: Vec<&Version> = expected
                .iter()
                .filter(|version| found.binary_search(version).is_err())
                .take(3)
                .collect();
            merged.truncate(3);
            assert!(
                merged.is_empty() && missing.is_empty(),
                "{when}, `{}`: too many {merged:#?}, missing {missing:#?}",
                dataset.name
            );
        }
        self.compare_quarantine(database, &when);
    }

    /// Has everything staged been merged?
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.staged.iter().all(|row| {
            let watermark = self.watermarks.get(&(row.topic.clone(), row.partition));
            watermark.is_some_and(|watermark| row.offset <= *watermark)
        })
    }

    /// Demands that no source transaction was merged in more than one batch.
    ///
    /// # Panics
    /// If one was.
    pub fn transactions_are_whole(&self) {
        for (transaction, batches) in &self.transactions {
            assert_eq!(
                batches.len(),
                1,
                "transaction {transaction} was split over {batches:?}"
            );
        }
    }

    /// The live images of a dataset, by key.
    #[must_use]
    pub fn live(&self, place: usize) -> Vec<Image> {
        self.tables[place]
            .live
            .values()
            .map(|version| version.image.clone())
            .collect()
    }

    /// The rows of a dataset without a key, in the order in which they were appended.
    #[must_use]
    pub fn appended(&self, place: usize) -> &[Version] {
        &self.tables[place].appended
    }

    /// How many rows are or were in quarantine.
    #[must_use]
    pub fn quarantined(&self) -> usize {
        self.tables
            .iter()
            .map(|table| table.quarantine.0.len())
            .sum()
    }

    fn versions(&self, place: usize) -> Vec<Version> {
        let table = &self.tables[place];
        let mut versions: Vec<Version> = table.live.values().cloned().collect();
        if self.spec.datasets[place].strategy.is_milestoned() {
            versions.extend(table.closed.iter().cloned());
        } else {
            // A live-only table has no times.
            for version in &mut versions {
                (version.dp_in, version.dp_source_ts) = (0, None);
            }
        }
        versions.sort();
        versions
    }

    fn merge(&mut self, database: &mut Database, batch: &Batch) {
        let own: Vec<StagedRow> = self
            .staged
            .iter()
            .filter(|row| {
                let partition = (row.topic.clone(), row.partition);
                let from = self.watermarks.get(&partition).copied().unwrap_or(-1);
                let to = batch.cut.get(&partition).copied().unwrap_or(from);
                (from + 1..=to).contains(&row.offset)
            })
            .cloned()
            .collect();
        for row in &own {
            if let Some(id) = row
                .transaction_id
                .as_ref()
                .and_then(|id| id.split(':').next())
            {
                self.transactions
                    .entry(id.to_owned())
                    .or_default()
                    .insert(batch.number);
            }
        }
        tally::count("batches", 1);
        for row in &own {
            tally::count(events(row.op), 1);
        }
        let mut most = 1;
        for (place, dataset) in self.spec.datasets.iter().enumerate() {
            let mut rows: Vec<&StagedRow> = own.iter().filter(|row| row.dataset == place).collect();
            rows.sort_by_key(|row| (row.topic.clone(), row.partition, row.offset));
            let counts = self.tables[place].merge(dataset, &rows, batch.time);
            most = most.max(counts.most);
            assert_eq!(counts.staged(), rows.len(), "every row is of one class");
            self.compare_counts(database, batch, &dataset.name, &counts);
        }
        self.go_on(batch, most);
    }

    pub(crate) fn compare_counts(
        &self,
        database: &mut Database,
        batch: &Batch,
        dataset: &str,
        counts: &Counts,
    ) {
        let expected: Vec<usize> = CLASSES
            .iter()
            .map(|class| match *class {
                "closed" => counts.closed,
                "healed" => counts.healed,
                class => counts.classes.get(class).copied().unwrap_or_default(),
            })
            .collect();
        let found = counts_of(database, &batch.id, dataset);
        for (class, count) in CLASSES.iter().zip(&found) {
            tally::count(&format!("rows {class}"), *count);
        }
        assert_eq!(
            found, expected,
            "counts of `{dataset}` in batch {}: {CLASSES:?} (found, expected)",
            batch.number
        );
    }

    /// The batch is merged: its time has room for its events, its number follows.
    pub(crate) fn go_on(&mut self, batch: &Batch, most: usize) {
        let earliest = self.batch_time + i64::try_from(most).unwrap_or(i64::MAX);
        assert!(
            batch.time >= earliest,
            "batch {} has no room for its events",
            batch.number
        );
        assert_eq!(
            batch.number,
            self.batch_number + 1,
            "batches are numbered without gaps"
        );
        self.batch_time = batch.time;
        self.batch_number = batch.number;
        self.watermarks.extend(batch.cut.clone());
    }

    pub(crate) fn batches(&self, database: &mut Database) -> Vec<Batch> {
        let stream = &self.spec.stream;
        let dataset = match &stream.dataset {
            Some(dataset) => format!("= '{dataset}'"),
            None => "is null".to_owned(),
        };
        let rows = database.rows(&format!(
            "select id, batch_number, (extract(epoch from batch_time) * 1000000)::bigint from milepost.batches
              where platform = '{}' and store = '{}' and dataset {dataset} and status = 'succeeded'
                and batch_number > {} order by batch_number",
            stream.platform, stream.store, self.batch_number
        ));
        let number = |text: &Option<String>| -> i64 {
            text.as_ref()
                .and_then(|text| text.parse().ok())
                .expect("a number")
        };
        rows.iter()
            .map(|row| {
                let id = row[0].clone().expect("an id");
                let positions = database.rows(&format!(
                    "select p->>'topic', p->>'partition', p->>'offset'
                       from milepost.batches, jsonb_array_elements(positions_to) p where id = {id}"
                ));
                let partition = |row: &Vec<Option<String>>| {
                    let partition = i32::try_from(number(&row[1])).expect("a partition");
                    (
                        (row[0].clone().expect("a topic"), partition),
                        number(&row[2]),
                    )
                };
                Batch {
                    id,
                    number: number(&row[1]),
                    time: number(&row[2]),
                    cut: positions.iter().map(partition).collect(),
                }
            })
            .collect()
    }

    fn compare_quarantine(&self, database: &mut Database, when: &str) {
        for (place, dataset) in self.spec.datasets.iter().enumerate() {
            let expected: Vec<((String, i32, i64), String)> = self.tables[place]
                .quarantine
                .0
                .iter()
                .map(|(position, entry)| (position.clone(), entry.status.to_owned()))
                .collect();
            let mut found: Vec<((String, i32, i64), String)> = database
                .rows(&format!(
                    "select topic, partition, \"offset\", status from milepost.quarantine where dataset = '{}'",
                    dataset.name
                ))
                .into_iter()
                .map(|row| {
                    let text = |place: usize| row[place].clone().unwrap_or_default();
                    let position = (
                        text(0),
                        text(1).parse().expect("a number"),
                        text(2).parse().expect("a number"),
                    );
                    (position, text(3))
                })
                .collect();
            found.sort();
            assert_eq!(found, expected, "{when}: quarantine of `{}`", dataset.name);
        }
    }
}

/// What an event is called in a tally.
const fn events(op: Op) -> &'static str {
    match op {
        Op::Create => "creates",
        Op::Update => "updates",
        Op::Delete => "deletes",
        Op::Read => "snapshot rows",
        Op::Truncate => "truncates",
    }
}

fn counts_of(database: &mut Database, batch: &str, dataset: &str) -> Vec<usize> {
    let columns = CLASSES.map(|class| format!("rows_{class}")).join(", ");
    let sql = format!(
        "select {columns} from milepost.batch_datasets where batch_id = {batch} and dataset = '{dataset}'"
    );
    match database.rows(&sql).first() {
        Some(row) => row
            .iter()
            .flatten()
            .map(|count| count.parse().expect("a count"))
            .collect(),
        // A dataset without rows in the batch has no row.
        None => vec![0; CLASSES.len()],
    }
}
