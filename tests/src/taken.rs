use std::collections::{BTreeMap, VecDeque};

use milepost_job_spec::{DatasetSpec, OnTruncate};
use milepost_simulator::{Key, Op, StagedRow};

use crate::fence::{Fences, Standing};
use crate::filled::filled;
use crate::version::{Version, is_one_change, key_of};

/// A key change at the fence whose new half stands live as it left it was merged: its old half is a replay.
pub(crate) fn settle(
    spec: &DatasetSpec,
    live: &BTreeMap<Key, Version>,
    fences: &Fences,
    rows: &[&StagedRow],
    standings: &mut [Standing],
) {
    for place in 1..rows.len() {
        let (old, new) = (rows[place - 1], rows[place]);
        let is_change = (&old.topic, old.partition, old.op)
            == (&new.topic, new.partition, Op::Delete)
            && new.op == Op::Create
            && is_one_change(old, new);
        if !is_change || !fences.is_at(old) || standings[place] == Standing::Replay {
            continue;
        }
        let stands = key_of(spec, new)
            .and_then(|key| live.get(&key))
            .map(|row| &row.image);
        if stands.is_some_and(|image| {
            filled(spec, new, Some(image)).as_ref() == Ok(&Some(image.clone()))
        }) {
            standings[place - 1] = Standing::Replay;
        }
    }
}

/// The places of a batch's rows, with each delete before the create that took its key: of the rows of a key, a delete is of
/// the one that was there first, as long as there are several.
pub(crate) fn in_source_order(
    spec: &DatasetSpec,
    live: &BTreeMap<Key, Version>,
    before: Option<&StagedRow>,
    rows: &[&StagedRow],
    standings: &[Standing],
) -> Vec<usize> {
    // The rows that have a key: by the place of the create that took it, or none for one that was there before.
    let mut holders: BTreeMap<Key, (Option<&str>, VecDeque<Option<usize>>)> = BTreeMap::new();
    let mut is_closed = false;
    let mut ranks: Vec<usize> = (0..rows.len()).map(|place| 2 * place + 1).collect();
    for (place, row) in rows.iter().enumerate() {
        if standings[place] == Standing::Replay {
            continue;
        }
        if row.op == Op::Truncate && spec.policy.truncate == OnTruncate::CloseAll {
            is_closed = true;
            holders
                .values_mut()
                .for_each(|(_, holders)| holders.clear());
        }
        let Some(key) = key_of(spec, row) else {
            continue;
        };
        let transaction = row
            .transaction_id
            .as_deref()
            .and_then(|id| id.split(':').next());
        let (last, holders) = holders.entry(key.clone()).or_insert_with(|| {
            (
                None,
                (!is_closed && live.contains_key(&key))
                    .then_some(None)
                    .into_iter()
                    .collect(),
            )
        });
        if *last != transaction {
            // At its end one row has the key, or none.
            *last = transaction;
            holders.truncate(1);
            holders.iter_mut().for_each(|holder| *holder = None);
        }
        let previous = place.checked_sub(1).map(|place| rows[place]).or(before);
        let took = previous.is_some_and(|previous| {
            let is_here = (&previous.topic, previous.partition) == (&row.topic, row.partition);
            let is_news = place == 0 || standings[place - 1] != Standing::Replay;
            is_here && is_news && previous.op == Op::Delete && is_one_change(previous, row)
        });
        match row.op {
            Op::Create if took => holders.push_back(Some(place)),
            Op::Delete if holders.len() > 1 => {
                holders.pop_front();
                ranks[place] = holders[0].map_or(ranks[place], |taker| 2 * taker);
            }
            Op::Delete => holders.clear(),
            Op::Create | Op::Update | Op::Read => {
                holders.clear();
                holders.push_back(Some(place));
            }
            Op::Truncate => {}
        }
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&place| ranks[place]);
    order
}
