//! `merge-job publish`: plan and specs into the control tables, then the tables and views that they need.
//!
//! The rows change in one transaction, fenced so that the model never goes back. Tables and views follow in short
//! transactions of their own; one that cannot be changed stops its stream and no other. Nothing is ever dropped here.

mod publication;

use std::fmt;
use std::path::Path;

use milepost_job_spec::{ModelVersion, PlatformPlan, StreamKey};
use tokio_postgres::types::Type;

pub use publication::{Publication, PublishedStream, read};

use crate::error::Error;
use crate::migrate;
use crate::session::Session;
use crate::tables::{self, Catalog, Change, Object, Patience, catalog};
use crate::unused;

/// Rows sent, and catalogs read, per round trip.
const CHUNK: usize = 200;
/// A running batch holds the row of its stream; a publish that changes it waits for that long.
const BEGIN: &str =
    "begin; set local lock_timeout = '60s'; set local idle_in_transaction_session_timeout = '60s'";

/// Write, or only tell what would be written?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Publish.
    Write,
    /// Change nothing.
    DryRun,
}

/// What a publish did, or would do.
#[derive(Debug)]
pub struct Published {
    /// The platform.
    pub platform: String,
    /// The model's commit.
    pub commit: String,
    /// Streams of the plan.
    pub streams: usize,
    /// Streams that had no row.
    pub new: Vec<StreamKey>,
    /// Streams whose spec changed, or that came back.
    pub changed: Vec<StreamKey>,
    /// Streams that the plan has no more: their rows and tables stay, for a publish drops nothing.
    pub retired: Vec<StreamKey>,
    /// Changes of tables and views.
    pub changes: Vec<Change>,
    /// Streams whose tables are not what their specs say, each with the reason.
    pub failures: Vec<(StreamKey, Error)>,
    mode: Mode,
    /// Changes of schemas and roles so far.
    shared: Vec<Change>,
}

/// Publishes the platforms below a folder, all of them checked before the first is written.
///
/// # Errors
/// See [`read`] and [`publish_platform`].
pub async fn publish(
    session: &Session,
    directory: &Path,
    mode: Mode,
) -> Result<Vec<Published>, Error> {
    let mut all = Vec::new();
    for publication in &read(directory)? {
        all.push(publish_platform(session, publication, mode).await?);
    }
    Ok(all)
}

/// Publishes one platform.
///
/// # Errors
/// [`Error::Publish`] if a newer model is published; [`Error::Migrate`] without control tables; [`Error::Sql`] if the rows
/// cannot be written. Tables that cannot be made are no error here: see [`Published::failures`].
pub async fn publish_platform(
    session: &Session,
    publication: &Publication,
    mode: Mode,
) -> Result<Published, Error> {
    migrate::require(session).await?;
    session.script("begin the publish", BEGIN).await?;
    let mut published = match write_rows(session, publication, mode).await {
        Ok(published) => published,
        Err(error) => {
            if !session.is_closed() {
                session.script("roll back the publish", "rollback").await?;
            }
            return Err(error);
        }
    };
    let (label, end) = match mode {
        Mode::Write => ("commit the publish", "commit"),
        Mode::DryRun => ("roll back the dry run", "rollback"),
    };
    session.script(label, end).await?;
    for streams in publication.streams.chunks(CHUNK) {
        change_tables(session, streams, mode, &mut published).await?;
    }
    Ok(published)
}

async fn write_rows(
    session: &Session,
    publication: &Publication,
    mode: Mode,
) -> Result<Published, Error> {
    let Publication {
        plan,
        plan_text,
        streams,
    } = publication;
    let mut published = Published {
        platform: plan.platform.clone(),
        commit: plan.model.commit.clone(),
        streams: streams.len(),
        new: Vec::new(),
        changed: Vec::new(),
        retired: Vec::new(),
        changes: Vec::new(),
        failures: Vec::new(),
        mode,
        shared: Vec::new(),
    };
    write_plan(session, plan, plan_text).await?;
    for chunk in streams.chunks(CHUNK) {
        write_streams(session, plan, chunk, &mut published).await?;
    }
    published.retired = retire(session, plan).await?;
    tables::register_datasets(session, streams.iter().map(|stream| &stream.spec)).await?;
    unused::forget_wanted(session).await?;
    Ok(published)
}

