use std::collections::BTreeMap;

use milepost_job_spec::{DatasetSpec, StreamSpec};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::source::{key_image, key_places};
use crate::topic::{Sent, Topics};
use crate::transaction::{Change, Transaction};
use crate::{Image, Key, Op, Settings, StagedRow, TransactionEnd, Truth, end, value};

/// The log starts just below a change in its number of digits: an LSN compared as text goes wrong soon (T46).
const FIRST_LSN: u64 = 9_999_000;
const FIRST_TRANSACTION: u64 = 740;
/// 2026-11-20 12:00:00 UTC.
const FIRST_COMMIT_US: i64 = 1_795_176_000_000_000;

/// A source and its connector, played forward one [`Round`] at a time.
#[derive(Debug, Clone)]
pub struct History {
    pub(crate) spec: StreamSpec,
    pub(crate) settings: Settings,
    pub(crate) rng: StdRng,
    /// The tables as the open transactions see them; a row that one of them wrote is locked by it.
    pub(crate) working: Truth,
    committed: Truth,
    open: Vec<Transaction>,
    next_transaction: u64,
    lsn: u64,
    pub(crate) last_commit: Option<u64>,
    /// The commits before it.
    pub(crate) earlier: Vec<u64>,
    clock_us: i64,
    snapshot_taken: bool,
    pub(crate) topics: Topics,
}

/// What one call of [`History::round`] brought.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// The staged rows in the order in which the connector sent them.
    pub rows: Vec<StagedRow>,
    /// The END events of the transaction topic, in order.
    pub ends: Vec<TransactionEnd>,
    /// What the source holds after the round's last commit.
    pub truth: Truth,
    /// The rows of the round, each once however often it was sent, in the order of the source; they have no offsets.
    pub happened: Vec<StagedRow>,
}

impl History {
    /// A history of these datasets; the same spec and seed give the same rows.
    #[must_use]
    pub fn new(spec: &StreamSpec, seed: u64) -> Self {
        Self::with(spec, seed, Settings::default())
    }

    /// A history with other settings.
    #[must_use]
    pub fn with(spec: &StreamSpec, seed: u64, settings: Settings) -> Self {
        Self {
            spec: spec.clone(),
            settings,
            rng: StdRng::seed_from_u64(seed),
            working: Truth::empty(spec),
            committed: Truth::empty(spec),
            open: Vec::new(),
            next_transaction: FIRST_TRANSACTION,
            lsn: FIRST_LSN,
            last_commit: None,
            earlier: Vec::new(),
            clock_us: FIRST_COMMIT_US,
            snapshot_taken: false,
            topics: Topics::default(),
        }
    }

    /// Plays until `transactions` more have committed; the first round begins with the snapshot.
    ///
    /// Transactions that are still open go on in the next round, so a round of one transaction gives the truth after it.
    pub fn round(&mut self, transactions: usize) -> Round {
        let mut round = Round::default();
        if !self.snapshot_taken {
            self.snapshot(&mut round);
        }
        let mut committed = 0;
        while committed < transactions {
            let begins = self.open.is_empty()
                || self.open.len() < self.settings.open_transactions && self.rng.random_bool(0.2);
            if begins {
                self.open.push(Transaction::begin(self.next_transaction));
                self.next_transaction += 1;
            }
            let turn = self.rng.random_range(0..self.open.len());
            match self.rng.random_range(0..100) {
                0..70 => self.change(turn),
                70..92 => committed += usize::from(self.commit(turn, &mut round)),
                _ => self.roll_back(turn),
            }
        }
        round.truth = self.committed.clone();
        round
    }

