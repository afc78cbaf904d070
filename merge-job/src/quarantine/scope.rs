//! Which entries a command is about.

use tokio_postgres::types::Type;

use crate::control::stream::{self, Stream};
use crate::error::Error;
use crate::session::{Bound, Session};

/// Entries of a platform, or of a part of it.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The platform.
    pub platform: String,
    /// Only this store.
    pub store: Option<String>,
    /// Only this dataset of the store.
    pub dataset: Option<String>,
    /// Only these entries.
    pub ids: Option<Vec<i64>>,
}

/// The condition on `milepost.quarantine q` for open entries of a scope, whose values are those of [`Scope::values`].
pub(super) const OPEN: &str = "q.status = 'open' and q.platform = $1 and ($2::text is null or q.store = $2)\n   \
    and ($3::text is null or q.dataset = $3) and ($4::bigint[] is null or q.id = any($4))";

impl Scope {
    pub(super) fn values(&self) -> [Bound<'_>; 4] {
        [
            (&self.platform, Type::TEXT),
            (&self.store, Type::TEXT),
            (&self.dataset, Type::TEXT),
            (&self.ids, Type::INT8_ARRAY),
        ]
    }

    /// The published streams that this scope touches, one or more.
    pub(super) async fn streams(&self, session: &Session) -> Result<Vec<Stream>, Error> {
        stream::published(
            session,
            &self.platform,
            self.store.as_deref(),
            self.dataset.as_deref(),
        )
        .await
    }

    /// The same scope with all open entries of the keys of those that were asked for by number: a replay tries them together.
    pub(super) async fn with_whole_keys(&self, session: &Session) -> Result<Self, Error> {
        let mut whole = self.clone();
        if self.ids.is_some() {
            let sql = format!(
                "select q.id from milepost.quarantine q where {OPEN}\n\
                 union\n\
                 select o.id from milepost.quarantine q join milepost.quarantine o\n    \
                     on o.platform = q.platform and o.store = q.store and o.dataset = q.dataset and o.key = q.key and o.status = 'open'\n  \
                  where {OPEN} and q.key <> '{{}}' and not exists (select from jsonb_each(q.key) k where k.value = 'null')"
            );
            let rows = session
                .query("look for entries of the same keys", &sql, &self.values())
                .await?;
            whole.ids = Some(rows.iter().map(|row| row.get(0)).collect());
        }
        Ok(whole)
    }

    /// The entries that were asked for by number and are not open, for a person.
    pub(super) async fn not_open(&self, session: &Session) -> Result<String, Error> {
        let Some(ids) = &self.ids else {
            return Ok(String::new());
        };
        let sql = format!("select q.id from milepost.quarantine q where {OPEN}");
        let rows = session
            .query("look for the entries", &sql, &self.values())
            .await?;
        let open: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let closed: Vec<String> = ids
            .iter()
            .filter(|id| !open.contains(id))
            .map(ToString::to_string)
            .collect();
        Ok(if closed.is_empty() {
            String::new()
        } else {
            format!("not open here, left alone: {}\n", closed.join(", "))
        })
    }
}
