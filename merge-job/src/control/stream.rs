//! A published stream: its spec, and what its tables look like now.

use std::collections::BTreeMap;

use milepost_job_spec::{StreamKey, StreamSpec};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::migrate::{self, CONTROL_VERSION};
use crate::session::Session;
use crate::tables::catalog::{self, Catalog};

/// A stream as a run sees it.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The control row.
    pub id: i64,
    /// What to do.
    pub spec: StreamSpec,
    /// The digest of the published text: a batch checks that it is still the one.
    pub digest: String,
    /// The model that the spec was rendered from.
    pub model_version: String,
    /// The tables as they are.
    pub catalog: Catalog,
}

/// Reads a published stream and the catalog of its tables, in one round trip.
///
/// # Errors
/// [`Error::UnknownStream`] if the published plan does not want it, [`Error::Migrate`] without control tables,
/// [`Error::Spec`] if its spec is of another version.
pub async fn load(session: &Session, key: &StreamKey) -> Result<Stream, Error> {
    let rows = read(session, std::slice::from_ref(key)).await?;
    let Some(row) = rows.first() else {
        migrate::require(session).await?;
        return Err(Error::UnknownStream(key.to_string()));
    };
    if row.get::<_, i32>("version") != CONTROL_VERSION {
        migrate::require(session).await?;
    }
    if !row.get::<_, bool>("wanted") {
        return Err(Error::UnknownStream(key.to_string()));
    }
    of_row(row, key)
}

/// Reads those of several streams that are in order, in one round trip: most of what [`load`] costs is to plan its query.
///
/// # Errors
/// If the database cannot be read; why a stream is missing from the answer [`load`] tells.
pub(crate) async fn load_all(
    session: &Session,
    keys: &[StreamKey],
) -> Result<BTreeMap<StreamKey, Stream>, Error> {
    let rows = read(session, keys).await?;
    let in_order = |row: &Row| {
        let place = usize::try_from(row.get::<_, i64>("place")).ok()?;
        let key = keys.get(place.checked_sub(1)?)?;
        let is_known = row.get::<_, i32>("version") == CONTROL_VERSION && row.get("wanted");
        let stream = is_known.then(|| of_row(row, key).ok())??;
        Some((key.clone(), stream))
    };
    Ok(rows.iter().filter_map(in_order).collect())
}

/// The control rows of streams of one platform, with the catalogs of their tables.
async fn read(session: &Session, keys: &[StreamKey]) -> Result<Vec<Row>, Error> {
    let platform = keys.first().map(|key| key.platform.as_str());
    let stores: Vec<&str> = keys.iter().map(|key| key.store.as_str()).collect();
    let datasets: Vec<Option<&str>> = keys.iter().map(|key| key.dataset.as_deref()).collect();
    let sql = format!(
        "select s.id, s.spec, s.spec_digest, s.model_version, s.wanted, k.place,\n       \
                (select coalesce(max(version), 0) from milepost.schema_version) as version,\n       \
                ({})::text as catalog\n  \
           from unnest($2::text[], $3::text[]) with ordinality k(store, dataset, place)\n  \
           join milepost.streams s on s.platform = $1 and s.store = k.store and s.dataset is not distinct from k.dataset",
        catalog::of_spec("s.spec::jsonb")
    );
    session
        .query(
            "read the published stream",
            &sql,
            &[
                (&platform, Type::TEXT),
                (&stores, Type::TEXT_ARRAY),
                (&datasets, Type::TEXT_ARRAY),
            ],
        )
        .await
        .map_err(not_migrated)
}

fn of_row(row: &Row, key: &StreamKey) -> Result<Stream, Error> {
    let text: String = row.get("spec");
    let spec = StreamSpec::from_json(&text).map_err(|source| Error::Spec {
        place: format!("milepost.streams of {key}"),
        source,
    })?;
    let catalog: String = row.get("catalog");
    Ok(Stream {
        id: row.get("id"),
        digest: row.get("spec_digest"),
        spec,
        model_version: row.get("model_version"),
        catalog: Catalog::from_json(&catalog)?,
    })
}

