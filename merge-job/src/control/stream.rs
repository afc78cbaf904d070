//! A published stream: its spec, and what its tables look like now.

use milepost_job_spec::{StreamKey, StreamSpec};
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
    let sql = format!(
        "select s.id, s.spec, s.spec_digest, s.model_version, s.wanted,\n       \
                (select coalesce(max(version), 0) from milepost.schema_version) as version,\n       \
                ({})::text as catalog\n  \
           from milepost.streams s\n \
          where s.platform = $1 and s.store = $2 and s.dataset is not distinct from $3",
        catalog::of_spec("s.spec::jsonb")
    );
    let rows = session
        .query(
            "read the published stream",
            &sql,
            &[
                (&key.platform, Type::TEXT),
                (&key.store, Type::TEXT),
                (&key.dataset, Type::TEXT),
            ],
        )
        .await
        .map_err(not_migrated)?;
    let Some(row) = rows.first() else {
        migrate::require(session).await?;
        return Err(Error::UnknownStream(key.to_string()));
    };
    let version: i32 = row.get("version");
    if version != CONTROL_VERSION {
        migrate::require(session).await?;
    }
    if !row.get::<_, bool>("wanted") {
        return Err(Error::UnknownStream(key.to_string()));
    }
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