    /// Fills the tables and reads them, before the first transaction.
    fn snapshot(&mut self, round: &mut Round) {
        self.snapshot_taken = true;
        for dataset in 0..self.spec.datasets.len() {
            for _ in 0..self.rng.random_range(0..=self.settings.snapshot_rows) {
                let key = self.random_key(dataset);
                let image = self.random_image(dataset, &key);
                self.working.tables[dataset].insert(key, image);
            }
        }
        self.committed = self.working.clone();
        let total: usize = self.committed.tables.iter().map(BTreeMap::len).sum();
        for (dataset, table) in self.committed.tables.clone().into_iter().enumerate() {
            let in_table = table.len();
            for (place, (key, columns)) in table.into_iter().enumerate() {
                let snapshot = match (round.rows.len(), place) {
                    (read, _) if read + 1 == total => "last",
                    (0, _) => "first",
                    (_, place) if place + 1 == in_table => "last_in_data_collection",
                    (_, 0) => "first_in_data_collection",
                    _ => "true",
                };
                let row = StagedRow {
                    dataset,
                    topic: self.topic(dataset),
                    partition: self.partition(dataset, &key),
                    offset: 0,
                    op: Op::Read,
                    columns,
                    source_ts_us: Some(FIRST_COMMIT_US),
                    last_commit: None,
                    stale_commit: None,
                    lsn: Some(FIRST_LSN),
                    transaction_id: None,
                    total_order: None,
                    snapshot: snapshot.to_owned(),
                };
                round.happened.push(row.clone());
                self.send(row, round);
            }
        }
    }

    /// One transaction does one thing; nothing happens where another one holds the row.
    fn change(&mut self, turn: usize) {
        let dataset = self.rng.random_range(0..self.spec.datasets.len());
        if self.settings.truncates > 0.0 && self.rng.random_bool(self.settings.truncates) {
            return self.truncate(turn, dataset);
        }
        if self.settings.permutations > 0.0
            && !self.is_keyless(dataset)
            && self.rng.random_bool(self.settings.permutations)
        {
            return self.permute(turn, dataset);
        }
        let key = self.random_key(dataset);
        if self.is_locked(turn, dataset, &key) {
            return;
        }
        let Some(old) = self.working.tables[dataset].get(&key).cloned() else {
            return self.insert(turn, dataset, key);
        };
        match self.rng.random_range(0..100) {
            0..55 => {
                let new = self.changed_image(dataset, &old);
                self.update(turn, dataset, key, &old, new);
            }
            55..67 => self.update(turn, dataset, key, &old, old.clone()),
            67..82 => {
                let lsn = self.advance();
                self.delete(turn, dataset, key, lsn);
            }
            82..88 => {
                let lsn = self.advance();
                self.delete(turn, dataset, key.clone(), lsn);
                self.insert(turn, dataset, key);
            }
            _ if self.is_keyless(dataset) => {
                let new = self.changed_image(dataset, &old);
                self.update(turn, dataset, key, &old, new);
            }
            _ => self.change_key(turn, dataset, key, &old),
        }
    }

    /// Inserts the row, and at times others of the same table beside it with one LSN, as `copy` writes them (T45).
    fn insert(&mut self, turn: usize, dataset: usize, key: Key) {
        let lsn = self.advance();
        let mut keys = vec![key];
        if self.rng.random_bool(0.15) {
            keys.extend((0..2).map(|_| self.random_key(dataset)));
        }
        let mut first = None;
        for key in keys {
            let free = !self.is_locked(turn, dataset, &key)
                && !self.working.tables[dataset].contains_key(&key);
            if free {
                let image = self.equal_image(dataset, first.as_ref());
                let image = image.unwrap_or_else(|| self.random_image(dataset, &key));
                first.get_or_insert_with(|| image.clone());
                self.write(turn, dataset, key.clone(), Some(image.clone()));
                self.record(turn, dataset, Op::Create, key, image, lsn);
            }
        }
    }

    fn update(&mut self, turn: usize, dataset: usize, key: Key, old: &Image, new: Image) {
        let lsn = self.advance();
        let sent = self.without_unchanged(dataset, old, &new);
        self.write(turn, dataset, key.clone(), Some(new));
        self.record(turn, dataset, Op::Update, key, sent, lsn);
    }

