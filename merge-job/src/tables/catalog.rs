//! What the tables, views, schemas and roles of a stream are now, read in one expression.

use std::collections::{BTreeMap, BTreeSet};

use milepost_job_spec::{DatasetSpec, PgIdent, TableRef};
use serde::Deserialize;

use super::shape::LIVE_BOUND;
use crate::error::Error;

/// The objects of a stream as they are. [`Catalog::default`] is an empty database.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub(crate) relations: BTreeMap<TableRef, Relation>,
    pub(crate) functions: BTreeMap<TableRef, Function>,
    pub(crate) schemas: BTreeMap<PgIdent, BTreeSet<PgIdent>>,
    pub(crate) roles: BTreeSet<PgIdent>,
    pub(crate) may: Rights,
    recorded: Vec<Recorded>,
}

/// A table, partition or view.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Relation {
    table: TableRef,
    /// `r` table, `p` partitioned table, `v` view, …
    pub(crate) kind: String,
    /// `p` permanent, `u` unlogged, `t` temporary.
    pub(crate) persistence: String,
    pub(crate) comment: Option<String>,
    pub(crate) parent: Option<TableRef>,
    pub(crate) bound: Option<String>,
    pub(crate) partitioned_by: Option<String>,
    #[serde(default)]
    pub(crate) columns: Vec<Column>,
    #[serde(default)]
    pub(crate) key: Vec<PgIdent>,
    /// Of a partitioned table.
    #[serde(default)]
    pub(crate) partitions: Vec<Part>,
    #[serde(default)]
    pub(crate) readers: BTreeSet<PgIdent>,
    /// Views and functions that read it.
    #[serde(default)]
    pub(crate) dependents: BTreeSet<TableRef>,
}

/// A column.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: PgIdent,
    #[serde(rename = "type")]
    pub(crate) data_type: String,
    pub(crate) not_null: bool,
    /// It has a default or is an identity.
    pub(crate) filled: bool,
    /// It is computed by the server.
    pub(crate) generated: bool,
    /// A partition has a constraint of its own that the column is not null, beside that of the table.
    #[serde(default)]
    pub(crate) pinned: bool,
}

/// A partition as its table knows it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Part {
    pub(crate) table: TableRef,
    bound: String,
    #[serde(default)]
    pub(crate) key: Vec<PgIdent>,
}

impl Part {
    /// Does it have the live rows?
    pub(crate) fn is_live(&self) -> bool {
        self.bound == LIVE_BOUND
    }
}

/// A function of one moment.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Function {
    function: TableRef,
    pub(crate) comment: Option<String>,
    #[serde(default)]
    pub(crate) readers: BTreeSet<PgIdent>,
    #[serde(default)]
    pub(crate) dependents: BTreeSet<TableRef>,
}

/// What the job's role may create.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Rights {
    pub(crate) schemas: bool,
    pub(crate) roles: bool,
}

impl Default for Rights {
    fn default() -> Self {
        Self {
            schemas: true,
            roles: true,
        }
    }
}

/// A row of `milepost.datasets`.
#[derive(Debug, Clone, Deserialize)]
struct Recorded {
    dataset: String,
    merge: TableRef,
    /// A batch has merged rows into the table.
    merged: bool,
}

impl Catalog {
    /// The columns of a dataset that its merge table, as it was read, lacks or lets be null. None if there was no table yet:
    /// it is then made as the spec says.
    pub(crate) fn nullable_columns(&self, dataset: &DatasetSpec) -> BTreeSet<PgIdent> {
        let Some(table) = self.relations.get(&dataset.merge) else {
            return BTreeSet::new();
        };
        let held: BTreeSet<&PgIdent> = table
            .columns
            .iter()
            .filter(|column| column.not_null)
            .map(|column| &column.name)
            .collect();
        let columns = dataset.columns.iter().map(|column| &column.name);
        columns
            .filter(|name| !held.contains(name) && !dataset.key.contains(name))
            .cloned()
            .collect()
    }

