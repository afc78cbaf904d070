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
                    Judgement::Unclear => {
                        let high = |stretch: &&Stretch| (part(stretch), stretch.high);
                        return Choice::LookCloser {
                            place: commit,
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
    Unclear,
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
        let stranger = |name: &String| !self.names.contains(&name.as_str());
        if ends.iter().any(|end| end.counts.keys().any(stranger)) {
            return whole();
        }
        match deliveries {
            None => Judgement::Unclear,
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
mod tests {
    use super::*;

    /// Where no transaction has to be looked at closer.
    fn choose(
        stretches: &[Stretch],
        ends: Option<&[End]>,
        settled: &Settled,
        names: &[&str],
        max_rows: u64,
    ) -> Choice {
        super::choose(stretches, ends, &BTreeMap::new(), settled, names, max_rows)
    }

    fn stretch(dataset: usize, place: i64, rows: u64, high: i64) -> Stretch {
        Stretch {
            dataset,
            topic: format!("t{dataset}"),
            partition: 0,
            place,
            transaction: Some(place.to_string()),
            rows,
            distinct: rows,
            high,
            streamed: place >= 0,
            more: false,
        }
    }

    fn end(offset: i64, transaction: i64, counts: &[(&str, u64)]) -> End {
        End {
            offset,
            transaction: transaction.to_string(),
            position: Some(transaction),
            counts: counts
                .iter()
                .map(|(name, n)| ((*name).to_owned(), *n))
                .collect(),
        }
    }

    fn ended(position: i64) -> Settled {
        Settled {
            end: Some(position),
            ..Settled::default()
        }
    }

    fn waited(choice: Choice) -> String {
        match choice {
            Choice::Wait { transaction, .. } => transaction,
            other => panic!("{other:?}"),
        }
    }

    fn highs(choice: Choice) -> Vec<(usize, i64)> {
        match choice {
            Choice::Take { highs, .. } => highs
                .into_iter()
                .map(|((dataset, ..), high)| (dataset, high))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_cut_falls_between_transactions() {
        let staged = [
            stretch(0, 1, 2, 1),
            stretch(1, 1, 2, 1),
            stretch(0, 2, 2, 3),
        ];
        assert_eq!(
            highs(choose(&staged, None, &Settled::default(), &["a", "b"], 5)),
            [(0, 1), (1, 1)]
        );
        assert_eq!(
            highs(choose(&staged, None, &Settled::default(), &["a", "b"], 6)),
            [(0, 3), (1, 1)]
        );
    }

    #[test]
    fn a_transaction_larger_than_a_batch_is_taken_whole() {
        let staged = [
            stretch(0, 1, 7, 6),
            stretch(1, 1, 2, 1),
            stretch(0, 2, 1, 7),
        ];
        assert_eq!(
            highs(choose(&staged, None, &Settled::default(), &["a", "b"], 3)),
            [(0, 6), (1, 1)]
        );
    }

    #[test]
    fn a_look_that_ended_inside_the_first_transaction_goes_further() {
        let mut long = stretch(0, 1, 3, 2);
        long.more = true;
        assert_eq!(
            choose(&[long], None, &Settled::default(), &["a"], 3),
            Choice::LookFurther
        );
    }

    #[test]
    fn a_look_that_ended_in_replays_behind_a_part_of_a_transaction_goes_further() {
        let mut part = stretch(0, 1, 1, 0);
        part.more = true;
        let mut replays = Stretch {
            streamed: false,
            high: 4,
            rows: 4,
            ..part.clone()
        };
        let ends = [end(0, 1, &[("a", 2)])];
        let look = |replays: &Stretch, part: &Stretch| {
            let staged = [part.clone(), replays.clone()];
            choose(&staged, Some(&ends), &Settled::default(), &["a"], 5)
        };
        assert_eq!(look(&replays, &part), Choice::LookFurther);
        (part.more, replays.more) = (false, false);
        assert_eq!(waited(look(&replays, &part)), "1");
    }

    #[test]
    fn a_snapshot_may_be_cut_anywhere() {
        let mut snapshot = stretch(0, -1, 3, 2);
        snapshot.more = true;
        assert_eq!(
            highs(choose(&[snapshot], None, &Settled::default(), &["a"], 3)),
            [(0, 2)]
        );
    }

    #[test]
    fn a_transaction_whose_rows_lag_in_another_table_waits() {
        let staged = [
            stretch(0, 1, 1, 0),
            stretch(1, 1, 1, 0),
            stretch(0, 2, 1, 1),
        ];
        let ends = [
            end(0, 1, &[("a", 1), ("b", 1)]),
            end(1, 2, &[("a", 1), ("b", 2)]),
        ];
        let taken = choose(&staged, Some(&ends), &Settled::default(), &["a", "b"], 9);
        assert_eq!(
            taken,
            Choice::Take {
                highs: [((0, "t0".to_owned(), 0), 0), ((1, "t1".to_owned(), 0), 0)].into(),
                ends: Some(Consumed {
                    offset: 0,
                    position: Some(1),
                    count: 1
                }),
                exact: true
            }
        );
        assert_eq!(
            waited(choose(
                &staged[2..],
                Some(&ends[1..]),
                &ended(1),
                &["a", "b"],
                9
            )),
            "2"
        );
    }

    #[test]
    fn a_transaction_after_one_of_which_nothing_is_staged_waits() {
        let staged = [stretch(0, 5, 1, 0)];
        let ends = [end(0, 4, &[("b", 1)]), end(1, 5, &[("a", 1)])];
        assert_eq!(
            waited(choose(
                &staged,
                Some(&ends),
                &Settled::default(),
                &["a", "b"],
                9
            )),
            "4"
        );
        // The END of a transaction that was merged before is a replay and holds up nothing.
        assert_eq!(
            highs(choose(&staged, Some(&ends), &ended(4), &["a", "b"], 9)),
            [(0, 0)]
        );
    }

    #[test]
    fn a_second_end_with_fewer_rows_does_not_make_a_transaction_whole() {
        let staged = [stretch(0, 1, 3, 2)];
        let ends = [end(0, 1, &[("a", 5)]), end(1, 1, &[("a", 2)])];
        assert_eq!(
            waited(choose(&staged, Some(&ends), &Settled::default(), &["a"], 9)),
            "1"
        );
    }

    /// Of six rows of `a` and two of `b` the first delivery left `first`, the second one begins at the fourth of `a`.
    fn redelivered(first: u64, b: u64, deliveries: Option<[(u64, u64); 2]>) -> Choice {
        let staged = [stretch(0, 1, first, 9), stretch(1, 1, b, 1)];
        // The first END never came.
        let ends = [end(0, 1, &[("a", 3), ("b", 2)])];
        let delivery = |(a, b): (u64, u64)| Delivery {
            behind: [(0, a - 1), (1, b)].into(),
            from: [(0, a), (1, b)].into(),
        };
        let known = deliveries.map(|found| (1, found.map(delivery).to_vec()));
        super::choose(
            &staged,
            Some(&ends),
            &known.into_iter().collect(),
            &Settled::default(),
            &["a", "b"],
            9,
        )
    }

    #[test]
    fn more_rows_than_an_end_counts_are_looked_at_closer() {
        let highs = [((0, "t0".to_owned(), 0), 9), ((1, "t1".to_owned(), 0), 1)];
        assert_eq!(
            redelivered(5, 2, None),
            Choice::LookCloser {
                place: 1,
                highs: highs.into()
            }
        );
        assert_eq!(waited(redelivered(5, 1, None)), "1");
    }

    #[test]
    fn an_earlier_delivery_does_not_pass_for_the_rest() {
        // Five of the six rows of `a` are staged: two of the three from the fourth on.
        assert_eq!(waited(redelivered(5, 2, Some([(5, 2), (2, 2)]))), "1");
        assert_eq!(
            highs(redelivered(6, 2, Some([(6, 2), (3, 2)]))),
            [(0, 9), (1, 1)]
        );
    }

    #[test]
    fn rows_that_share_a_position_with_the_first_of_a_delivery_may_be_of_the_one_before() {
        let staged = [stretch(0, 1, 6, 5)];
        let ends = [end(0, 1, &[("a", 3)])];
        // A record of four rows, of which the second delivery has the last two.
        let delivery = Delivery {
            behind: [(0, 1)].into(),
            from: [(0, 5)].into(),
        };
        let known = [(1, vec![delivery])].into();
        let settled = Settled::default();
        let choice = super::choose(&staged, Some(&ends), &known, &settled, &["a"], 9);
        assert_eq!(highs(choice), [(0, 5)]);
    }

    #[test]
    fn where_a_delivery_begins_outside_the_stream_enough_rows_are_enough() {
        let staged = [stretch(0, 1, 5, 4)];
        let ends = [end(0, 1, &[("a", 3), ("other", 1)])];
        let taken = choose(&staged, Some(&ends), &Settled::default(), &["a"], 9);
        assert_eq!(highs(taken), [(0, 4)]);
    }

    #[test]
    fn ends_of_other_tables_are_passed_over_but_never_one_that_is_waited_for() {
        let ends = [
            end(0, 1, &[("other", 1)]),
            end(1, 2, &[]),
            end(2, 3, &[("a", 1)]),
        ];
        let done = Consumed {
            offset: 1,
            position: Some(2),
            count: 2,
        };
        assert_eq!(
            choose(&[], Some(&ends[..2]), &Settled::default(), &["a"], 9),
            Choice::Nothing { ends: Some(done) }
        );
        assert_eq!(
            waited(choose(&[], Some(&ends), &Settled::default(), &["a"], 9)),
            "3"
        );
    }

    #[test]
    fn a_replayed_end_does_not_take_the_fence_back() {
        let ends = [end(7, 3, &[("a", 1)])];
        let done = Consumed {
            offset: 7,
            position: Some(5),
            count: 1,
        };
        assert_eq!(
            choose(&[], Some(&ends), &ended(5), &["a"], 9),
            Choice::Nothing { ends: Some(done) }
        );
    }

    #[test]
    fn what_was_merged_before_the_first_end_holds_up_nothing() {
        let settled = Settled {
            end: None,
            commit: Some(5),
            transactions: ["5".to_owned()].into(),
        };
        let ends = [
            end(0, 4, &[("b", 1)]),
            end(1, 5, &[("a", 1)]),
            end(2, 6, &[("a", 1)]),
        ];
        let staged = [stretch(1, 4, 1, 0), stretch(0, 6, 1, 1)];
        assert_eq!(
            highs(choose(&staged, Some(&ends), &settled, &["a", "b"], 9)),
            [(0, 1), (1, 0)]
        );
    }

    #[test]
    fn rows_whose_end_was_passed_over_are_taken_as_they_come() {
        let settled = Settled {
            end: Some(9),
            commit: Some(2),
            transactions: BTreeSet::new(),
        };
        let staged = [stretch(0, 4, 1, 7)];
        assert_eq!(
            choose(&staged, Some(&[]), &settled, &["a"], 9),
            Choice::Take {
                highs: [((0, "t0".to_owned(), 0), 7)].into(),
                ends: None,
                exact: false,
            }
        );
    }
}
