//! Rows into staging, as a sink would put them there.

use milepost_job_spec::StreamSpec;
use milepost_simulator::{Round, StagedRow, copy};

use crate::Database;

/// Stages rows of any datasets of the spec, in their order.
pub fn rows(database: &mut Database, spec: &StreamSpec, rows: &[&StagedRow]) {
    for (place, dataset) in spec.datasets.iter().enumerate() {
        let own = rows.iter().copied().filter(|row| row.dataset == place);
        let text = copy::csv(own);
        if !text.is_empty() {
            database.copy_in(&copy::copy_statement(dataset), &text);
        }
    }
}

/// Stages a round of a history: rows, and END events where the spec has a table for them.
pub fn round(database: &mut Database, spec: &StreamSpec, round: &Round) {
    rows(database, spec, &round.rows.iter().collect::<Vec<_>>());
    if let Some(table) = &spec.transactions {
        database.run(&copy::insert_ends(table, &round.ends));
    }
}