    /// Reads what [`of_spec`] gave.
    ///
    /// # Errors
    /// [`Error::Usage`] if the text is not that.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Schema {
            name: PgIdent,
            readers: BTreeSet<PgIdent>,
        }
        #[derive(Deserialize)]
        struct Read {
            relations: Vec<Relation>,
            functions: Vec<Function>,
            schemas: Vec<Schema>,
            roles: BTreeSet<PgIdent>,
            may: Rights,
            recorded: Vec<Recorded>,
        }
        let read: Read = serde_json::from_str(text)
            .map_err(|error| Error::Usage(format!("the catalog does not parse: {error}")))?;
        Ok(Self {
            relations: read
                .relations
                .into_iter()
                .map(|r| (r.table.clone(), r))
                .collect(),
            functions: read
                .functions
                .into_iter()
                .map(|f| (f.function.clone(), f))
                .collect(),
            schemas: read
                .schemas
                .into_iter()
                .map(|s| (s.name, s.readers))
                .collect(),
            roles: read.roles,
            may: read.may,
            recorded: read.recorded,
        })
    }

    /// Is there something of this name?
    pub(crate) fn has(&self, table: &TableRef) -> bool {
        self.relations.contains_key(table)
    }

    /// The columns of a dataset's key that the primary key of its table, or of the live rows, does not have.
    pub(crate) fn new_key_columns(&self, dataset: &DatasetSpec) -> Vec<PgIdent> {
        let tables = dataset.live.iter().chain([&dataset.merge]);
        let mut keys = tables.filter_map(|table| Some(&self.relations.get(table)?.key));
        let Some(old) = keys.find(|key| !key.is_empty()) else {
            return Vec::new();
        };
        let key = dataset.key.iter();
        key.filter(|column| !old.contains(column))
            .cloned()
            .collect()
    }

    /// Has a table this column?
    pub(crate) fn has_column(&self, table: &TableRef, column: &PgIdent) -> bool {
        let relation = self.relations.get(table);
        relation.is_some_and(|relation| relation.columns.iter().any(|own| own.name == *column))
    }

    /// Has the merge table of a dataset these columns, of the types that its spec says?
    pub(crate) fn has_typed(&self, dataset: &DatasetSpec, columns: &[PgIdent]) -> bool {
        let Some(table) = self.relations.get(&dataset.merge) else {
            return false;
        };
        columns.iter().all(|name| {
            let wanted = dataset.columns.iter().find(|column| column.name == *name);
            let mut found = table.columns.iter().filter(|column| column.name == *name);
            wanted.is_some_and(|wanted| found.any(|own| own.data_type == wanted.merge_type))
        })
    }

    /// The roles that may read a table, beside whoever may by other rights.
    pub(crate) fn readers(&self, table: &TableRef) -> impl Iterator<Item = &PgIdent> {
        let relation = self.relations.get(table);
        relation.into_iter().flat_map(|relation| &relation.readers)
    }

    /// Into which table rows of this dataset were merged, if any were.
    pub(crate) fn merged_into(&self, dataset: &DatasetSpec) -> Option<&TableRef> {
        self.recorded
            .iter()
            .find(|row| row.dataset == dataset.name && row.merged)
            .map(|row| &row.merge)
    }
}

/// The SQL expression that reads the catalog of one stream as `jsonb`; `spec` is an expression of type `jsonb` that gives
/// its StreamSpec. Read many streams in one statement by applying it to each row.
///
/// Objects are found by name through the server's caches, then by number through indexes: the cost does not depend on how
/// many tables the database has.
#[must_use]
pub fn of_spec(spec: &str) -> String {
    format!("({}\n)", QUERY.replace("{spec}", spec))
}

