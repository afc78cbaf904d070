//! A batch that removes all rows of keys: the same lock, number and time as any other, and no staged row in any class.
//!
//! Assumptions: the stream is held from the first statement to the commit, so watermarks stay where they are; only the sink
//! writes meanwhile, and what it writes is above them, or a row that it delivers again. It may be killed before any step:
//! nothing of it stays, and running it again finds the same rows.

use milepost_job_spec::StreamKey;
use tokio_postgres::types::Type;

use crate::batch::bare::{self, Bare};
use crate::batch::{Batch, Open, open};
use crate::control::stream::{self, Stream};
use crate::erase::found::Found;
use crate::erase::key::Keys;
use crate::erase::statement::Place;
use crate::erase::unmerged;
use crate::error::Error;
use crate::quarantine::entry;
use crate::session::{Bound, Session};

/// The steps of an erasure, in order, as those of a batch: [`crate::batch::STEPS`].
pub const STEPS: [&str; 10] = [
    "lock", "keys", "find", "merged", "staged", "entries", "forget", "audit", "settle", "vacuum",
];

/// Aborts the process before `step` where a test asks for it.
pub(crate) fn fault(step: &'static str) {
    debug_assert!(STEPS.contains(&step), "`{step}` is a step");
    super::abort_at(step);
}

/// Keys of a dataset of a stream that are erased.
pub(crate) struct Request<'a> {
    pub(crate) stream: &'a Stream,
    pub(crate) place: Place<'a>,
    pub(crate) keys: &'a Keys,
    pub(crate) reason: Option<&'a str>,
}

/// An erasure that is committed.
pub(crate) struct Done {
    /// Its row in `milepost.erasures`.
    pub(crate) id: i64,
    /// What was removed.
    pub(crate) found: Found,
    /// The batch, where anything was.
    pub(crate) batch: Option<i64>,
}

/// Sets of rows are joined as their sizes suggest: one key is looked up, ten thousand are not.
const PLANNER: &str = "set local enable_hashjoin = on; set local enable_mergejoin = on";

