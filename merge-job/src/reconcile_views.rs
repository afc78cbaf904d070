//! `merge-job reconcile-views`: the views of all workspaces become what the published plans say.
//!
//! Views of wanted streams are made or made again, as a publish does it; views and functions of ours that no wanted stream
//! has any more are dropped. Nothing is dropped with what reads it, and nothing that somebody else made. A view stores no
//! rows: what is dropped here comes back with the model that wants it.

use std::fmt;

use milepost_job_spec::{StreamKey, StreamSpec, TableRef};
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::migrate;
use crate::session::Session;
use crate::sql::literal;
use crate::tables::mark::PREFIX;
use crate::tables::{self, Catalog, Change, Object, Patience, catalog};

/// Streams whose catalogs are read per round trip.
const CHUNK: i64 = 200;

/// Write, or only tell what would be written?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Make and drop.
    Write,
    /// Change nothing.
    DryRun,
}

/// What was reconciled, or would be.
#[derive(Debug)]
pub struct Reconciled {
    /// Views, schemas and roles that were made or changed.
    pub changes: Vec<Change>,
    /// Views and functions that were dropped.
    pub dropped: Vec<String>,
    /// What could not be done, each with its place.
    pub failures: Vec<(String, Error)>,
    mode: Mode,
}

/// A view or function of ours that no wanted stream has.
struct Unwanted {
    table: TableRef,
    is_view: bool,
}

impl Unwanted {
    /// How statements and people name it.
    fn sql(&self) -> String {
        let name = self.table.quoted();
        if self.is_view {
            format!("view {name}")
        } else {
            format!("function {name}(timestamptz)")
        }
    }
}

/// Reconciles the views of every published platform of the database.
///
/// # Errors
/// [`Error::Migrate`] without control tables; [`Error::Sql`] if what is there cannot be read. A view that cannot be made or
/// dropped is no error here: see [`Reconciled::failures`].
pub async fn reconcile_views(session: &Session, mode: Mode) -> Result<Reconciled, Error> {
    migrate::require(session).await?;
    let mut reconciled = Reconciled {
        changes: Vec::new(),
        dropped: Vec::new(),
        failures: Vec::new(),
        mode,
    };
    let mut after = 0;
    while let Some(last) = make_missing(session, after, &mut reconciled).await? {
        after = last;
    }
    for unwanted in unwanted(session).await? {
        match drop_one(session, &unwanted, mode).await {
            Ok(true) => reconciled.dropped.push(unwanted.sql()),
            Ok(false) => {}
            Err(error) if error.is_disconnect() => return Err(error),
            Err(error) => reconciled
                .failures
                .push((format!("drop {}", unwanted.sql()), error)),
        }
    }
    Ok(reconciled)
}

/// Makes what the views of some wanted streams lack; returns the number of the last stream that was looked at.
async fn make_missing(
    session: &Session,
    after: i64,
    reconciled: &mut Reconciled,
) -> Result<Option<i64>, Error> {
    let sql = format!(
        "select w.id, w.platform, w.store, w.dataset, w.text, {}::text as catalog\n  \
           from (select id, platform, store, dataset, spec as text, spec::jsonb as spec from milepost.streams\n         \
                  where wanted and id > $1 order by id limit $2) w\n order by w.id",
        catalog::of_spec("w.spec")
    );
    let rows = session
        .query(
            "read the catalog",
            &sql,
            &[(&after, Type::INT8), (&CHUNK, Type::INT8)],
        )
        .await?;
    for row in &rows {
        let key = StreamKey {
            platform: row.get("platform"),
            store: row.get("store"),
            dataset: row.get("dataset"),
        };
        let spec = match StreamSpec::from_json(row.get("text")) {
            Ok(spec) => spec,
            Err(source) => {
                let place = format!("milepost.streams of {key}");
                let error = Error::Spec {
                    place: place.clone(),
                    source,
                };
                reconciled.failures.push((place, error));
                continue;
            }
        };
        let changes = tables::differences(&spec, &Catalog::from_json(row.get("catalog"))?);
        // Views read tables: where a table is not what the spec says, a publish or the next run makes both.
        if changes
            .iter()
            .any(|change| matches!(change.object(), Object::Table(_)))
        {
            continue;
        }
        let errors = match reconciled.mode {
            Mode::Write => {
                tables::make(session, row.get("id"), &spec, &changes, Patience::default()).await
            }
            Mode::DryRun => changes
                .iter()
                .flat_map(|change| change.refusals())
                .map(Error::from)
                .collect(),
        };
        for error in errors {
            if error.is_disconnect() {
                return Err(error);
            }
            reconciled.failures.push((format!("stream {key}"), error));
        }
        let made = changes
            .into_iter()
            .filter(|change| matches!(change, Change::Make(_)));
        reconciled.changes.extend(made);
    }
    Ok(rows.last().map(|row| row.get("id")))
}