const QUERY: &str = "
with spec as materialized (
  select {spec} as s
), dataset as (
  select d from spec, jsonb_array_elements(s->'datasets') d
), view as (
  select v from dataset, jsonb_array_elements(coalesce(d->'views', '[]')) v
), wanted as (
  select s->'transactions' as t from spec where s ? 'transactions'
  union select d->part from dataset, unnest(array['staging', 'merge', 'live', 'closed']) part where d ? part
  union select jsonb_build_object('schema', v->'schema', 'name', v->part)
          from view, unnest(array['live', 'history']) part where v ? part
), relation as (
  select t, to_regclass(format('%I.%I', t->>'schema', t->>'name'))::oid as id from wanted
), function as (
  select jsonb_build_object('schema', v->'schema', 'name', v->part) as f,
         to_regprocedure(format('%I.%I(timestamptz)', v->>'schema', v->>part))::oid as id
    from view, unnest(array['history', 'as_of']) part where v ? part
)
select jsonb_build_object(
  'relations', (select coalesce(jsonb_agg(jsonb_build_object(
      'table', r.t, 'kind', c.relkind, 'persistence', c.relpersistence,
      'comment', obj_description(c.oid, 'pg_class'),
      'bound', pg_get_expr(c.relpartbound, c.oid),
      'parent', (select jsonb_build_object('schema', n.nspname, 'name', p.relname)
                   from pg_inherits i
                   join pg_class p on p.oid = i.inhparent
                   join pg_namespace n on n.oid = p.relnamespace
                  where i.inhrelid = c.oid limit 1),
      'partitioned_by', case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end,
      'columns', (select coalesce(jsonb_agg(jsonb_build_object(
                      'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
                      'filled', a.atthasdef or a.attidentity <> '', 'generated', a.attgenerated <> '',
                      'pinned', c.relkind = 'p' and exists (select from pg_inherits i
                                          join pg_constraint k on k.conrelid = i.inhrelid and k.contype = 'n' and k.conislocal
                                          join pg_attribute b on b.attrelid = i.inhrelid and b.attnum = any(k.conkey)
                                         where i.inhparent = c.oid and k.coninhcount > 0 and b.attname = a.attname))
                    order by a.attnum), '[]')
                    from pg_attribute a
                   where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p')),
      'key', (select coalesce(jsonb_agg(a.attname order by k.place), '[]')
                from pg_index x
               cross join lateral unnest(x.indkey::int2[]) with ordinality k(attnum, place)
                join pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.attnum
               where x.indrelid = c.oid and x.indisprimary and x.indisvalid and x.indimmediate
                 and k.place <= x.indnkeyatts),
      'partitions', (select coalesce(jsonb_agg(jsonb_build_object(
                         'table', jsonb_build_object('schema', n.nspname, 'name', p.relname),
                         'bound', pg_get_expr(p.relpartbound, p.oid),
                         'key', (select coalesce(jsonb_agg(a.attname order by k.place), '[]')
                                   from pg_index x
                                  cross join lateral unnest(x.indkey::int2[]) with ordinality k(attnum, place)
                                   join pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.attnum
                                  where x.indrelid = p.oid and x.indisprimary and x.indisvalid and x.indimmediate
                                    and k.place <= x.indnkeyatts))), '[]')
                       from pg_inherits i
                       join pg_class p on p.oid = i.inhrelid
                       join pg_namespace n on n.oid = p.relnamespace
                      where i.inhparent = c.oid and c.relkind = 'p'),
      'readers', (select coalesce(jsonb_agg(g.rolname), '[]')
                    from aclexplode(c.relacl) e join pg_roles g on g.oid = e.grantee
                   where e.privilege_type = 'SELECT'),
      'dependents', (select coalesce(jsonb_agg(o), '[]') from (
                       select distinct jsonb_build_object('schema', n.nspname, 'name', v.relname) as o
                         from pg_depend x
                         join pg_rewrite w on w.oid = x.objid
                         join pg_class v on v.oid = w.ev_class and v.oid <> c.oid
                         join pg_namespace n on n.oid = v.relnamespace
                        where x.refclassid = 'pg_class'::regclass and x.refobjid = c.oid
                          and x.classid = 'pg_rewrite'::regclass
                       union
                       select jsonb_build_object('schema', n.nspname, 'name', p.proname)
                         from pg_depend x
                         join pg_proc p on p.oid = x.objid
                         join pg_namespace n on n.oid = p.pronamespace
                        where x.refclassid = 'pg_class'::regclass and x.refobjid = c.oid
                          and x.classid = 'pg_proc'::regclass) d)
    )), '[]') from relation r join pg_class c on c.oid = r.id),
  'functions', (select coalesce(jsonb_agg(jsonb_build_object(
      'function', f.f,
      'comment', obj_description(p.oid, 'pg_proc'),
      'readers', (select coalesce(jsonb_agg(g.rolname), '[]')
                    from aclexplode(p.proacl) e join pg_roles g on g.oid = e.grantee
                   where e.privilege_type = 'EXECUTE'),
      'dependents', (select coalesce(jsonb_agg(o), '[]') from (
                       select distinct jsonb_build_object('schema', n.nspname, 'name', v.relname) as o
                         from pg_depend x
                         join pg_rewrite w on w.oid = x.objid
                         join pg_class v on v.oid = w.ev_class
                         join pg_namespace n on n.oid = v.relnamespace
                        where x.refclassid = 'pg_proc'::regclass and x.refobjid = p.oid
                          and x.classid = 'pg_rewrite'::regclass) d)
    )), '[]') from function f join pg_proc p on p.oid = f.id),
  'schemas', (select coalesce(jsonb_agg(jsonb_build_object(
      'name', n.nspname,
      'readers', (select coalesce(jsonb_agg(g.rolname), '[]')
                    from aclexplode(n.nspacl) e join pg_roles g on g.oid = e.grantee
                   where e.privilege_type = 'USAGE')
    )), '[]') from pg_namespace n where n.nspname in (select t->>'schema' from wanted)),
  'roles', (select coalesce(jsonb_agg(g.rolname), '[]')
              from pg_roles g where g.rolname in (select v->>'role' from view)),
  'may', (select jsonb_build_object(
              'schemas', has_database_privilege(current_database(), 'create'),
              'roles', g.rolsuper or g.rolcreaterole)
            from pg_roles g where g.rolname = current_user),
  'recorded', (select coalesce(jsonb_agg(jsonb_build_object(
      'dataset', m.dataset, 'merge', jsonb_build_object('schema', m.merge_schema, 'name', m.merge_table),
      'merged', m.last_batch_time is not null)), '[]')
       from spec
       join milepost.datasets m
         on m.platform = s->'stream'->>'platform' and m.store = s->'stream'->>'store'
        and m.dataset in (select d->>'name' from dataset))
)";
