use std::collections::{BTreeMap, VecDeque};

use milepost_job_spec::{DatasetSpec, OnTruncate};
use milepost_simulator::{Key, Op, StagedRow};

use crate::fence::Standing;
use crate::version::{Version, is_one_change, key_of};

/// The places of a batch's rows, with each delete before the create that took its key: of the rows of a key, a delete is of the one that
/// was there first, as long as there are several.
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
        if row.op == Op::Truncate && spec.policy.truncate == OnTruncate::CloseAll {
            is_closed = true;
            holders
                .values_mut()
                .for_each(|(_, holders)| holders.clear());
        }
        let Some(key) = key_of(spec, row).filter(|_| standings[place] != Standing::Replay) else {
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
            is_here && previous.op == Op::Delete && is_one_change(previous, row)
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
