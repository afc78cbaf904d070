//! Quiet points: the source stands still, everything is merged, and all tables are compared.

use std::collections::BTreeMap;

use acceptance::stack::{Pipeline, Snapshot};
use anyhow::{Context as _, Result};

use crate::board::Board;

/// What the source held at a quiet point, and the time of the last batch then.
#[derive(Debug)]
pub(crate) struct QuietPoint {
    pub(crate) time: String,
    source: Snapshot,
}

/// Waits until everything has arrived, merges it, compares live rows, and keeps what they were.
pub(crate) fn quiet_point(pipeline: &mut Pipeline<'_>, board: &mut Board) -> Result<QuietPoint> {
    pipeline.quiet()?;
    pipeline.merge()?;
    let source = pipeline.source_snapshot();
    let compared = pipeline
        .compare()
        .context("live rows are not those of the source")?;
    board.say(&format!(
        "live rows equal the source's: {}",
        told(&compared)
    ));
    let time = pipeline
        .platform
        .value("select max(batch_time)::text from milepost.batches");
    Ok(QuietPoint { time, source })
}

/// Compares the history as of each quiet point with what the source held then.
pub(crate) fn look_back(
    pipeline: &mut Pipeline<'_>,
    points: &[QuietPoint],
    board: &mut Board,
) -> Result<()> {
    for QuietPoint { time, source } in points {
        let compared = pipeline.compare_as_of(source, time).with_context(|| {
            format!("the history as of {time} is not what the source held then")
        })?;
        board.say(&format!(
            "as of {time} equals the source then: {}",
            told(&compared)
        ));
    }
    Ok(())
}

fn told(compared: &BTreeMap<String, usize>) -> String {
    let counts: Vec<String> = compared
        .iter()
        .map(|(dataset, count)| format!("{dataset} {count}"))
        .collect();
    counts.join(", ")
}
