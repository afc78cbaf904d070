//! Closed versions go when no group of the platform keeps them any more.
//!
//! The horizon is stored and committed before the first of them is removed: from then on as-of functions refuse a moment
//! before it. A statement that began earlier sees neither the horizon nor what was removed.

use milepost_job_spec::{DatasetSpec, TableRef};
use tokio_postgres::types::Type;

use super::closed::{self, Closed, HORIZON, LEFT_OVER};
use super::{HISTORY_STEPS, Mode, Scope, Trimmed, end, streams, vacuum};
use crate::batch::abort_at;
use crate::control::stream::Stream;
use crate::error::Error;
use crate::session::{Bound, Session};
use crate::tables;

/// So many pages are read in one transaction, 8 MB, so that none is long.
const PAGES: i64 = 1024;
/// Who keeps versions for longer than this keeps them for ever.
const CENTURY: u64 = 100 * 366 * 24 * 60 * 60;
const BEGIN: &str = "begin; set local search_path = pg_catalog, pg_temp; set local lock_timeout = '5s'; set local jit = off; \
    set local idle_in_transaction_session_timeout = '60s'";

/// Removes versions that ended longer ago than any group of the platform keeps them; or counts them.
///
/// Merges go on meanwhile: nothing that a batch locks is taken.
///
/// # Errors
/// [`Error::UnknownStream`] if the scope has no published stream; [`Error::Migrate`] without control tables. A stream whose
/// views or tables are not what the plan says is no error here: see [`Trimmed::failures`].
pub async fn trim_history(session: &Session, scope: &Scope, mode: Mode) -> Result<Trimmed, Error> {
    let mut trimmed = Trimmed::new("history", mode);
    for stream in streams(session, scope, &mut trimmed).await? {
        for dataset in &stream.spec.datasets {
            let Some(history) = History::of(&stream, dataset) else {
                continue;
            };
            if let Err(error) = history.trim(session, &mut trimmed).await {
                if error.is_disconnect() {
                    return Err(error);
                }
                let place = format!("dataset {}#{}", stream.spec.stream.store, dataset.name);
                trimmed.failures.push((place, error));
            }
        }
    }
    Ok(trimmed)
}

/// A dataset whose versions are kept for a time.
struct History<'a> {
    stream: &'a Stream,
    dataset: &'a DatasetSpec,
    closed: &'a TableRef,
    seconds: i64,
}

impl<'a> History<'a> {
    fn of(stream: &'a Stream, dataset: &'a DatasetSpec) -> Option<Self> {
        let seconds = dataset.policy.history_seconds?;
        if seconds > CENTURY || !dataset.strategy.is_milestoned() {
            return None;
        }
        Some(Self {
            stream,
            dataset,
            closed: dataset.closed.as_ref()?,
            seconds: i64::try_from(seconds).ok()?,
        })
    }

    async fn trim(&self, session: &Session, trimmed: &mut Trimmed) -> Result<(), Error> {
        let Some(horizon) = self.horizon(session).await? else {
            return Ok(());
        };
        let any = Closed(self.closed).has_any();
        let table = self.closed.quoted();
        let values: [Bound<'_>; 2] = [(&horizon, Type::INT8), (&table, Type::TEXT)];
        let rows = session
            .query("look for versions that may go", &any, &values)
            .await?;
        let Some(row) = rows.first().filter(|row| row.get("any")) else {
            return Ok(());
        };
        let pages: i64 = row.get("pages");
        if trimmed.mode == Mode::DryRun {
            let count = Closed(self.closed).count();
            let rows = session
                .query("count versions that may go", &count, &values[..1])
                .await?;
            let count = rows.first().map_or(0, |row| row.get::<_, i64>(0));
            let count = u64::try_from(count).unwrap_or(0);
            trimmed.push(self.closed, count, String::new());
            return Ok(());
        }
        self.functions_ask(session).await?;
        abort_at(HISTORY_STEPS[0]);
        let since = self.store(session, horizon).await?;
        let mut removed = 0;
        let mut from = 0;
        while from < pages {
            let done = self.remove(session, horizon, from..from + PAGES).await?;
            removed += done;
            from += PAGES;
        }
        if removed > 0 {
            abort_at(HISTORY_STEPS[4]);
            vacuum(session, self.closed, removed).await?;
        }
        trimmed.push(
            self.closed,
            removed,
            format!(", history is kept from {since} on"),
        );
        Ok(())
    }

    /// Up to when versions may go that ended: where the horizon may be now, or where it is, if that is later. A run before
    /// may have been killed between, and a plan that keeps more brings nothing back.
    async fn horizon(&self, session: &Session) -> Result<Option<i64>, Error> {
        let mut values = self.key().to_vec();
        values.push((&self.seconds, Type::INT8));
        let rows = session
            .query("read the horizon of a dataset", HORIZON, &values)
            .await?;
        Ok(rows.first().and_then(|row| {
            let (may, is): (Option<i64>, Option<i64>) = (row.get("may"), row.get("is"));
            may.max(is)
        }))
    }

    /// Makes sure that whoever asks as of a moment is told of the horizon.
    async fn functions_ask(&self, session: &Session) -> Result<(), Error> {
        let (id, spec) = (self.stream.id, &self.stream.spec);
        if !tables::differences(spec, &self.stream.catalog).is_empty() {
            tables::reconcile(session, id, spec).await?;
        }
        let views = &self.dataset.views;
        let own = views.iter().filter_map(|view| {
            let name = view.as_of.as_ref()?;
            Some((view.schema.as_str(), name.as_str()))
        });
        let (schemas, names): (Vec<&str>, Vec<&str>) = own.unzip();
        let merge = self.dataset.merge.quoted();
        let rows = session
            .query(
                "look for functions that nobody wants",
                LEFT_OVER,
                &[
                    (&merge, Type::TEXT),
                    (&schemas, Type::TEXT_ARRAY),
                    (&names, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        match rows.first() {
            None => Ok(()),
            Some(row) => Err(Error::Shape {
                table: format!("function `{}`", row.get::<_, &str>("name")),
                difference:
                    "no published stream has it any more, and it does not know of the horizon"
                        .to_owned(),
                remedy: "run `merge-job reconcile-views`, which drops it, then trim again"
                    .to_owned(),
            }),
        }
    }

    /// Stores the horizon, in a step of its own; returns it as text.
    async fn store(&self, session: &Session, horizon: i64) -> Result<String, Error> {
        let mut values = self.key().to_vec();
        values.push((&horizon, Type::INT8));
        let rows = session
            .query("store the horizon", &closed::store(), &values)
            .await?;
        Ok(rows.first().map_or_else(String::new, |row| row.get(0)))
    }

    async fn remove(
        &self,
        session: &Session,
        horizon: i64,
        pages: std::ops::Range<i64>,
    ) -> Result<u64, Error> {
        session.script("begin to trim history", BEGIN).await?;
        abort_at(HISTORY_STEPS[1]);
        let sql = Closed(self.closed).remove(pages);
        let removed = session
            .execute("remove closed versions", &sql, &[(&horizon, Type::INT8)])
            .await;
        abort_at(HISTORY_STEPS[2]);
        let removed = end(session, removed).await?;
        abort_at(HISTORY_STEPS[3]);
        Ok(removed)
    }

    fn key(&self) -> [Bound<'_>; 3] {
        let stream = &self.stream.spec.stream;
        [
            (&stream.platform, Type::TEXT),
            (&stream.store, Type::TEXT),
            (&self.dataset.name, Type::TEXT),
        ]
    }
}
