//! Which tables of ours no wanted stream has, and which of them belong together.

use std::collections::BTreeMap;

use milepost_job_spec::TableRef;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::session::Session;
use crate::tables::mark::{self, PREFIX};

/// Every table that a spec has, of wanted and retired streams, and what control rows say of datasets whose spec is gone.
pub(super) const NAMED: &str = "spec as materialized (
  select platform, store, wanted, spec::jsonb as s from milepost.streams
), named as materialized (
  select platform, store, d ->> 'name' as dataset, wanted, d -> part ->> 'schema' as schema, d -> part ->> 'name' as name
    from spec, jsonb_array_elements(s -> 'datasets') d, unnest(array['staging', 'merge', 'live', 'closed']) part
   where d -> part ->> 'name' is not null
  union all
  select platform, store, '', wanted, s -> 'transactions' ->> 'schema', s -> 'transactions' ->> 'name'
    from spec where s -> 'transactions' ->> 'name' is not null
  union all
  select platform, store, dataset, false, merge_schema, merge_table from milepost.datasets
  union all
  select platform, store, dataset, false, staging_schema, staging_table from milepost.datasets where staging_table is not null
)";

/// A dataset that no wanted stream has; without a name, the ENDs of a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dataset {
    pub(super) platform: String,
    pub(super) store: String,
    pub(super) name: String,
}

/// A table that no wanted stream has.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) table: TableRef,
    pub(super) oid: u32,
    /// The platform of its dataset, or else one that has tables in its schema.
    pub(super) platform: String,
    /// The dataset that it was made for, where anything says so.
    pub(super) dataset: Option<Dataset>,
    /// Are rows staged in it?
    pub(super) is_staged: bool,
    /// Has it our mark, and are we its owner?
    is_ours: bool,
    pub(super) rows: i64,
    pub(super) bytes: i64,
}

/// Tables that go together or not at all: those of a dataset, or a single one.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) dataset: Option<Dataset>,
    pub(super) tables: Vec<Table>,
}

impl Group {
    /// Are these the same tables?
    pub(super) fn is(&self, other: &Self) -> bool {
        let oids = |group: &Self| group.tables.iter().map(|own| own.oid).collect::<Vec<_>>();
        self.dataset == other.dataset && oids(self) == oids(other)
    }
}

/// What nobody uses.
#[derive(Debug, Default)]
pub(super) struct Unused {
    pub(super) groups: Vec<Group>,
    /// Tables of ours that stay since another of their dataset does, which is not ours: its name.
    pub(super) kept: Vec<(Table, TableRef)>,
}

/// Reads the tables that no wanted stream has, of one platform or of all.
pub(super) async fn read(session: &Session, platform: Option<&str>) -> Result<Unused, Error> {
    let sql = format!(
        "with {NAMED}, home as (
  select schema, min(platform) as platform from named group by schema
), gone as (
  select distinct on (schema, name) schema, name, platform, store, dataset
    from named n
   where not exists (select from named w where w.wanted and (w.platform, w.store, w.dataset) = (n.platform, n.store, n.dataset))
   order by schema, name, platform, store, dataset
)
select n.nspname::text as schema, c.relname::text as name, c.oid, obj_description(c.oid, 'pg_class') as comment,
       pg_has_role(c.relowner, 'usage') as is_owned, coalesce(g.platform, h.platform) as platform, g.store, g.dataset,
       exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = '__connect_offset' and not a.attisdropped) as is_staged,
       size.rows, size.bytes
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  join home h on h.schema = n.nspname
  left join gone g on (g.schema, g.name) = (n.nspname, c.relname)
 cross join lateral (
       select coalesce(sum(greatest(leaf.reltuples, 0)), 0)::bigint as rows, coalesce(sum(pg_total_relation_size(leaf.oid)), 0)::bigint as bytes
         from pg_class leaf
        where leaf.relkind = 'r' and (leaf.oid = c.oid or leaf.oid in (select t.relid from pg_partition_tree(c.oid) t))) size
 where c.relkind in ('r', 'p') and not c.relispartition and n.nspname <> 'milepost'
   and not exists (select from named w where w.wanted and (w.schema, w.name) = (n.nspname, c.relname))
   and (g.dataset is not null or starts_with(obj_description(c.oid, 'pg_class'), $1))
   and ($2::text is null or coalesce(g.platform, h.platform) = $2)
 order by is_staged desc, schema, name"
    );
    let rows = session
        .query(
            "find tables that no published stream has",
            &sql,
            &[(&PREFIX, Type::TEXT), (&platform, Type::TEXT)],
        )
        .await?;
    Ok(grouped(rows.iter().filter_map(table)))
}

/// What has no legal name of ours is not ours.
fn table(row: &Row) -> Option<Table> {
    let platform: String = row.get("platform");
    let dataset: Option<String> = row.get("dataset");
    Some(Table {
        table: TableRef {
            schema: row.get::<_, &str>("schema").parse().ok()?,
            name: row.get::<_, &str>("name").parse().ok()?,
        },
        oid: row.get("oid"),
        dataset: dataset.map(|name| Dataset {
            platform: platform.clone(),
            store: row.get("store"),
            name,
        }),
        platform,
        is_staged: row.get("is_staged"),
        is_ours: row.get("is_owned") && mark::is_ours(row.get("comment")),
        rows: row.get("rows"),
        bytes: row.get("bytes"),
    })
}

/// The tables of a dataset go together: with one of the two, and what control rows say of both, the dataset could be
/// neither merged on nor begun anew.
fn grouped(tables: impl Iterator<Item = Table>) -> Unused {
    let mut unused = Unused::default();
    let mut datasets: BTreeMap<Dataset, Vec<Table>> = BTreeMap::new();
    for table in tables {
        match &table.dataset {
            Some(dataset) => datasets.entry(dataset.clone()).or_default().push(table),
            None if table.is_ours => unused.groups.push(Group {
                dataset: None,
                tables: vec![table],
            }),
            None => {}
        }
    }
    for (dataset, tables) in datasets {
        match tables.iter().find(|own| !own.is_ours) {
            None => unused.groups.push(Group {
                dataset: Some(dataset),
                tables,
            }),
            Some(foreign) => {
                let name = foreign.table.clone();
                let ours = tables.into_iter().filter(|own| own.is_ours);
                unused.kept.extend(ours.map(|own| (own, name.clone())));
            }
        }
    }
    unused
}
