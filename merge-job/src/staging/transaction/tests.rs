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
            transaction: "1".to_owned(),
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
fn an_end_that_counts_nothing_ends_what_was_delivered_before() {
    let staged = [stretch(0, 1, 5, 4)];
    let ends = [end(0, 1, &[])];
    let taken = choose(&staged, Some(&ends), &Settled::default(), &["a"], 9);
    assert_eq!(highs(taken), [(0, 4)]);
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