    /// Deletes the row. The event's other columns hold nulls or anything at all: only its key is to be trusted (T32). Without
    /// a key the source tells all of the row, or it does not allow the delete.
    fn delete(&mut self, turn: usize, dataset: usize, key: Key, lsn: u64) {
        let (places, width) = self.shape(dataset);
        let mut columns = key_image(&places, &key, width);
        if self.is_keyless(dataset) {
            columns.clone_from(&self.working.tables[dataset][&key]);
        } else if self.rng.random_bool(0.3) {
            let noise = self.random_image(dataset, &key);
            columns = noise;
        }
        self.write(turn, dataset, key.clone(), None);
        self.record(turn, dataset, Op::Delete, key, columns, lsn);
    }

    /// Deletes every row of the table, unless another transaction writes to it.
    fn truncate(&mut self, turn: usize, dataset: usize) {
        let mut others = self.open.iter().enumerate();
        if others.any(|(other, open)| other != turn && open.writes_to(dataset)) {
            return;
        }
        let keys: Vec<Key> = self.working.tables[dataset].keys().cloned().collect();
        for key in keys {
            self.write(turn, dataset, key, None);
        }
        self.open[turn].truncated.insert(dataset);
        let (_, width) = self.shape(dataset);
        let lsn = self.advance();
        self.record(
            turn,
            dataset,
            Op::Truncate,
            Vec::new(),
            vec![None; width],
            lsn,
        );
    }

    /// A key change arrives as a delete and a create side by side, with one LSN.
    fn change_key(&mut self, turn: usize, dataset: usize, old_key: Key, old: &Image) {
        let new_key = self.random_key(dataset);
        if self.working.tables[dataset].contains_key(&new_key)
            || self.is_locked(turn, dataset, &new_key)
        {
            return;
        }
        let lsn = self.advance();
        let mut new = if self.rng.random_bool(0.5) {
            old.clone()
        } else {
            self.changed_image(dataset, old)
        };
        let (places, _) = self.shape(dataset);
        for (place, value) in places.into_iter().zip(&new_key) {
            new[place] = Some(value.clone());
        }
        let sent = self.without_unchanged(dataset, old, &new);
        self.delete(turn, dataset, old_key, lsn);
        self.write(turn, dataset, new_key.clone(), Some(new));
        self.record(turn, dataset, Op::Create, new_key, sent, lsn);
    }

    /// Ends a transaction and sends its events, END last. False where it had written nothing: nobody hears of it.
    fn commit(&mut self, turn: usize, round: &mut Round) -> bool {
        let transaction = self.open.swap_remove(turn);
        if transaction.changes.is_empty() {
            return false;
        }
        for (dataset, key) in transaction.before.keys() {
            match self.working.tables[*dataset].get(key) {
                Some(image) => self.committed.tables[*dataset].insert(key.clone(), image.clone()),
                None => self.committed.tables[*dataset].remove(key),
            };
        }
        self.clock_us += self.rng.random_range(1..2_000_000);
        let commit = self.advance();
        let sent = self.events(transaction, commit);
        round.happened.extend(sent.rows.iter().cloned());
        let stale = self.stale_commit(&sent);
        self.earlier.extend(self.last_commit.replace(commit));
        if let Some(stale) = stale {
            self.resume_below(&sent, stale, round);
            return true;
        }
        if self.rng.random_bool(self.settings.restarts) {
            if self.rng.random_bool(0.5) {
                self.restart_before(&sent, round);
            } else {
                self.send_all(&sent, round);
                let rest = self.rest_of(&sent, commit);
                self.send_all(&rest, round);
                // What has no key is told apart only as long as a restart never goes back behind an earlier one.
                if self.has_keyless() {
                    self.topics.forget();
                    self.topics.remember(rest);
                } else {
                    self.topics.remember(sent);
                }
                return true;
            }
        }
        self.send_all(&sent, round);
        self.topics.remember(sent);
        true
    }

