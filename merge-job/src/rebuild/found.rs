//! What stands where a dataset is merged: its table, what reads it, and how many rows would have to come back.

use std::collections::BTreeSet;

use milepost_job_spec::{DatasetSpec, IMAGE_TOPIC, PgIdent, StreamSpec, TableRef, milestone};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::control::position::Position;
use crate::control::stream::Stream;
use crate::error::Error;
use crate::rebuild::Origin;
use crate::rebuild::staged::Staged;
use crate::session::{Bound, Session};
use crate::sql;
use crate::tables::mark::PREFIX;
use crate::tables::{self, Catalog, Change, Migration, Object, Refusal, shape};

/// What was found. It can be made anew: all that stands against it is an error of [`Found::read`].
#[derive(Debug)]
pub(crate) struct Found {
    /// The table and its partitions, the table first; empty where it is gone.
    pub(crate) members: Vec<Member>,
    /// Names of the schema that a kept table may not have.
    pub(crate) taken: BTreeSet<String>,
    /// How the table differs from its spec, as a publish tells it.
    pub(crate) differences: Vec<String>,
    pub(crate) rows: Rows,
    /// What the new key makes of the rows that are live; none where the table does not have its columns.
    pub(crate) doubled: Option<Doubled>,
    /// Columns of the new key that the old one does not have.
    pub(crate) new_columns: Vec<PgIdent>,
    /// Open entries of the quarantine.
    pub(crate) open: i64,
    /// The snapshot that is staged; none where rows come from the source.
    pub(crate) staged: Option<Staged>,
    /// Was anything merged from events of the dataset?
    pub(crate) is_merged: bool,
}

/// A table or partition.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) table: TableRef,
    pub(crate) columns: BTreeSet<String>,
    /// Indexes that are no primary key: somebody made them.
    pub(crate) indexes: Vec<String>,
    kind: String,
    comment: Option<String>,
    bytes: i64,
    is_owned: bool,
}

/// How many rows the table has.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) live: i64,
    pub(crate) closed: i64,
}

/// What a key makes of live rows.
#[derive(Debug)]
pub(crate) struct Doubled {
    /// Values of the key that several rows have.
    pub(crate) values: i64,
    /// Rows with a null in it.
    pub(crate) nulls: i64,
}

impl Found {
    /// Reads it, in a transaction.
    pub(crate) async fn read(
        session: &Session,
        stream: &Stream,
        place: usize,
        positions: &[Position],
        origin: Origin,
    ) -> Result<Self, Error> {
        let spec = &stream.spec;
        let dataset = &spec.datasets[place];
        refuse_what_cannot_be(spec, dataset, positions)?;
        let catalog = tables::read(session, spec).await?;
        if let Some(table) = catalog
            .merged_into(dataset)
            .filter(|t| **t != dataset.merge)
        {
            return Err(Error::Shape {
                table: format!("table `{}`", dataset.merge),
                difference: format!("rows of the dataset were merged into `{table}` until now"),
                remedy: "publish a plan that names that table: no release renames one".to_owned(),
            });
        }
        let members = members(session, dataset).await?;
        refuse_what_is_not_ours(dataset, &members)?;
        if let Some(refusal) = stranger(&strangers(session, dataset, &members).await?, dataset) {
            return Err(refusal.into_obstacle());
        }
        let staged = match origin {
            Origin::Source => None,
            Origin::Staging => Some(Staged::read(session, stream, place, positions).await?),
        };
        let own = |position: &&Position| position.dataset == dataset.name;
        Ok(Self {
            taken: taken(session, dataset).await?,
            differences: differences(spec, dataset, &catalog),
            rows: Rows::count(session, dataset, &members).await?,
            doubled: Doubled::count(session, dataset, &catalog, &members).await?,
            new_columns: catalog.new_key_columns(dataset),
            open: open(session, spec, dataset).await?,
            staged,
            is_merged: positions.iter().any(|position| own(&position)),
            members,
        })
    }

    /// The size of all of it on disk.
    pub(crate) fn bytes(&self) -> i64 {
        self.members.iter().map(|member| member.bytes).sum()
    }
}