/// The names that wanted streams give to their views and functions.
const WANTED: &str = "select v ->> 'schema' as schema, v ->> part as name\n  \
       from milepost.streams s, jsonb_array_elements(s.spec::jsonb -> 'datasets') d,\n       \
            jsonb_array_elements(coalesce(d -> 'views', '[]')) v, unnest(array['live', 'history', 'as_of']) part\n \
      where s.wanted and v ? part";

/// Views and functions of ours that no wanted stream has: functions first, for they read views, and last among them those
/// that tell the horizon, which the others ask.
async fn unwanted(session: &Session) -> Result<Vec<Unwanted>, Error> {
    let sql = format!(
        "with wanted as materialized ({WANTED}), ours as (\n  \
           select n.nspname as schema, c.relname as name, true as is_view\n    \
             from pg_class c join pg_namespace n on n.oid = c.relnamespace\n   \
            where c.relkind = 'v' and pg_has_role(c.relowner, 'usage') and starts_with(obj_description(c.oid, 'pg_class'), {mark})\n  \
           union all\n  \
           select n.nspname, p.proname, false\n    \
             from pg_proc p join pg_namespace n on n.oid = p.pronamespace\n   \
            where pg_has_role(p.proowner, 'usage') and pg_get_function_identity_arguments(p.oid) = 'timestamp with time zone'\n     \
              and starts_with(obj_description(p.oid, 'pg_proc'), {mark})\n\
         )\n\
         select schema::text, name::text, is_view from ours o\n \
          where (schema, name) not in (select w.schema, w.name from wanted w)\n \
          order by is_view, not is_view and exists (select from ours v where v.is_view and (v.schema, v.name) = (o.schema, o.name)),\n          \
                schema, name",
        mark = literal(PREFIX)
    );
    let rows = session
        .query("find views that nobody wants", &sql, &[])
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            // What has no legal name of ours is not ours.
            let table = TableRef {
                schema: row.get::<_, &str>("schema").parse().ok()?,
                name: row.get::<_, &str>("name").parse().ok()?,
            };
            Some(Unwanted {
                table,
                is_view: row.get("is_view"),
            })
        })
        .collect())
}

/// Drops one of them, unless a publish has come to want it. The plans are locked meanwhile: a publish either comes before,
/// and is seen, or after, and makes the view again.
async fn drop_one(session: &Session, unwanted: &Unwanted, mode: Mode) -> Result<bool, Error> {
    if mode == Mode::DryRun {
        return Ok(true);
    }
    session
        .script(
            "lock the published plans",
            "begin; set local lock_timeout = '5s'; select from milepost.plans for share",
        )
        .await?;
    let dropped = drop_locked(session, unwanted).await;
    let (label, end) = match dropped {
        Ok(_) => ("commit the drop of a view", "commit"),
        Err(_) => ("roll back the drop of a view", "rollback"),
    };
    if !session.is_closed() {
        session.script(label, end).await?;
    }
    dropped
}

async fn drop_locked(session: &Session, unwanted: &Unwanted) -> Result<bool, Error> {
    let wanted = session
        .query(
            "see whether a publish wants the view",
            &format!("select from ({WANTED}) w where w.schema = $1 and w.name = $2 limit 1"),
            &[
                (&unwanted.table.schema.as_str(), Type::TEXT),
                (&unwanted.table.name.as_str(), Type::TEXT),
            ],
        )
        .await?;
    if !wanted.is_empty() {
        return Ok(false);
    }
    let drop = format!("drop {}", unwanted.sql());
    match session.script("drop a view that nobody wants", &drop).await {
        Ok(_) => Ok(true),
        // Dependent objects still exist.
        Err(error) if error.sqlstate() == Some("2BP01") => Err(Error::Shape {
            table: unwanted.sql(),
            difference:
                "no published stream has it any more, and somebody's own view or function reads it"
                    .to_owned(),
            remedy: format!("drop what reads it (`{drop}` in psql names it), then reconcile again"),
        }),
        Err(error) => Err(error),
    }
}

impl fmt::Display for Reconciled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match self.mode {
            Mode::Write => "views are reconciled",
            Mode::DryRun => "views would be reconciled",
        };
        write!(
            f,
            "{done}: {} made or changed, {} dropped",
            self.changes.len(),
            self.dropped.len()
        )?;
        for change in &self.changes {
            write!(f, "\n  {change}")?;
        }
        for dropped in &self.dropped {
            write!(f, "\n  {dropped}: dropped, no published stream has it")?;
        }
        Ok(())
    }
}