/// The published streams of a platform, of a store, or of a dataset of a store: one or more, with their specs.
///
/// # Errors
/// As [`load`]; [`Error::UnknownStream`] if the published plan wants none of them.
pub async fn published(
    session: &Session,
    platform: &str,
    store: Option<&str>,
    dataset: Option<&str>,
) -> Result<Vec<Stream>, Error> {
    migrate::require(session).await?;
    let rows = session
        .query(
            "read the published streams",
            "select s.platform, s.store, s.dataset from milepost.streams s\n \
              where s.platform = $1 and s.wanted and s.store = coalesce($2, s.store)\n   \
                and ($3::text is null or s.dataset = $3\n    \
                     or s.dataset is null and exists (select from milepost.datasets d\n                                     \
                          where d.platform = s.platform and d.store = s.store and d.dataset = $3))\n \
              order by s.store, s.dataset",
            &[
                (&platform, Type::TEXT),
                (&store, Type::TEXT),
                (&dataset, Type::TEXT),
            ],
        )
        .await?;
    let mut streams = Vec::new();
    for row in &rows {
        let key = StreamKey {
            platform: row.get("platform"),
            store: row.get("store"),
            dataset: row.get("dataset"),
        };
        let stream = load(session, &key).await?;
        let mut datasets = stream.spec.datasets.iter();
        if dataset.is_none_or(|name| datasets.any(|own| own.name == *name)) {
            streams.push(stream);
        }
    }
    if streams.is_empty() {
        let mut name = platform.to_owned();
        for (mark, part) in [("/", store), ("#", dataset)] {
            if let Some(part) = part {
                name = format!("{name}{mark}{part}");
            }
        }
        return Err(Error::UnknownStream(name));
    }
    Ok(streams)
}

/// Begins a transaction that holds a stream, as its batches do.
///
/// # Errors
/// [`Error::Held`] if another run holds it.
pub async fn hold(session: &Session, stream: &Stream) -> Result<(), Error> {
    let script = format!("begin; {}", lock(stream.id));
    session
        .script("lock the stream", &script)
        .await
        .map(drop)
        .map_err(|error| held(error, stream))
}

/// Begins a transaction that holds the control row of a stream, and waits for it: a batch whose COMMIT got no answer may be at
/// it still.
///
/// # Errors
/// [`Error::Sql`] if it is not free within a minute.
pub(crate) async fn wait(session: &Session, stream: &Stream) -> Result<(), Error> {
    let lock = format!(
        "begin; set local lock_timeout = '60s'; select from milepost.streams where id = {} for no key update",
        stream.id
    );
    session.script("wait for the stream", &lock).await.map(drop)
}

/// The statements that lock a stream for whatever changes its tables or its progress: its control row, and the rows of its
/// datasets, because a store that becomes one stream, or ceases to be one, has two control rows for a while.
///
/// They are statements of their own: whatever is read comes from later ones, whose snapshots are younger.
pub(crate) fn lock(id: i64) -> String {
    format!(
        "select 'lock' from milepost.streams where id = {id} for no key update nowait;\n\
         select 'dataset' from milepost.datasets d join milepost.streams s on d.platform = s.platform and d.store = s.store\n  \
          where s.id = {id} and (s.dataset is null or d.dataset = s.dataset)\n  \
          order by d.dataset for no key update of d nowait"
    )
}

/// A lock that was not free reads as what it is.
pub(crate) fn held(error: Error, stream: &Stream) -> Error {
    if error.sqlstate() == Some("55P03") {
        Error::Held(stream.spec.stream.to_string())
    } else {
        error
    }
}

/// A missing control table reads as what it is.
fn not_migrated(error: Error) -> Error {
    match &error {
        Error::Sql { source, .. }
            if source
                .code()
                .is_some_and(|code| matches!(code.code(), "42P01" | "3F000")) =>
        {
            Error::Migrate("the database has no control schema".to_owned())
        }
        _ => error,
    }
}