    /// The connector had sent a part of this transaction, and begins again some transactions earlier.
    ///
    /// It never stops between the halves of a key change: they are one record of the source's log. Rows without a key it may
    /// part, for it begins again before the record.
    fn restart_before(&mut self, sent: &Sent, round: &mut Round) {
        let mut part = self.rng.random_range(0..=sent.rows.len());
        while sent.splits_record(part) && !self.is_keyless(sent.rows[part].dataset) {
            part -= 1;
        }
        for row in &sent.rows[..part] {
            self.send(row.clone(), round);
        }
        let back = self.rng.random_range(0..=self.topics.remembered());
        for again in self.topics.last(back) {
            self.send_all(&again, round);
        }
    }

    /// What comes again after a restart inside this transaction: its orders begin at 1, and its END counts only this.
    fn rest_of(&mut self, sent: &Sent, commit: u64) -> Sent {
        let mut from = self.rng.random_range(0..sent.rows.len());
        while sent.splits_record(from) {
            from -= 1;
        }
        let mut rows = sent.rows[from..].to_vec();
        for (row, order) in rows.iter_mut().zip(1..) {
            row.total_order = Some(order);
        }
        let end = self.end(&rows, commit);
        Sent { rows, end }
    }

    /// A rolled back transaction is never seen; its rows are as before.
    fn roll_back(&mut self, turn: usize) {
        let transaction = self.open.swap_remove(turn);
        for ((dataset, key), image) in transaction.before {
            match image {
                Some(image) => self.working.tables[dataset].insert(key, image),
                None => self.working.tables[dataset].remove(&key),
            };
        }
    }

    /// The events of a transaction and its END, before they have offsets.
    fn events(&mut self, transaction: Transaction, commit: u64) -> Sent {
        let id = transaction.id;
        let rows: Vec<StagedRow> = transaction
            .changes
            .into_iter()
            .zip(1..)
            .map(|(change, order)| StagedRow {
                dataset: change.dataset,
                topic: self.topic(change.dataset),
                partition: self.partition(change.dataset, &change.key),
                offset: 0,
                op: change.op,
                columns: self.spoil(&change),
                source_ts_us: Some(self.clock_us),
                last_commit: self.last_commit,
                stale_commit: None,
                lsn: Some(change.lsn),
                transaction_id: Some(format!("{id}:{}", change.lsn)),
                total_order: Some(order),
                snapshot: "false".to_owned(),
            })
            .collect();
        let end = self.end(&rows, commit);
        Sent { rows, end }
    }

    /// The END of a transaction with these rows. The connector adds the position of what it reads: rows and END agree
    /// before the colon only, and END's position is the commit position of the next transaction.
    fn end(&self, rows: &[StagedRow], commit: u64) -> String {
        let mut counts = BTreeMap::new();
        for row in rows {
            let name = self.spec.datasets[row.dataset].source_name.as_str();
            *counts.entry(name).or_insert(0) += 1;
        }
        let id = rows.first().and_then(|row| row.transaction_id.as_ref());
        let id = id.and_then(|id| id.split(':').next()).unwrap_or_default();
        end::payload(&format!("{id}:{commit}"), &counts, self.clock_us / 1000)
    }

    pub(crate) fn send_all(&mut self, sent: &Sent, round: &mut Round) {
        for row in &sent.rows {
            self.send(row.clone(), round);
        }
        let topic = format!("{}.transaction", self.spec.stream.store);
        let offset = self.topics.offset(&topic, 0, false);
        round.ends.push(TransactionEnd {
            topic,
            partition: 0,
            offset,
            payload: sent.end.clone(),
        });
    }

    fn send(&mut self, mut row: StagedRow, round: &mut Round) {
        let gap = self.rng.random_bool(0.1);
        row.offset = self.topics.offset(&row.topic, row.partition, gap);
        round.rows.push(row);
    }

    /// The event's columns, now and then broken.
    fn spoil(&mut self, change: &Change) -> Image {
        let mut columns = change.columns.clone();
        if change.op == Op::Truncate {
            return columns;
        }
        if self.settings.spoiled > 0.0 && self.rng.random_bool(self.settings.spoiled) {
            let dataset = &self.spec.datasets[change.dataset];
            let place = self.rng.random_range(0..columns.len());
            let column = &dataset.columns[place];
            let casts = column.staging_type == "text" && column.merge_type != "text";
            if casts && (change.op != Op::Delete || dataset.key.is_empty()) {
                columns[place] = Some(value::UNCASTABLE.to_owned());
            } else {
                columns[place] = None;
            }
        }
        columns
    }