/// What no rebuild does, whatever is there.
fn refuse_what_cannot_be(
    spec: &StreamSpec,
    dataset: &DatasetSpec,
    positions: &[Position],
) -> Result<(), Error> {
    let name = &dataset.name;
    if dataset.strategy.is_append() {
        return Err(Error::Usage(format!(
            "dataset `{name}` has no key: its rows are events, which no snapshot brings back, so its table is not made anew"
        )));
    }
    if let Some(column) = dataset
        .columns
        .iter()
        .find(|c| !sql::is_type(&c.merge_type))
    {
        return Err(Error::Shape {
            table: format!("table `{}`", dataset.merge),
            difference: format!(
                "`{}` is no name of a type (column `{}`)",
                column.merge_type, column.name
            ),
            remedy: "render and publish the plan again with a released milepost".to_owned(),
        });
    }
    let own = positions
        .iter()
        .filter(|own| own.dataset == *name && own.topic != IMAGE_TOPIC);
    if spec.input.is_events() && own.count() > 1 {
        return Err(Error::Staged {
            what: format!(
                "dataset `{name}` is merged from several topic partitions: of those no snapshot is known to be complete, and rows \
                 of one key may stand in two of them after the key changed"
            ),
            remedy: "give its topic one partition, as the rendered ones have (`merge-job topics accept --as recreated`), or give the \
                     dataset another name: see docs/operations.md"
                .to_owned(),
        });
    }
    Ok(())
}

