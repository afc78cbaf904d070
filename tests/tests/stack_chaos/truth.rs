//! What must be true at a quiet point beside live rows and histories: counts, whole transactions, no quarantine.

use std::collections::BTreeMap;
use std::fmt;

use acceptance::stack::Pipeline;
use anyhow::{Result, ensure};
use milepost_job_spec::{StreamSpec, milestone, staging};

use crate::chaos::verify;

/// How much was compared.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Compared {
    live: usize,
    versions: u64,
    staged: u64,
    replayed: u64,
    transactions: u64,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            live,
            versions,
            staged,
            replayed,
            transactions,
        } = self;
        write!(
            f,
            "{live} live rows, {versions} versions, {staged} staged rows of which {replayed} replays, {transactions} transactions whole"
        )
    }
}

/// Demands it.
pub(crate) fn check(
    pipeline: &mut Pipeline<'_>,
    live: &BTreeMap<String, usize>,
) -> Result<Compared> {
    let specs: Vec<StreamSpec> = pipeline.streams().into_iter().cloned().collect();
    let mut compared = Compared {
        live: live.values().sum(),
        ..Compared::default()
    };
    let database = &mut pipeline.platform;
    let mut number = |sql: &str| -> u64 { database.value(sql).parse().unwrap_or(u64::MAX) };
    let strange = "select (select count(*) from milepost.quarantine) + (select count(*) from milepost.batches where status = 'failed')";
    ensure!(
        number(strange) == 0,
        "rows are in quarantine or batches failed"
    );
    for spec in &specs {
        let store = &spec.stream.store;
        for dataset in &spec.datasets {
            let name = &dataset.name;
            // The batches' classes add up to their staged rows by a constraint; here the staged rows are counted.
            let counted = number(&format!(
                "select coalesce(sum(d.rows_staged), 0) from milepost.batch_datasets d join milepost.batches b on b.id = d.batch_id
                  where b.store = '{store}' and d.dataset = '{name}'"
            ));
            let staged = number(&format!(
                "select count(*) from {}",
                dataset.staging.quoted()
            ));
            ensure!(
                counted == staged,
                "batches of {store}#{name} counted {counted} rows, {staged} are staged"
            );
            let offsets = number(&format!(
                "select coalesce(max({}) + 1, 0) from {}",
                staging::OFFSET,
                dataset.staging.quoted()
            ));
            ensure!(
                offsets == staged,
                "{store}#{name} has {staged} rows staged up to offset {offsets}"
            );
            compared.staged += staged;
            if dataset.strategy.is_milestoned() {
                compared.versions +=
                    number(&format!("select count(*) from {}", dataset.merge.quoted()));
            }
        }
        if spec.transactions.is_some() {
            compared.transactions += whole(&mut number, spec)?;
        }
    }
    compared.replayed = number("select coalesce(sum(rows_replayed), 0) from milepost.batches");
    verify(pipeline)?;
    Ok(compared)
}

/// Demands that no source transaction was merged in parts: all versions that it made are of one batch. Returns how many
/// transactions have versions.
///
/// A version is of the first batch whose time is not before it begins.
fn whole(number: &mut impl FnMut(&str) -> u64, spec: &StreamSpec) -> Result<u64> {
    let store = &spec.stream.store;
    let versions: Vec<String> = spec
        .datasets
        .iter()
        .filter(|dataset| dataset.strategy.is_milestoned())
        .map(|dataset| {
            format!(
                "select tx, {} as since from {} where {} is not null",
                milestone::IN,
                dataset.merge.quoted(),
                milestone::SOURCE_TS
            )
        })
        .collect();
    let by_transaction = format!(
        "select tx, count(distinct (select min(b.batch_number) from milepost.batches b
                                     where b.store = '{store}' and b.status = 'succeeded' and b.batch_time >= v.since)) as n
           from (select distinct tx, since from ({}) all_versions) v where tx is not null group by tx",
        versions.join(" union all ")
    );
    let split = number(&format!(
        "select count(*) from ({by_transaction}) t where n > 1"
    ));
    ensure!(
        split == 0,
        "{split} transactions of {store} were merged in parts"
    );
    let staged = number(&format!(
        "select count(*) from milepost.batches b where b.store = '{store}' and b.alignment = 'staged'
            and b.batch_number > (select min(batch_number) from milepost.batches
                                   where store = '{store}' and alignment = 'exact')"
    ));
    ensure!(
        staged == 0,
        "{staged} batches of {store} were merged without an END that vouches for them"
    );
    Ok(number(&format!(
        "select count(*) from ({by_transaction}) t"
    )))
}
