//! Which closed versions may go, as SQL. They stand in a partition of their own, so live rows are never read.

use milepost_job_spec::{StreamKey, TableRef, milestone};
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::merge::moment;
use crate::session::Session;

/// The query for where the horizon of a dataset may be now, and where it is: microseconds since 1970, or null. `$1`
/// platform, `$2` store, `$3` dataset, `$4` seconds for which versions are kept.
///
/// The last batch's time counts where the clock has gone on, and the clock where batches were ahead of it. No version will
/// ever end at or before it: a batch is later than the last one.
pub const HORIZON: &str = "select (extract(epoch from least(d.last_batch_time, clock_timestamp()) - $4::bigint * interval '1 second') * 1000000)::bigint as may,
       (extract(epoch from r.history_from) * 1000000)::bigint as is
  from milepost.datasets d
  left join milepost.retention r on (r.platform, r.store, r.dataset) = (d.platform, d.store, d.dataset)
 where d.platform = $1 and d.store = $2 and d.dataset = $3 and d.last_batch_time is not null";

/// The statement that stores a horizon. `$1` platform, `$2` store, `$3` dataset, `$4` microseconds. It never goes back.
#[must_use]
pub fn store() -> String {
    format!(
        "insert into milepost.retention as r (platform, store, dataset, history_from) values ($1, $2, $3, {})\n\
         on conflict (platform, store, dataset) do update\n   \
            set history_from = greatest(r.history_from, excluded.history_from)\n \
          returning history_from::text",
        moment("$4::bigint")
    )
}

/// Says that a table has no history from before a batch: as-of functions refuse a moment before it. In that batch.
pub(crate) async fn begin_history(
    session: &Session,
    stream: &StreamKey,
    dataset: &str,
    time_us: i64,
) -> Result<(), Error> {
    session
        .execute(
            "say where history begins",
            &store(),
            &[
                (&stream.platform, Type::TEXT),
                (&stream.store, Type::TEXT),
                (&dataset, Type::TEXT),
                (&time_us, Type::INT8),
            ],
        )
        .await
        .map(drop)
}

/// The query for as-of functions of ours that read a table and that no view of its dataset has any more: they do not ask
/// for the horizon. `$1` the table, `$2` schemas and `$3` names of those that it has.
pub const LEFT_OVER: &str = "select format('%I.%I', n.nspname, p.proname) as name
  from pg_depend t
  join pg_rewrite w on w.oid = t.objid
  join pg_depend v on v.refclassid = 'pg_class'::regclass and v.refobjid = w.ev_class and v.classid = 'pg_proc'::regclass
  join pg_proc p on p.oid = v.objid
  join pg_namespace n on n.oid = p.pronamespace
 where t.classid = 'pg_rewrite'::regclass and t.refclassid = 'pg_class'::regclass and t.refobjid = $1::text::regclass
   and starts_with(obj_description(p.oid, 'pg_proc'), 'milepost: ')
   and not exists (select from unnest($2::text[], $3::text[]) k(schema, name) where (k.schema, k.name) = (n.nspname, p.proname))
 limit 1";

/// The partition of closed versions.
#[derive(Debug, Clone, Copy)]
pub struct Closed<'a>(pub &'a TableRef);

impl Closed<'_> {
    fn is_over(horizon: &str) -> String {
        format!("c.{} <= {}", milestone::OUT, moment(horizon))
    }

    /// The query for whether a version may go, and how many pages there are to look at. `$1` the horizon.
    #[must_use]
    pub fn has_any(self) -> String {
        format!(
            "select exists (select from {table} c where {over}) as any,\n       \
                    pg_relation_size($2::text::regclass) / current_setting('block_size')::bigint as pages",
            table = self.0.quoted(),
            over = Self::is_over("$1::bigint"),
        )
    }

    /// The query for how many versions may go. `$1` the horizon.
    #[must_use]
    pub fn count(self) -> String {
        format!(
            "select count(*) from {} c where {}",
            self.0.quoted(),
            Self::is_over("$1::bigint")
        )
    }

    /// The statement that removes what may go from a stretch of pages. `$1` the horizon.
    #[must_use]
    pub fn remove(self, pages: std::ops::Range<i64>) -> String {
        format!(
            "delete from {} c where c.ctid >= '({},0)'::tid and c.ctid < '({},0)'::tid and {}",
            self.0.quoted(),
            pages.start,
            pages.end,
            Self::is_over("$1::bigint")
        )
    }
}