/// Writes the plan's row, whose lock serialises publishes of a platform, and refuses an older model.
async fn write_plan(session: &Session, plan: &PlatformPlan, text: &str) -> Result<(), Error> {
    let version = i32::try_from(plan.version).unwrap_or(i32::MAX);
    let order = i64::try_from(plan.model.order).unwrap_or(i64::MAX);
    let rows = session
        .query(
            "lock the published plan",
            "insert into milepost.plans as p (platform, plan_version, model_version, model_order, plan)\n\
             values ($1, $2, $3, $4, $5)\n\
             on conflict (platform) do update set platform = excluded.platform\n\
             returning p.model_version, p.model_order, p.plan",
            &[
                (&plan.platform, Type::TEXT),
                (&version, Type::INT4),
                (&plan.model.commit, Type::TEXT),
                (&order, Type::INT8),
                (&text, Type::TEXT),
            ],
        )
        .await?;
    for row in &rows {
        let before = ModelVersion {
            commit: row.get("model_version"),
            order: u64::try_from(row.get::<_, i64>("model_order")).unwrap_or(0),
        };
        check_fence(&plan.platform, &before, &plan.model)?;
        if row.get::<_, &str>("plan") == text {
            return Ok(());
        }
    }
    session
        .execute(
            "write the plan",
            "update milepost.plans set plan_version = $2, model_version = $3, model_order = $4, plan = $5,\n       \
                    published_at = clock_timestamp()\n \
              where platform = $1",
            &[
                (&plan.platform, Type::TEXT),
                (&version, Type::INT4),
                (&plan.model.commit, Type::TEXT),
                (&order, Type::INT8),
                (&text, Type::TEXT),
            ],
        )
        .await?;
    Ok(())
}

/// A publish never goes back in the model's history.
fn check_fence(platform: &str, before: &ModelVersion, now: &ModelVersion) -> Result<(), Error> {
    let is_local =
        |model: &ModelVersion| model.commit == "worktree" || model.commit.ends_with("-dirty");
    if now.order < before.order {
        return Err(Error::Publish(format!(
            "platform `{platform}` runs model {} (number {} of its history), which is newer than {} (number {})",
            before.commit, before.order, now.commit, now.order
        )));
    }
    if now.order == before.order
        && now.commit != before.commit
        && !is_local(now)
        && !is_local(before)
    {
        return Err(Error::Publish(format!(
            "platform `{platform}` runs model {}; {} stands beside it in history, not after it (both have number {})",
            before.commit, now.commit, now.order
        )));
    }
    Ok(())
}

