//! Datasets without a key, for the reference merge: every row that is no replay is kept.

use std::collections::BTreeMap;

use milepost_job_spec::DatasetSpec;
use milepost_simulator::{Op, StagedRow, value};

use crate::Reference;
use crate::version::{Counts, Version};

/// What was delivered in each topic partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deliveries(BTreeMap<(String, i32), Delivered>);

/// Commit and row position.
type Place = (u64, u64);

#[derive(Debug, Clone, Default)]
struct Delivered {
    /// The highest place, and how many rows at it are known.
    highest: Option<(Place, u64)>,
    /// The last row: its place, its order in the transaction, and the how many-th it is there in its delivery.
    last: Option<(Place, Option<u64>, u64)>,
}

impl Deliveries {
    /// Was the row delivered before? It was if a later one was, or at its place as many rows as it is the n-th in its delivery.
    fn know(&mut self, row: &StagedRow) -> bool {
        let partition = (row.topic.clone(), row.partition);
        let own = self.0.entry(partition).or_default();
        if row.op == Op::Read && row.snapshot != "incremental" {
            *own = Delivered::default();
        }
        let Some((commit, lsn, _)) = row.position() else {
            return false;
        };
        let place = (commit, lsn);
        let number = match own.last {
            Some((last, order, number)) if last == place => {
                let follows = order.zip(row.total_order).is_none_or(|(a, b)| b == a + 1);
                if follows { number + 1 } else { 1 }
            }
            _ => 1,
        };
        own.last = Some((place, row.total_order, number));
        match own.highest {
            Some((highest, _)) if place < highest => true,
            Some((highest, known)) if place == highest && number <= known => true,
            _ => {
                own.highest = Some((place, number));
                false
            }
        }
    }
}

impl Reference {
    /// Appends one batch of a dataset without a key.
    pub(crate) fn append(&mut self, spec: &DatasetSpec, rows: &[&StagedRow], time: i64) -> Counts {
        let mut counts = Counts::default();
        for &row in rows {
            if self.deliveries.know(row) {
                counts.add("replayed");
            } else {
                self.keep(spec, row, time, &mut counts);
            }
        }
        counts
    }

    /// Appends the row, or sets it aside where a value is unknown or does not cast.
    pub(crate) fn keep(
        &mut self,
        spec: &DatasetSpec,
        row: &StagedRow,
        time: i64,
        counts: &mut Counts,
    ) {
        let mut values = spec.columns.iter().zip(&row.columns);
        let fits = values.all(|(column, value)| {
            value.as_ref().is_none_or(|text| {
                let casts = text != value::UNCASTABLE || column.merge_type == "text";
                casts && !value::is_placeholder(column, text)
            })
        });
        if row.op != Op::Truncate && !fits {
            counts.add("quarantined");
            self.quarantine.set_aside(row, None);
            return;
        }
        counts.add(if row.op == Op::Truncate {
            "truncate"
        } else {
            "inserted"
        });
        let mut image = row.columns.clone();
        image.push(Some(row.op.to_string()));
        self.appended
            .push(Version::live(&Vec::new(), image, time, None));
    }
}