impl Request<'_> {
    /// Finds what there is, in one snapshot, and changes nothing. It takes no lock: merges go on.
    pub(crate) async fn plan(&self, session: &Session) -> Result<Found, Error> {
        let begin = format!("begin isolation level repeatable read; {}", open::SETTINGS);
        session.script("begin to read", &begin).await?;
        let found = self.find(session).await;
        session.script("end reading", "rollback").await?;
        found
    }

    /// Erases, in one transaction. The caller rolls it back on an error.
    pub(crate) async fn run(&self, session: &Session) -> Result<Done, Error> {
        fault("lock");
        let batch = open::open(session, self.stream).await?;
        fault("keys");
        let found = self.find(session).await?;
        if found.unmerged > 0 {
            return Err(Error::Staged {
                what: format!("{}, so nothing was erased", unmerged(&found)),
                remedy: format!("run `{}`, then this again", merge(&self.stream.spec.stream)),
            });
        }
        let number = (!found.is_nothing()).then_some(batch.state.number);
        if number.is_some() {
            self.remove(session).await?;
            self.record(&batch, &found).await?;
        }
        fault("audit");
        let id = self.audit(session, &found, number).await?;
        let script = self.place.drop_casts();
        session
            .script("drop the functions of the keys", &script)
            .await?;
        fault("settle");
        session
            .script("commit the erasure", "commit")
            .await
            .map_err(|error| match error {
                Error::Sql { source, .. } if source.as_db_error().is_none() => {
                    Error::LostErasure { id, source }
                }
                other => other,
            })?;
        Ok(Done {
            id,
            found,
            batch: number,
        })
    }

    /// Makes the tables that say what there is.
    async fn find(&self, session: &Session) -> Result<Found, Error> {
        let place = &self.place;
        let casts = format!("{PLANNER};\n{}", place.create_casts());
        session
            .script("make the functions of the keys", &casts)
            .await?;
        let columns = self.keys.columns();
        let values: Vec<Bound<'_>> = columns
            .iter()
            .map(|column| -> Bound<'_> { (column, Type::TEXT_ARRAY) })
            .collect();
        let rows = session
            .query("read the keys", &place.uncast(), &values)
            .await?;
        for column in 0..columns.len() {
            let number = rows
                .first()
                .and_then(|row| row.get::<_, Option<i64>>(column));
            if let Some(number) = number {
                return Err(Error::Usage(format!(
                    "key {number}: the value of column `{}` is no value of its type, {}",
                    place.dataset.key[column],
                    self.type_of(column)
                )));
            }
        }
        session
            .execute("take the keys", &place.create_keys(), &values)
            .await?;
        // Not analyzed: statistics of the keys would stand in a catalog, and in the write-ahead log.
        fault("find");
        let stream = &self.stream.spec.stream;
        let scope: [Bound<'_>; 3] = [
            (&stream.platform, Type::TEXT),
            (&stream.store, Type::TEXT),
            (&place.dataset.name, Type::TEXT),
        ];
        let finds = [
            ("look into the quarantine", place.find_entries()),
            ("look into staging", place.find_staged()),
            ("look into the positions", place.find_positions()),
        ];
        for (label, sql) in finds {
            session.execute(label, &sql, &scope).await?;
        }
        let rows = session
            .query("count what there is of the keys", &place.count(), &[])
            .await?;
        rows.first()
            .map(Found::of)
            .ok_or_else(|| Error::Disturbed("counting returned no row".to_owned()))
    }

    fn type_of(&self, column: usize) -> &str {
        let mut columns = self.place.dataset.key_columns();
        columns.nth(column).map_or("", |own| &own.merge_type)
    }

    async fn remove(&self, session: &Session) -> Result<(), Error> {
        let place = &self.place;
        fault("merged");
        session
            .script("remove the merged rows", &place.remove_merged())
            .await?;
        fault("staged");
        session
            .script("remove the staged rows", &place.remove_staged())
            .await?;
        fault("entries");
        session
            .script("remove entries of the quarantine", &place.remove_entries())
            .await?;
        fault("forget");
        let stream = &self.stream.spec.stream;
        session
            .execute(
                "forget the rows of the keys",
                &place.forget(),
                &[
                    (&stream.platform, Type::TEXT),
                    (&stream.store, Type::TEXT),
                    (&place.dataset.name, Type::TEXT),
                ],
            )
            .await
            .map(drop)
    }

    async fn record(&self, batch: &Batch<'_, Open>, found: &Found) -> Result<(), Error> {
        let open = &batch.state;
        let bare = Bare {
            stream: self.stream,
            number: open.number,
            time_us: bare::time(open.started_us, open.previous_time_us),
            started_us: open.started_us,
            dataset: &self.place.dataset.name,
            closed: found.live,
        };
        bare.record(batch.session).await?;
        let text = format!(
            "{} of dataset `{}` erased",
            found.keys(),
            self.place.dataset.name
        );
        entry::tell(batch.session, &self.stream.spec.stream, &text).await
    }

    /// Writes the row that says what was erased, and nothing of what it was.
    async fn audit(
        &self,
        session: &Session,
        found: &Found,
        number: Option<i64>,
    ) -> Result<i64, Error> {
        let stream = &self.stream.spec.stream;
        let rows = session
            .query(
                "write the audit row",
                "insert into milepost.erasures (platform, store, dataset, reason, keys, rows_live, rows_history, rows_staged,\n    \
                   rows_redacted, quarantine_open, quarantine_closed, positions, batch_number, model_version)\n\
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) returning id",
                &[
                    (&stream.platform, Type::TEXT),
                    (&stream.store, Type::TEXT),
                    (&self.place.dataset.name, Type::TEXT),
                    (&self.reason, Type::TEXT),
                    (&found.keys, Type::INT8),
                    (&found.live, Type::INT8),
                    (&found.history, Type::INT8),
                    (&found.staged, Type::INT8),
                    (&found.redacted, Type::INT8),
                    (&found.open, Type::INT8),
                    (&found.closed, Type::INT8),
                    (&found.positions, Type::INT8),
                    (&number, Type::INT8),
                    (&self.stream.model_version, Type::TEXT),
                ],
            )
            .await?;
        rows.first()
            .map(|row| row.get(0))
            .ok_or_else(|| Error::Disturbed("the audit row was not written".to_owned()))
    }

    /// What became of an erasure whose connection broke at the commit: its audit row tells, whose number no other one gets. The
    /// server may be at it still, and then it holds the stream.
    pub(crate) async fn after_lost_commit(
        &self,
        session: &Session,
        error: Error,
    ) -> Result<Done, Error> {
        let Error::LostErasure { id, .. } = error else {
            return Err(error);
        };
        stream::wait(session, self.stream).await?;
        let rows = session
            .query(
                "see whether the erasure was committed",
                "select keys, rows_live as live, rows_history as history, rows_staged as staged, rows_redacted as redacted,\n       \
                        0::bigint as unmerged, quarantine_open as open, quarantine_closed as closed, positions, batch_number\n  \
                   from milepost.erasures where id = $1",
                &[(&id, Type::INT8)],
            )
            .await?;
        session.script("end reading", "rollback").await?;
        match rows.first() {
            Some(row) => Ok(Done {
                id,
                found: Found::of(row),
                batch: row.get("batch_number"),
            }),
            None => Err(error),
        }
    }
}

/// The command that merges what is staged of a stream.
fn merge(stream: &StreamKey) -> String {
    let dataset = stream
        .dataset
        .as_ref()
        .map_or_else(String::new, |dataset| format!(" --dataset {dataset}"));
    format!(
        "merge-job merge --platform {} --store {}{dataset}",
        stream.platform, stream.store
    )
}