/// The table of the dataset, its partitions, and whatever else has the name of one of them.
async fn members(session: &Session, dataset: &DatasetSpec) -> Result<Vec<Member>, Error> {
    let parts: Vec<String> = dataset
        .live
        .iter()
        .chain(&dataset.closed)
        .map(TableRef::quoted)
        .collect();
    let rows = session
        .query(
            "read what stands in the place of the table",
            "with place as (select to_regclass($1)::oid as id)\n\
             select n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind, obj_description(c.oid, 'pg_class') as comment,\n       \
                    pg_total_relation_size(c.oid) as bytes, pg_has_role(c.relowner, 'usage') as is_owned,\n       \
                    (select coalesce(array_agg(a.attname::text), '{}') from pg_attribute a\n         \
                      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,\n       \
                    (select coalesce(array_agg(x.relname::text order by x.relname), '{}') from pg_index i join pg_class x on x.oid = i.indexrelid\n         \
                      where i.indrelid = c.oid and not i.indisprimary) as indexes\n  \
               from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join place p\n \
              where c.oid = p.id or c.oid in (select i.inhrelid from pg_inherits i where i.inhparent = p.id)\n    \
                 or c.oid in (select to_regclass(t)::oid from unnest($2::text[]) t)\n \
              order by c.oid <> coalesce(p.id, 0), c.relname",
            &[
                (&dataset.merge.quoted(), Type::TEXT),
                (&parts, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    rows.iter().map(member).collect()
}

fn member(row: &Row) -> Result<Member, Error> {
    let ident = |column: &str| -> Result<PgIdent, Error> {
        let name: &str = row.get(column);
        name.parse()
            .map_err(|error| Error::Usage(format!("the catalog does not parse: {error}")))
    };
    Ok(Member {
        table: TableRef {
            schema: ident("schema")?,
            name: ident("name")?,
        },
        columns: row.get::<_, Vec<String>>("columns").into_iter().collect(),
        indexes: row.get("indexes"),
        kind: row.get("kind"),
        comment: row.get("comment"),
        bytes: row.get("bytes"),
        is_owned: row.get("is_owned"),
    })
}

/// Only tables of ours are moved out of the way. Partitions bear no mark: the table speaks for them.
fn refuse_what_is_not_ours(dataset: &DatasetSpec, members: &[Member]) -> Result<(), Error> {
    for member in members {
        let table = format!("table `{}`", member.table);
        if !matches!(member.kind.as_str(), "r" | "p") || !member.is_owned {
            return Err(Error::Shape {
                table,
                difference: "it is no table, or not one of the job's role".to_owned(),
                remedy: "move that object away: the name belongs to the platform".to_owned(),
            });
        }
        let is_marked = member
            .comment
            .as_ref()
            .is_some_and(|comment| comment.starts_with(PREFIX));
        if member.table == dataset.merge && !is_marked {
            let say = shape::of_merge(dataset).create().pop().unwrap_or_default();
            return Err(Error::Shape {
                table,
                difference: "it was not made by merge-job".to_owned(),
                remedy: format!("if it is the platform's, say so: `{say}`"),
            });
        }
    }
    Ok(())
}

/// Something that depends on the table, or on a view of it, and is not in the plan.
struct Stranger {
    name: String,
    is_ours: bool,
}

/// Views, functions, foreign keys, publications, triggers and policies of others: they would go on with the table that is
/// kept, and nobody would notice.
async fn strangers(
    session: &Session,
    dataset: &DatasetSpec,
    members: &[Member],
) -> Result<Vec<Stranger>, Error> {
    let tables: Vec<String> = members.iter().map(|member| member.table.quoted()).collect();
    let (mut views, mut functions) = (Vec::new(), Vec::new());
    for view in &dataset.views {
        let quoted = |name: &PgIdent| format!("{}.{}", view.schema.quoted(), name.quoted());
        views.push(quoted(&view.live));
        views.extend(view.history.as_ref().map(quoted));
        let as_of = view.as_of.as_ref().map(quoted);
        functions.extend(as_of.map(|name| format!("{name}(timestamptz)")));
    }
    let rows = session
        .query(
            "read what reads the table",
            "with watched as (\n  \
               select 'pg_class'::regclass::oid as class, to_regclass(t)::oid as id from unnest($1::text[] || $2::text[]) t\n  \
               union all select 'pg_proc'::regclass, to_regprocedure(f)::oid from unnest($3::text[]) f\n\
             ), reader as (\n  \
               select 'view ' || format('%I.%I', n.nspname, c.relname) as name, obj_description(c.oid, 'pg_class') as comment\n    \
                 from pg_depend d join watched w on d.refclassid = w.class and d.refobjid = w.id\n    \
                 join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid\n    \
                 join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace\n   \
                where c.oid not in (select id from watched where id is not null and class = 'pg_class'::regclass)\n  \
               union\n  \
               select 'function ' || p.oid::regprocedure::text, obj_description(p.oid, 'pg_proc')\n    \
                 from pg_depend d join watched w on d.refclassid = w.class and d.refobjid = w.id\n    \
                 join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid\n   \
                where p.oid not in (select id from watched where id is not null and class = 'pg_proc'::regclass)\n  \
               union\n  \
               select 'foreign key of ' || format('%I.%I', n.nspname, c.relname), null\n    \
                 from pg_constraint f join watched w on w.class = 'pg_class'::regclass and f.confrelid = w.id\n    \
                 join pg_class c on c.oid = f.conrelid join pg_namespace n on n.oid = c.relnamespace\n   \
                where f.contype = 'f' and f.conrelid <> f.confrelid\n  \
               union\n  \
               select 'publication ' || quote_ident(p.pubname), null\n    \
                 from pg_publication_rel r join watched w on w.class = 'pg_class'::regclass and r.prrelid = w.id\n    \
                 join pg_publication p on p.oid = r.prpubid\n  \
               union\n  \
               select 'trigger ' || quote_ident(t.tgname), null\n    \
                 from pg_trigger t join watched w on w.class = 'pg_class'::regclass and t.tgrelid = w.id where not t.tgisinternal\n  \
               union\n  \
               select 'policy ' || quote_ident(p.polname), null\n    \
                 from pg_policy p join watched w on w.class = 'pg_class'::regclass and p.polrelid = w.id\n\
             )\n\
             select name, coalesce(starts_with(comment, $4), false) as is_ours from reader order by is_ours, name",
            &[
                (&tables, Type::TEXT_ARRAY),
                (&views, Type::TEXT_ARRAY),
                (&functions, Type::TEXT_ARRAY),
                (&PREFIX, Type::TEXT),
            ],
        )
        .await?;
    let stranger = |row: &Row| Stranger {
        name: row.get("name"),
        is_ours: row.get("is_ours"),
    };
    Ok(rows.iter().map(stranger).collect())
}

/// What depends on a table that is about to be another one, if anything does.
pub(crate) async fn what_depends(
    session: &Session,
    dataset: &DatasetSpec,
) -> Result<Option<Refusal>, Error> {
    let members = members(session, dataset).await?;
    Ok(stranger(
        &strangers(session, dataset, &members).await?,
        dataset,
    ))
}

fn stranger(strangers: &[Stranger], dataset: &DatasetSpec) -> Option<Refusal> {
    let named = |wanted: bool| {
        let own = strangers
            .iter()
            .filter(|stranger| stranger.is_ours == wanted);
        let names: Vec<String> = own.map(|own| format!("`{}`", own.name)).collect();
        names.join(", ")
    };
    let (theirs, ours) = (named(false), named(true));
    let (names, remedy) = match (theirs.as_str(), ours.as_str()) {
        ("", "") => return None,
        ("", ours) => (
            ours,
            "no published stream has it any more: `merge-job reconcile-views` drops it",
        ),
        (theirs, _) => (
            theirs,
            "drop it, do this again, then make it anew: it would stay with the table that is there now",
        ),
    };
    Some(Refusal {
        object: Object::Table(dataset.merge.clone()),
        difference: format!("something depends on it that is not in its plan: {names}"),
        remedy: remedy.to_owned(),
    })
}

/// Names in the schema that look like those of kept tables, of tables and of types: a table takes both.
async fn taken(session: &Session, dataset: &DatasetSpec) -> Result<BTreeSet<String>, Error> {
    let rows = session
        .query(
            "read the names of kept tables",
            "select c.relname::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace\n \
              where n.nspname = $1 and c.relname like '%\\_\\_until\\_%'\n\
             union select t.typname::text from pg_type t join pg_namespace n on n.oid = t.typnamespace\n \
              where n.nspname = $1 and t.typname like '%\\_\\_until\\_%'",
            &[(&dataset.merge.schema.as_str(), Type::TEXT)],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get("name")).collect())
}

/// What a publish refuses, or would change.
fn differences(spec: &StreamSpec, dataset: &DatasetSpec, catalog: &Catalog) -> Vec<String> {
    let changes = tables::differences(spec, catalog);
    let own = changes
        .iter()
        .filter(|change| *change.object() == Object::Table(dataset.merge.clone()));
    own.map(|change| match change {
        Change::Make(step) | Change::Migrate(Migration { step, .. }) => step.what.clone(),
        Change::Refuse(refusal) => refusal.difference.clone(),
    })
    .collect()
}

impl Rows {
    async fn count(
        session: &Session,
        dataset: &DatasetSpec,
        members: &[Member],
    ) -> Result<Self, Error> {
        let Some(table) = members.iter().find(|own| own.table == dataset.merge) else {
            return Ok(Self::default());
        };
        let live = if table.columns.contains(milestone::OUT) {
            format!("{} is null", milestone::OUT)
        } else {
            "true".to_owned()
        };
        let sql = format!(
            "select count(*) filter (where {live}) as live, count(*) filter (where not ({live})) as closed from {}",
            dataset.merge.quoted()
        );
        let rows = session.query("count the rows", &sql, &[]).await?;
        let count = |column: &str| rows.first().map_or(0, |row| row.get::<_, i64>(column));
        Ok(Self {
            live: count("live"),
            closed: count("closed"),
        })
    }
}

impl Doubled {
    async fn count(
        session: &Session,
        dataset: &DatasetSpec,
        catalog: &Catalog,
        members: &[Member],
    ) -> Result<Option<Self>, Error> {
        let table = members.iter().find(|own| own.table == dataset.merge);
        let (Some(table), true) = (table, catalog.has_typed(dataset, &dataset.key)) else {
            return Ok(None);
        };
        let live = if table.columns.contains(milestone::OUT) {
            format!(" where {} is null", milestone::OUT)
        } else {
            String::new()
        };
        let nulls: Vec<String> = dataset
            .key
            .iter()
            .map(|column| format!("{} is null", column.quoted()))
            .collect();
        let sql = format!(
            "select count(*) filter (where n > 1 and not is_null) as doubled, coalesce(sum(n) filter (where is_null), 0)::bigint as nulls\n  \
               from (select count(*) as n, {} as is_null from {}{live} group by {}) k",
            nulls.join(" or "),
            dataset.merge.quoted(),
            sql::names(&dataset.key)
        );
        let rows = session
            .query("count rows that share a key", &sql, &[])
            .await?;
        Ok(rows.first().map(|row| Self {
            values: row.get("doubled"),
            nulls: row.get("nulls"),
        }))
    }
}

async fn open(session: &Session, spec: &StreamSpec, dataset: &DatasetSpec) -> Result<i64, Error> {
    let values: [Bound<'_>; 3] = [
        (&spec.stream.platform, Type::TEXT),
        (&spec.stream.store, Type::TEXT),
        (&dataset.name, Type::TEXT),
    ];
    let rows = session
        .query(
            "count open entries",
            "select count(*) from milepost.quarantine where platform = $1 and store = $2 and dataset = $3 and status = 'open'",
            &values,
        )
        .await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}
