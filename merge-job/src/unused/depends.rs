//! What reads a table that is about to go.

use tokio_postgres::types::Type;

use super::found::Group;
use crate::error::Error;
use crate::session::Session;
use crate::tables::mark::PREFIX;

/// Views, functions, foreign keys, publications, heirs, and partitions beside the two that we made. `$1` the tables, `$2`
/// our prefix. A trigger or a policy goes with its table, and reads nothing.
const DEPENDS: &str = "with own as materialized (
  select c.oid from unnest($1::oid[]) c(oid)
  union
  select p.relid from unnest($1::oid[]) c(oid), pg_partition_tree(c.oid) p
), reader as (
  select 'view ' || format('%I.%I', n.nspname, c.relname) as name, obj_description(c.oid, 'pg_class') as comment
    from pg_depend d join own on d.refclassid = 'pg_class'::regclass and d.refobjid = own.oid
    join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
    join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
   where c.oid not in (select oid from own)
  union
  select 'function ' || p.oid::regprocedure::text, obj_description(p.oid, 'pg_proc')
    from pg_depend d join own on d.refclassid = 'pg_class'::regclass and d.refobjid = own.oid
    join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
  union
  select 'foreign key of ' || format('%I.%I', n.nspname, c.relname), null
    from pg_constraint f join own on f.confrelid = own.oid
    join pg_class c on c.oid = f.conrelid join pg_namespace n on n.oid = c.relnamespace
   where f.contype = 'f' and f.conrelid not in (select oid from own)
  union
  select 'publication ' || quote_ident(p.pubname), null
    from pg_publication_rel r join own on r.prrelid = own.oid join pg_publication p on p.oid = r.prpubid
  union
  select 'table ' || format('%I.%I', n.nspname, c.relname), null
    from pg_inherits i join own on i.inhparent = own.oid
    join pg_class c on c.oid = i.inhrelid join pg_namespace n on n.oid = c.relnamespace
   where c.oid not in (select oid from own)
  union
  select 'partition ' || format('%I.%I', n.nspname, c.relname), null
    from pg_inherits i join own on i.inhparent = own.oid
    join pg_class c on c.oid = i.inhrelid join pg_namespace n on n.oid = c.relnamespace
   where c.relkind <> 'r' or not pg_has_role(c.relowner, 'usage')
      or (select count(*) from pg_inherits o where o.inhparent = i.inhparent) > 2
)
select name, coalesce(starts_with(comment, $2), false) as is_ours from reader order by is_ours, name";

/// Refuses to drop tables that something reads, and names it.
pub(super) async fn refuse_read(session: &Session, group: &Group) -> Result<(), Error> {
    let oids: Vec<u32> = group.tables.iter().map(|own| own.oid).collect();
    let rows = session
        .query(
            "read what depends on unused tables",
            DEPENDS,
            &[(&oids, Type::OID_ARRAY), (&PREFIX, Type::TEXT)],
        )
        .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = rows
        .iter()
        .map(|row| format!("`{}`", row.get::<_, &str>("name")))
        .collect();
    let remedy = if rows.iter().all(|row| row.get("is_ours")) {
        "no published stream has these views any more: `merge-job reconcile-views` drops them, and the next run the table"
    } else {
        "drop or detach what reads it, views of ours by `merge-job reconcile-views`, and the next run drops the table; or keep it: `comment on table … is null`"
    };
    Err(refusal(group, &names.join(", "), remedy))
}

/// Says that tables stay.
pub(super) fn refusal(group: &Group, names: &str, remedy: &str) -> Error {
    let tables: Vec<String> = group
        .tables
        .iter()
        .map(|own| format!("`{}`", own.table))
        .collect();
    Error::Obstacle {
        what: format!(
            "no published stream has {}, and something depends on it: {names}; nothing was dropped",
            tables.join(", ")
        ),
        remedy: remedy.to_owned(),
    }
}
