//! Where a multi-dataset stream may be cut: between source transactions, never inside one.
//!
//! Pure: [`crate::staging::cut::by_transaction`] gives the stretches, [`crate::staging::end`] the END events, [`choose`] decides.

use std::collections::{BTreeMap, BTreeSet};

use crate::staging::end::End;

/// The rows of one source transaction in one topic partition: one stretch of offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The place of the dataset in the stream.
    pub dataset: usize,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The commit position; −1 before the first.
    pub place: i64,
    /// The transaction, where its rows name it.
    pub transaction: Option<String>,
    /// Staged rows.
    pub rows: u64,
    /// Rows of the transaction, each counted once however often it was delivered.
    pub distinct: u64,
    /// The last offset.
    pub high: i64,
    /// Are there rows of the transaction itself, or only snapshot rows and replays that follow an earlier one?
    pub streamed: bool,
    /// Did the look end before the partition did?
    pub more: bool,
}

/// Where a stretch stands among others: its commit position, and after the transaction what only follows it.
type Place = (i64, bool);

impl Stretch {
    fn order(&self) -> Place {
        (self.place, !self.streamed)
    }
}

/// Which transactions are merged already.
///
/// A stream merges what is staged until its first END comes. Then there are transactions that were merged without one,
/// perhaps in part: their ENDs hold up nothing, and what is left of them is taken as it comes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Commit position of the last consumed END.
    pub end: Option<i64>,
    /// The highest commit position among merged rows.
    pub commit: Option<i64>,
    /// The transactions that the highest merged rows of the partitions belong to.
    pub transactions: BTreeSet<String>,
}

impl Settled {
    /// May the END of a transaction at this commit position be gone already? The position is the END's of the transaction
    /// before, so one that is not below the last consumed END is still to come.
    fn is_before(&self, commit: i64) -> bool {
        self.commit.is_some_and(|merged| commit <= merged)
            || self.end.is_some_and(|end| commit < end)
    }

    /// The ENDs that are still to be merged.
    pub(crate) fn news<'a>(&self, ends: Option<&'a [End]>) -> Vec<&'a End> {
        let ends = ends.unwrap_or_default().iter();
        ends.filter(|end| !self.has(end)).collect()
    }

    /// Need this END hold up nothing?
    fn has(&self, end: &End) -> bool {
        let passed = |fence: Option<i64>| matches!((end.position, fence), (Some(position), Some(fence)) if position <= fence);
        passed(self.end) || passed(self.commit) || self.transactions.contains(&end.transaction)
    }
}

/// Partition of a dataset: place of the dataset, topic, partition.
pub type Part = (usize, String, i32);

/// END events that are done with: all up to an offset of the transaction topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumed {
    /// The offset of the last.
    pub offset: i64,
    /// The highest commit position among them and those before.
    pub position: Option<i64>,
    /// How many.
    pub count: usize,
}

/// What to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Nothing is staged, beside END events of transactions that do not concern the stream.
    Nothing {
        /// The ENDs that may be passed over.
        ends: Option<Consumed>,
    },
    /// Up to these offsets. `end` is the last consumed offset of the transaction topic; `exact` whether END vouches for
    /// every transaction.
    Take {
        /// The highest offset per partition.
        highs: BTreeMap<Part, i64>,
        /// The ENDs that are done with.
        ends: Option<Consumed>,
        /// Does END vouch for all of it?
        exact: bool,
    },
    /// The first transaction is larger than the look: look further.
    LookFurther,
    /// More rows of a transaction are staged than its END counts: look at its deliveries.
    LookCloser {
        /// The commit position of the transaction.
        place: i64,
        /// The transaction.
        transaction: String,
        /// The last offset of the transaction per partition.
        highs: BTreeMap<Part, i64>,
    },
    /// The first transaction is not whole in staging yet.
    Wait {
        /// Which one.
        transaction: String,
        /// The ENDs before it that may be passed over.
        ends: Option<Consumed>,
    },
}

/// The ENDs that need not be read again: the longest run of those that are taken, replays, or none of the stream's concern.
fn consumed(
    ends: Option<&[End]>,
    settled: &Settled,
    names: &[&str],
    taken: &BTreeSet<String>,
) -> Option<Consumed> {
    let mut done = None;
    for (end, count) in ends.unwrap_or_default().iter().zip(1..) {
        let concerns = names.iter().any(|name| end.counts.contains_key(*name));
        if concerns && !settled.has(end) && !taken.contains(&end.transaction) {
            break;
        }
        let before = done.map_or(settled.end, |done: Consumed| done.position);
        done = Some(Consumed {
            offset: end.offset,
            position: before.max(end.position),
            count,
        });
    }
    done
}

