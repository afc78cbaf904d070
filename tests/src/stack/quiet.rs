//! When has everything that was committed at the source arrived in staging?

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use milepost_job_spec::{DatasetSpec, PgIdent, TableRef, staging};

use super::Pipeline;

/// How long nothing may move on the way while something is missing.
const PATIENCE: Duration = Duration::from_secs(120);

/// When something was last seen to move.
struct Progress {
    missing: String,
    since: Instant,
}

impl Pipeline<'_> {
    /// Waits until every change that was committed at the source before this call is in staging.
    ///
    /// A row of a captured table is written once more with the values that it has, past triggers: an event of its own, which
    /// merges to nothing. Connect stores a source's position only when Kafka has acknowledged everything up to it, and
    /// tells it to the slot; once the slot has passed the place in the log at which this call began, all earlier events
    /// are in their topics. Then each topic's last record must be staged.
    ///
    /// # Errors
    /// If nothing moves for two minutes: with what is missing, and how the connectors are.
    pub fn quiet(&mut self) -> Result<()> {
        let mut progress = Progress {
            missing: String::new(),
            since: Instant::now(),
        };
        let place = self.source.value("select pg_current_wal_insert_lsn()");
        for touch in self.touches() {
            self.source.run(&touch);
        }
        for slot in self.slots() {
            let sql = format!(
                "select coalesce(max(confirmed_flush_lsn) >= '{place}', false), max(confirmed_flush_lsn)
                   from pg_replication_slots where slot_name = '{slot}'"
            );
            loop {
                let row = self.source.rows(&sql).concat();
                if row
                    .first()
                    .is_some_and(|is_past| is_past.as_deref() == Some("t"))
                {
                    break;
                }
                let at = row.last().cloned().flatten().unwrap_or_default();
                self.wait(&mut progress, format!("slot {slot} is at {at} of {place}"))?;
            }
        }
        let mut ends = Vec::new();
        for connector in self.connectors() {
            for (topic, table) in &connector.arrivals {
                if let Some(end) = self.stack().kafka.end_offset(topic, 0)? {
                    ends.push((table.clone(), topic.clone(), end));
                }
            }
        }
        for (table, topic, end) in ends {
            loop {
                let staged = self.staged(&table);
                if staged >= end {
                    break;
                }
                let missing = format!("topic {topic} is staged to {staged} of {end}");
                self.wait(&mut progress, missing)?;
            }
        }
        Ok(())
    }

    /// The offset that follows the last staged one.
    fn staged(&self, table: &TableRef) -> i64 {
        let sql = format!(
            "select coalesce(max({}) + 1, 0) from {}",
            staging::OFFSET,
            table.quoted()
        );
        let answer = self.platform.again().value(&sql);
        answer.parse().expect("an offset is a number")
    }

    /// One statement per store that changes nothing and is seen.
    fn touches(&mut self) -> Vec<String> {
        let mut touches = Vec::new();
        let datasets: Vec<(String, DatasetSpec)> = self
            .streams()
            .into_iter()
            .flat_map(|spec| {
                let store = &spec.stream.store;
                spec.datasets
                    .iter()
                    .map(|each| (store.clone(), each.clone()))
            })
            .collect();
        let mut touched = Vec::new();
        for (store, dataset) in datasets {
            let table = source_table(&dataset);
            if touched.contains(&store)
                || self.source.value(&format!(
                    "select count(*) from (select from {table} limit 1) t"
                )) == "0"
            {
                continue;
            }
            // A column that is no part of the key: else the replica identity would say more.
            let column = dataset
                .value_columns()
                .next()
                .or(dataset.columns.first())
                .map_or_else(String::new, |column| column.staged_as.quoted());
            touches.push(format!(
                "begin; set local session_replication_role = replica;
                 update {table} set {column} = {column} where ctid = (select ctid from {table} limit 1 for update);
                 commit"
            ));
            touched.push(store);
        }
        touches
    }

    /// Waits a moment, if what is missing has changed of late.
    fn wait(&self, progress: &mut Progress, missing: String) -> Result<()> {
        if progress.missing != missing {
            *progress = Progress {
                missing,
                since: Instant::now(),
            };
        } else if progress.since.elapsed() > PATIENCE {
            let rest = self.stack().connect.rest();
            let states = self.connectors().into_iter().map(|connector| {
                rest.status(&connector.name)
                    .map_or_else(|error| format!("{error:#}"), |status| status.to_string())
            });
            bail!(
                "for {PATIENCE:?} {missing}\n{}\nthe end of the worker's log:\n{}",
                states.collect::<Vec<_>>().join("\n"),
                self.stack().connect.log_end()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    }

    /// Waits until a condition holds, as a query of the platform's database tells it.
    ///
    /// # Errors
    /// If it does not within the time.
    pub fn wait_for(&mut self, sql: &str, value: &str, within: Duration) -> Result<()> {
        let begin = Instant::now();
        loop {
            let found = self.platform.value(sql);
            if found == value {
                return Ok(());
            }
            if begin.elapsed() > within {
                bail!("after {within:?} {found} and not {value}: {sql}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A dataset's table at a Postgres source, quoted.
pub(crate) fn source_table(dataset: &DatasetSpec) -> String {
    let parts = dataset.source_name.splitn(2, '.');
    let quoted: Vec<String> = parts
        .map(|part| {
            part.parse::<PgIdent>()
                .map_or_else(|_| part.to_owned(), |name| name.quoted())
        })
        .collect();
    quoted.join(".")
}