    pub(crate) fn write(&mut self, turn: usize, dataset: usize, key: Key, image: Option<Image>) {
        let before = match image {
            Some(image) => self.working.tables[dataset].insert(key.clone(), image),
            None => self.working.tables[dataset].remove(&key),
        };
        self.open[turn]
            .before
            .entry((dataset, key))
            .or_insert(before);
    }

    pub(crate) fn record(
        &mut self,
        turn: usize,
        dataset: usize,
        op: Op,
        key: Key,
        columns: Image,
        lsn: u64,
    ) {
        self.open[turn].changes.push(Change {
            dataset,
            op,
            key,
            columns,
            lsn,
        });
    }

    pub(crate) fn is_locked(&self, turn: usize, dataset: usize, key: &Key) -> bool {
        self.open
            .iter()
            .enumerate()
            .any(|(other, transaction)| other != turn && transaction.holds(dataset, key))
    }

    pub(crate) fn advance(&mut self) -> u64 {
        self.lsn += self.rng.random_range(7..30) * 8;
        self.lsn
    }

    /// What an update sends: placeholders where a large value stays, unless the replica identity is full.
    pub(crate) fn without_unchanged(&mut self, dataset: usize, old: &Image, new: &Image) -> Image {
        let mut sent = new.clone();
        if self.settings.replica_identity_full || self.is_keyless(dataset) {
            return sent;
        }
        for (place, column) in self.spec.datasets[dataset].columns.iter().enumerate() {
            let stays = old[place] == new[place]
                && new[place]
                    .as_deref()
                    .is_some_and(|value| value::is_large(column, value));
            // At times the statement sets the column to what it held: then it is sent.
            if stays && self.rng.random_bool(0.85) {
                sent[place] = value::placeholder(column, self.rng.random_range(0..4));
            }
        }
        sent
    }

    pub(crate) fn random_key(&mut self, dataset: usize) -> Key {
        if self.is_keyless(dataset) {
            return self.hidden_key();
        }
        let columns: Vec<_> = self.spec.datasets[dataset].key_columns().cloned().collect();
        let mut keys = self.settings.keys.max(1);
        let mut parts = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            let last = place + 1 == columns.len();
            let range = if last { keys } else { keys.isqrt().max(1) };
            parts.push(value::key(column, self.rng.random_range(0..range)));
            keys = (keys / range).max(1);
        }
        parts
    }

    fn random_image(&mut self, dataset: usize, key: &Key) -> Image {
        let (places, width) = self.shape(dataset);
        let mut image = key_image(&places, key, width);
        for place in (0..width).filter(|place| !places.contains(place)) {
            image[place] = self.random_value(dataset, place);
        }
        image
    }

    /// The old image with one to three values chosen anew.
    fn changed_image(&mut self, dataset: usize, old: &Image) -> Image {
        let (keys, width) = self.shape(dataset);
        let places: Vec<usize> = (0..width).filter(|place| !keys.contains(place)).collect();
        let mut image = old.clone();
        for _ in 0..self.rng.random_range(1..=3) {
            if let Some(&place) = places.choose(&mut self.rng) {
                image[place] = self.random_value(dataset, place);
            }
        }
        image
    }

    fn random_value(&mut self, dataset: usize, place: usize) -> Option<String> {
        let column = &self.spec.datasets[dataset].columns[place];
        if column.nullable && self.rng.random_bool(0.15) {
            return None;
        }
        value::pool(column).choose(&mut self.rng).cloned()
    }

    fn shape(&self, dataset: usize) -> (Vec<usize>, usize) {
        let dataset: &DatasetSpec = &self.spec.datasets[dataset];
        (key_places(dataset), dataset.columns.len())
    }

    fn topic(&self, dataset: usize) -> String {
        format!(
            "{}.{}",
            self.spec.stream.store, self.spec.datasets[dataset].source_name
        )
    }
}