/// What is staged of a transaction from the first row of one of its deliveries on, per dataset.
///
/// A connector that is killed inside a transaction resumes inside it: it delivers the rest, counts its rows from 1, and
/// its END has the counts of the rest only (docs/decisions/0001).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Distinct rows behind the first row of the delivery.
    pub behind: BTreeMap<usize, u64>,
    /// Distinct rows from the first row of the delivery on: that row, and others that share its row position.
    pub from: BTreeMap<usize, u64>,
}

impl Delivery {
    /// Is this the delivery that the END counts, and all of it staged?
    ///
    /// Of several rows at the position of its first one, some may be of the delivery before.
    fn is_whole(&self, end: &End, names: &[&str]) -> bool {
        let of = |rows: &BTreeMap<usize, u64>, index| rows.get(&index).copied().unwrap_or(0);
        names.iter().enumerate().all(|(index, name)| {
            let (behind, from) = (of(&self.behind, index), of(&self.from, index));
            let least = if from - behind.min(from) > 1 {
                behind
            } else {
                from
            };
            (least..=from).contains(&end.count(name))
        })
    }
}

/// Decides what a batch of at most `max_rows` takes; a larger transaction is taken whole.
///
/// `ends` are the END events above the transaction topic's watermark in order, none if the connector supplies none;
/// `deliveries` are those of transactions that had to be looked at, by commit position; `settled` says what is merged
/// already; `names` are the tables' names at the source, in stream order.
#[must_use]
pub fn choose(
    stretches: &[Stretch],
    ends: Option<&[End]>,
    deliveries: &BTreeMap<i64, Vec<Delivery>>,
    settled: &Settled,
    names: &[&str],
    max_rows: u64,
) -> Choice {
    let mut by_place: BTreeMap<Place, Vec<&Stretch>> = BTreeMap::new();
    for stretch in stretches {
        by_place.entry(stretch.order()).or_default().push(stretch);
    }
    // Where a look ended early, its last transaction may go on: neither it nor a later one can be judged.
    let horizon = last_places(stretches).into_values().min();
    let ends_at = |commit| horizon.is_some_and(|(place, _)| place <= commit);
    let whole = ends.map(|ends| Whole::new(ends, settled, names, &by_place));

    let mut highs = BTreeMap::new();
    let mut rows_taken = 0;
    let mut taken = BTreeSet::new();
    let mut exact = ends.is_some();
    for (&place, group) in &by_place {
        let beyond = horizon.is_some_and(|horizon| place >= horizon);
        let (commit, follows) = place;
        if follows {
            // Snapshot rows and replays are no transaction: a cut may fall anywhere among them.
            let fitting = group.iter().take_while(|stretch| {
                let fits = rows_taken == 0 || rows_taken + stretch.rows <= max_rows;
                rows_taken += stretch.rows;
                fits
            });
            let before = highs.len();
            highs.extend(fitting.map(|stretch| (part(stretch), stretch.high)));
            if beyond || highs.len() - before < group.len() {
                break;
            }
            continue;
        }
        let rows: u64 = group.iter().map(|stretch| stretch.rows).sum();
        if rows_taken > 0 && (beyond || rows_taken + rows > max_rows) {
            break;
        }
        if beyond {
            return Choice::LookFurther;
        }
        if let Some(whole) = &whole {
            if settled.is_before(commit) {
                exact = false;
            } else {
                match whole.judge(group, deliveries.get(&commit)) {
                    Judgement::Whole(transaction) => taken.insert(transaction),
                    Judgement::Unclear(transaction) => {
                        let high = |stretch: &&Stretch| (part(stretch), stretch.high);
                        return Choice::LookCloser {
                            place: commit,
                            transaction,
                            highs: group.iter().map(high).collect(),
                        };
                    }
                    // A delivery that was cut off left a part; the rest lies behind all that was delivered again.
                    Judgement::Lacking(_) if rows_taken == 0 && ends_at(commit) => {
                        return Choice::LookFurther;
                    }
                    Judgement::Lacking(transaction) if rows_taken == 0 => {
                        let ends = consumed(ends, settled, names, &taken);
                        return Choice::Wait { transaction, ends };
                    }
                    Judgement::Lacking(_) => break,
                };
            }
        }
        rows_taken += rows;
        highs.extend(group.iter().map(|stretch| (part(stretch), stretch.high)));
    }
    let ended = consumed(ends, settled, names, &taken);
    if highs.is_empty() {
        return match whole.and_then(|whole| whole.missing) {
            Some(missing) => Choice::Wait {
                transaction: missing.transaction.clone(),
                ends: ended,
            },
            None => Choice::Nothing { ends: ended },
        };
    }
    Choice::Take {
        highs,
        ends: ended,
        exact,
    }
}