/// Writes the streams that changed. The others are left out beforehand: a conflict locks its row even where it changes
/// nothing, and a running batch holds the rows of its stream.
async fn write_streams(
    session: &Session,
    plan: &PlatformPlan,
    streams: &[PublishedStream],
    published: &mut Published,
) -> Result<(), Error> {
    let keys = || streams.iter().map(|stream| &stream.spec.stream);
    let stores: Vec<&str> = keys().map(|key| key.store.as_str()).collect();
    let datasets: Vec<Option<&str>> = keys().map(|key| key.dataset.as_deref()).collect();
    let texts: Vec<&str> = streams.iter().map(|stream| stream.text.as_str()).collect();
    let versions: Vec<i32> = streams
        .iter()
        .map(|stream| i32::try_from(stream.spec.version).unwrap_or(i32::MAX))
        .collect();
    let digests: Vec<&str> = streams
        .iter()
        .map(|stream| stream.digest.as_str())
        .collect();
    let rows = session
        .query(
            "write the streams",
            "insert into milepost.streams as s\n       \
                    (platform, store, dataset, spec, spec_version, spec_digest, model_version)\n\
             select $1, n.store, n.dataset, n.spec, n.version, n.digest, $2\n  \
               from unnest($3, $4, $5, $6, $7) n(store, dataset, spec, version, digest)\n \
              where not exists (select from milepost.streams o where o.platform = $1 and o.store = n.store\n    \
                                   and o.dataset is not distinct from n.dataset and o.spec_digest = n.digest and o.wanted)\n \
              order by n.store, n.dataset\n\
             on conflict (platform, store, dataset) do update\n   \
                set spec = excluded.spec, spec_version = excluded.spec_version, spec_digest = excluded.spec_digest,\n       \
                    model_version = excluded.model_version, wanted = true\n\
             returning s.store, s.dataset, s.xmax = 0 as is_new",
            &[
                (&plan.platform, Type::TEXT),
                (&plan.model.commit, Type::TEXT),
                (&stores, Type::TEXT_ARRAY),
                (&datasets, Type::TEXT_ARRAY),
                (&texts, Type::TEXT_ARRAY),
                (&versions, Type::INT4_ARRAY),
                (&digests, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    for row in &rows {
        let key = StreamKey {
            platform: plan.platform.clone(),
            store: row.get("store"),
            dataset: row.get("dataset"),
        };
        if row.get("is_new") {
            published.new.push(key);
        } else {
            published.changed.push(key);
        }
    }
    Ok(())
}

/// Marks the streams that the plan has no more. Their rows and tables stay.
async fn retire(session: &Session, plan: &PlatformPlan) -> Result<Vec<StreamKey>, Error> {
    let keys = || plan.streams.iter().map(|entry| &entry.stream);
    let stores: Vec<&str> = keys().map(|key| key.store.as_str()).collect();
    let datasets: Vec<Option<&str>> = keys().map(|key| key.dataset.as_deref()).collect();
    let rows = session
        .query(
            "retire the streams that the plan has no more",
            "update milepost.streams s set wanted = false\n \
              where s.platform = $1 and s.wanted\n   \
                and (s.store, coalesce(s.dataset, '')) not in\n       \
                    (select n.store, coalesce(n.dataset, '') from unnest($2, $3) n(store, dataset))\n\
             returning s.store, s.dataset",
            &[
                (&plan.platform, Type::TEXT),
                (&stores, Type::TEXT_ARRAY),
                (&datasets, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| StreamKey {
            platform: plan.platform.clone(),
            store: row.get("store"),
            dataset: row.get("dataset"),
        })
        .collect())
}

/// Makes the tables and views of some streams what their specs say, or collects why not.
async fn change_tables(
    session: &Session,
    streams: &[PublishedStream],
    mode: Mode,
    published: &mut Published,
) -> Result<(), Error> {
    let texts: Vec<&str> = streams.iter().map(|stream| stream.text.as_str()).collect();
    let sql = format!(
        "select s.id, {}::text as catalog\n  \
           from (select n.spec::jsonb as spec, n.place from unnest($1) with ordinality n(spec, place)) w\n  \
           left join milepost.streams s on s.platform = w.spec->'stream'->>'platform'\n    \
                and s.store = w.spec->'stream'->>'store'\n    \
                and s.dataset is not distinct from w.spec->'stream'->>'dataset'\n \
          order by w.place",
        catalog::of_spec("w.spec")
    );
    let rows = session
        .query("read the catalog", &sql, &[(&texts, Type::TEXT_ARRAY)])
        .await?;
    for (row, PublishedStream { spec, .. }) in rows.iter().zip(streams) {
        let mut changes = tables::differences(spec, &Catalog::from_json(row.get("catalog"))?);
        // Schemas and roles are shared, and these catalogs were read before the first of the streams made them.
        changes.retain(|change| !published.shared.contains(change));
        published
            .shared
            .extend(changes.iter().filter(|change| is_shared(change)).cloned());
        let errors = match (mode, row.get::<_, Option<i64>>("id")) {
            (Mode::Write, Some(id)) => {
                tables::make(session, id, spec, &changes, Patience::default()).await
            }
            _ => changes
                .iter()
                .flat_map(Change::refusals)
                .map(Error::from)
                .collect(),
        };
        for error in errors {
            if error.is_disconnect() {
                return Err(error);
            }
            published.failures.push((spec.stream.clone(), error));
        }
        let made = changes
            .into_iter()
            .filter(|change| matches!(change, Change::Make(_)));
        published.changes.extend(made);
    }
    Ok(())
}

fn is_shared(change: &Change) -> bool {
    matches!(change.object(), Object::Schema(_) | Object::Role(_))
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match self.mode {
            Mode::Write => "published",
            Mode::DryRun => "would be published",
        };
        let ending = |count: usize| if count == 1 { "" } else { "s" };
        write!(
            f,
            "platform {}: {} stream{} of model {} {done} ({} new, {} changed, {} retired); {} change{} of tables and views",
            self.platform,
            self.streams,
            ending(self.streams),
            self.commit,
            self.new.len(),
            self.changed.len(),
            self.retired.len(),
            self.changes.len(),
            ending(self.changes.len()),
        )?;
        for retired in &self.retired {
            write!(
                f,
                "\n  stream {retired}: retired, its tables stay until `merge-job remove-unused-tables` removes them"
            )?;
        }
        for change in &self.changes {
            write!(f, "\n  {change}")?;
        }
        Ok(())
    }
}