fn part(stretch: &Stretch) -> Part {
    (stretch.dataset, stretch.topic.clone(), stretch.partition)
}

fn last_places(stretches: &[Stretch]) -> BTreeMap<Part, Place> {
    let mut last = BTreeMap::new();
    for stretch in stretches.iter().filter(|stretch| stretch.more) {
        let place = last.entry(part(stretch)).or_insert(stretch.order());
        *place = (*place).max(stretch.order());
    }
    last
}

/// Is all of a transaction staged?
enum Judgement {
    /// It is, by its END.
    Whole(String),
    /// It is not, or one before it is not: the one that is waited for.
    Lacking(String),
    /// Its deliveries have to be told apart.
    Unclear(String),
}

/// Which transactions are whole in staging, by their END events.
struct Whole<'a> {
    /// The ENDs of each transaction: one per delivery that came to its end.
    ends: BTreeMap<&'a str, Vec<&'a End>>,
    names: &'a [&'a str],
    /// The first END, in order, none of whose rows are staged: nothing after it is whole.
    missing: Option<&'a End>,
}

impl<'a> Whole<'a> {
    fn new(
        ends: &'a [End],
        settled: &Settled,
        names: &'a [&'a str],
        by_place: &BTreeMap<Place, Vec<&Stretch>>,
    ) -> Self {
        let staged: BTreeSet<&str> = by_place
            .values()
            .flatten()
            .filter(|stretch| stretch.streamed)
            .filter_map(|stretch| stretch.transaction.as_deref())
            .collect();
        let news = ends.iter().filter(|end| !settled.has(end));
        let missing = news.clone().find(|end| {
            names.iter().any(|name| end.counts.contains_key(*name))
                && !staged.contains(end.transaction.as_str())
        });
        let mut by_transaction: BTreeMap<&str, Vec<&End>> = BTreeMap::new();
        for end in news {
            by_transaction
                .entry(end.transaction.as_str())
                .or_default()
                .push(end);
        }
        Self {
            ends: by_transaction,
            names,
            missing,
        }
    }

    /// Judges the transaction of the stretches.
    ///
    /// A transaction is whole when as many distinct rows are staged as an END counts. If there are more, that END closed
    /// the delivery of a rest, and what is staged of an earlier delivery must not pass for it: the distinct rows from the
    /// rest's first row on have to be as many. Where that row is of a table outside the stream, nothing tells which rows
    /// are the rest's, and as many as every END counts are enough. Nor does anything tell a rest from an earlier delivery
    /// that left, in every table that is not staged to its end, by chance as many rows as the rest has.
    fn judge(&self, group: &[&Stretch], deliveries: Option<&Vec<Delivery>>) -> Judgement {
        let transaction = group
            .iter()
            .find(|stretch| stretch.streamed)
            .and_then(|stretch| stretch.transaction.as_deref())
            .unwrap_or_default();
        let lacking = || Judgement::Lacking(transaction.to_owned());
        let whole = || Judgement::Whole(transaction.to_owned());
        let Some(ends) = self.ends.get(transaction) else {
            return lacking();
        };
        if let Some(missing) = self.missing
            && ends.iter().all(|end| missing.offset < end.offset)
        {
            return Judgement::Lacking(missing.transaction.clone());
        }
        let staged: Vec<u64> = (0..self.names.len())
            .map(|index| {
                let own = group
                    .iter()
                    .filter(|stretch| stretch.dataset == index && stretch.streamed);
                own.map(|stretch| stretch.distinct).sum()
            })
            .collect();
        let counted = |end: &End| {
            self.names
                .iter()
                .map(|name| end.count(name))
                .collect::<Vec<_>>()
        };
        let all = |end: &&End| counted(end).iter().zip(&staged).all(|(n, rows)| n <= rows);
        if !ends.iter().all(all) {
            return lacking();
        }
        if ends.iter().any(|end| counted(end) == staged) {
            return whole();
        }
        // A connector that was stopped behind the last row has nothing left to deliver, and ends the transaction.
        if ends.iter().any(|end| end.counts.is_empty()) {
            return whole();
        }
        let stranger = |name: &String| !self.names.contains(&name.as_str());
        if ends.iter().any(|end| end.counts.keys().any(stranger)) {
            return whole();
        }
        match deliveries {
            None => Judgement::Unclear(transaction.to_owned()),
            Some(deliveries) if deliveries.is_empty() => whole(),
            Some(deliveries) => {
                let is_whole =
                    |delivery: &Delivery| ends.iter().any(|end| delivery.is_whole(end, self.names));
                if deliveries.iter().any(is_whole) {
                    whole()
                } else {
                    lacking()
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
