//! What consumers see: per workspace a schema of views, and a role that may read it and nothing else.
//!
//! Tables are never a contract, views are. They belong to the job's role, so readers need no right on the schemas of the
//! platform. The as-of function runs with the rights of its caller on the history view beside it: it needs no
//! `security definer`, and without one the server can take it apart and search by index. It asks a function beside it, once
//! per statement, whether history is whole as of a moment: that one reads a control table, so it runs with the rights of
//! the job's role, in the snapshot of whoever asks. Its name is that of the history view, which no other function has.
//!
//! A view carries the digest of its definition as its comment: it is made again when that differs. An object without such a
//! comment is somebody else's and is never touched.

use std::collections::BTreeSet;

use milepost_job_spec::{
    DatasetSpec, Digest, PgIdent, StreamKey, StreamSpec, TableRef, ViewSpec, milestone,
};

use crate::sql;
use crate::tables::catalog::Catalog;
use crate::tables::mark::PREFIX;
use crate::tables::{Change, Object, Refusal, Step, missing_schema};

/// A view or function as it should be.
struct Definition {
    name: TableRef,
    kind: Kind,
    /// The statement that makes it.
    create: String,
    /// The comment that says which definition it has.
    comment: String,
    /// Whoever may call what asks it may call it, too: it tells the horizon and nothing else.
    is_open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    View,
    Function,
}

/// The schemas and roles of the workspaces that read the stream.
#[must_use]
pub fn of_workspaces(spec: &StreamSpec, catalog: &Catalog) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut seen = Vec::new();
    for view in spec.datasets.iter().flat_map(|dataset| &dataset.views) {
        let workspace = (&view.schema, &view.role);
        if !seen.contains(&workspace) {
            seen.push(workspace);
            changes.extend(of_workspace(&view.schema, &view.role, catalog));
        }
    }
    changes
}

fn of_workspace(schema: &PgIdent, role: &PgIdent, catalog: &Catalog) -> Vec<Change> {
    let mut changes = Vec::new();
    if !catalog.roles.contains(role) {
        changes.push(missing_role(role, catalog));
    }
    let readers = catalog.schemas.get(schema);
    if readers.is_none() {
        changes.push(missing_schema(schema.clone(), catalog));
    }
    if !readers.is_some_and(|readers| readers.contains(role))
        && !changes
            .iter()
            .any(|change| matches!(change, Change::Refuse(_)))
    {
        changes.push(Change::Make(Step {
            object: Object::Schema(schema.clone()),
            what: format!("lets role `{role}` use it"),
            statements: vec![format!(
                "grant usage on schema {} to {}",
                schema.quoted(),
                role.quoted()
            )],
        }));
    }
    changes
}

fn missing_role(role: &PgIdent, catalog: &Catalog) -> Change {
    let object = Object::Role(role.clone());
    let create = format!("create role {} nologin", role.quoted());
    if !catalog.may.roles {
        return Change::Refuse(Refusal {
            object,
            difference: "it does not exist, and the job's role may not create roles".to_owned(),
            remedy: format!("as a superuser: `{create}`, or give the job's role CREATEROLE"),
        });
    }
    // Roles belong to the whole cluster: another database's publish may make the same one in this moment.
    let body = format!(
        "begin {create}; exception when duplicate_object or unique_violation then null; end"
    );
    Change::Make(Step {
        object,
        what: "creates it".to_owned(),
        statements: vec![format!("do {}", sql::literal(&body))],
    })
}

/// What separates the views of a dataset from its spec.
#[must_use]
pub fn of_dataset(stream: &StreamKey, dataset: &DatasetSpec, catalog: &Catalog) -> Vec<Change> {
    dataset
        .views
        .iter()
        .filter_map(|view| of_view(stream, dataset, view, catalog))
        .collect()
}

fn of_view(
    stream: &StreamKey,
    dataset: &DatasetSpec,
    view: &ViewSpec,
    catalog: &Catalog,
) -> Option<Change> {
    let definitions = definitions(stream, dataset, view);
    let object = Object::View(definitions[0].name.clone());
    let step = |what: &str, statements| {
        Some(Change::Make(Step {
            object: object.clone(),
            what: what.to_owned(),
            statements,
        }))
    };
    let is_current = |definition: &Definition| {
        found(definition, catalog).is_some_and(|found| found.comment == Some(&definition.comment))
    };
    let (views, functions): (Vec<&Definition>, Vec<&Definition>) = definitions
        .iter()
        .filter(|definition| !is_current(definition))
        .partition(|definition| definition.kind == Kind::View);
    if views.is_empty() && !functions.is_empty() {
        return match replacement(&functions, view, catalog) {
            Ok(statements) => step("makes its functions", statements),
            Err(refusal) => Some(Change::Refuse(refusal)),
        };
    }
    if !views.is_empty() {
        return match removal(&definitions, catalog) {
            Ok(mut statements) => {
                let what = if statements.is_empty() {
                    "creates it"
                } else {
                    "makes it again"
                };
                statements.extend(creation(&definitions, view, catalog));
                step(what, statements)
            }
            Err(refusal) => Some(Change::Refuse(refusal)),
        };
    }
    let unreadable: Vec<String> = definitions
        .iter()
        .filter(|definition| {
            found(definition, catalog).is_some_and(|found| !found.readers.contains(&view.role))
        })
        .map(|definition| grant(definition, &view.role))
        .collect();
    if unreadable.is_empty() {
        return None;
    }
    step(&format!("lets role `{}` read it", view.role), unreadable)
}

/// The step that changes a merge table together with all its views, which would otherwise stand in its way.
#[must_use]
pub fn around(
    stream: &StreamKey,
    dataset: &DatasetSpec,
    catalog: &Catalog,
    what: Vec<String>,
    statements: Vec<String>,
) -> Vec<Change> {
    let groups: Vec<(&ViewSpec, Vec<Definition>)> = dataset
        .views
        .iter()
        .map(|view| (view, definitions(stream, dataset, view)))
        .collect();
    let own: Vec<&TableRef> = groups
        .iter()
        .flat_map(|(_, group)| group.iter().map(|definition| &definition.name))
        .collect();
    let tables = [
        Some(&dataset.merge),
        dataset.live.as_ref(),
        dataset.closed.as_ref(),
    ];
    let stranger = tables
        .into_iter()
        .flatten()
        .filter_map(|table| catalog.relations.get(table))
        .flat_map(|relation| &relation.dependents)
        .find(|dependent| !own.contains(dependent));
    if let Some(stranger) = stranger {
        return vec![Change::Refuse(Refusal {
            object: Object::Table(dataset.merge.clone()),
            difference: format!(
                "it needs a change ({}) that view `{stranger}`, which the plan does not have, stands against",
                what.join(", ")
            ),
            remedy: format!("`drop view {}`, then publish again", stranger.quoted()),
        })];
    }
    let mut all = Vec::new();
    for (_, group) in &groups {
        match removal(group, catalog) {
            Ok(removal) => all.extend(removal),
            Err(refusal) => return vec![Change::Refuse(refusal)],
        }
    }
    all.extend(statements);
    for (view, group) in &groups {
        all.extend(creation(group, view, catalog));
    }
    vec![Change::Make(Step {
        object: Object::Table(dataset.merge.clone()),
        what: what.join(", "),
        statements: all,
    })]
}

/// The views and the function of a workspace on a dataset, each after what it reads.
fn definitions(stream: &StreamKey, dataset: &DatasetSpec, view: &ViewSpec) -> Vec<Definition> {
    let columns = || dataset.columns.iter().map(|column| &column.name);
    let (list, merge) = (sql::names_of("v", columns()), dataset.merge.quoted());
    let in_schema = |name: &PgIdent| TableRef {
        schema: view.schema.clone(),
        name: name.clone(),
    };

    let live = in_schema(&view.live);
    let appended = if dataset.strategy.is_append() {
        format!(", v.{}, v.{}", milestone::IN, milestone::OP)
    } else {
        String::new()
    };
    let only_live = if dataset.strategy.is_milestoned() {
        format!("\n where v.{} is null", milestone::OUT)
    } else {
        String::new()
    };
    let create = format!(
        "create view {} as\nselect {list}{appended}\n  from {merge} v{only_live}",
        live.quoted()
    );
    let mut definitions = vec![Definition::new(live, Kind::View, create)];

    if let Some(history) = &view.history {
        let history = in_schema(history);
        let create = format!(
            "create view {} as\nselect {list}, v.{}, v.{}, v.{}\n  from {merge} v",
            history.quoted(),
            milestone::IN,
            milestone::OUT,
            milestone::SOURCE_TS
        );
        definitions.push(Definition::new(history.clone(), Kind::View, create));
        if let Some(as_of) = view.as_of.as_ref().map(in_schema) {
            let create = horizon_function(&history, stream, dataset);
            definitions.push(Definition {
                is_open: true,
                ..Definition::new(history.clone(), Kind::Function, create)
            });
            let create = as_of_function(&as_of, &history, dataset);
            definitions.push(Definition::new(as_of, Kind::Function, create));
        }
    }
    definitions
}

/// Refuses a moment before the horizon, of which some versions are gone; true for any other.
///
/// It sees what its caller's statement sees: one that does not see the horizon yet still sees all versions.
fn horizon_function(history: &TableRef, stream: &StreamKey, dataset: &DatasetSpec) -> String {
    let body = format!(
        "declare\n  \
           horizon timestamptz := (select r.history_from from milepost.retention r\n                           \
                                    where r.platform = {platform} and r.store = {store} and r.dataset = {name});\n\
         begin\n  \
           if $1 < horizon then\n    \
             raise exception using errcode = '22008',\n      \
               message = format('history of %s is kept from %s on: rows as of %s are not known any more', {whole}, horizon, $1),\n      \
               hint = 'Ask as of a later moment; the model says how long versions are kept.';\n  \
           end if;\n  \
           return true;\n\
         end",
        platform = sql::literal(&stream.platform),
        store = sql::literal(&stream.store),
        name = sql::literal(&dataset.name),
        whole = sql::literal(&format!("{}#{}", stream.store, dataset.name)),
    );
    format!(
        "create function {history}(timestamptz) returns boolean\n\
         language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp\n\
         as {body}",
        history = history.quoted(),
        body = sql::literal(&body),
    )
}

/// A row counts from its `dp_in` on and until before its `dp_out`.
///
/// The body is parsed now, so it depends on no search path, and the server unfolds it into the query that calls it. What asks
/// for the horizon has no column in it: it is asked before the first row is read, and once.
fn as_of_function(name: &TableRef, history: &TableRef, dataset: &DatasetSpec) -> String {
    let returned = sql::list(
        dataset
            .columns
            .iter()
            .map(|column| format!("{} {}", column.name.quoted(), column.merge_type)),
    );
    let list = sql::names_of("v", dataset.columns.iter().map(|column| &column.name));
    format!(
        "create function {name}(timestamptz) returns table ({returned})\n\
         language sql stable parallel safe\n\
         begin atomic\n\
         select {list}\n  \
           from {history} v\n \
          where {history}($1) and v.{start} <= $1 and (v.{end} is null or v.{end} > $1);\n\
         end",
        name = name.quoted(),
        history = history.quoted(),
        start = milestone::IN,
        end = milestone::OUT,
    )
}

impl Definition {
    fn new(name: TableRef, kind: Kind, create: String) -> Self {
        let comment = format!("{PREFIX}{}", Digest::of(create.as_bytes()));
        Self {
            name,
            kind,
            create,
            comment,
            is_open: false,
        }
    }

    /// How statements name it: `view "risk"."shop__orders"`.
    fn sql(&self) -> String {
        match self.kind {
            Kind::View => format!("view {}", self.name.quoted()),
            Kind::Function => format!("function {}(timestamptz)", self.name.quoted()),
        }
    }
}

/// What stands under a definition's name.
struct Found<'a> {
    comment: Option<&'a String>,
    readers: &'a BTreeSet<PgIdent>,
    dependents: &'a BTreeSet<TableRef>,
    is_view: bool,
}

fn found<'a>(definition: &Definition, catalog: &'a Catalog) -> Option<Found<'a>> {
    match definition.kind {
        Kind::View => catalog
            .relations
            .get(&definition.name)
            .map(|relation| Found {
                comment: relation.comment.as_ref(),
                readers: &relation.readers,
                dependents: &relation.dependents,
                is_view: relation.kind == "v",
            }),
        Kind::Function => catalog
            .functions
            .get(&definition.name)
            .map(|function| Found {
                comment: function.comment.as_ref(),
                readers: &function.readers,
                dependents: &function.dependents,
                is_view: true,
            }),
    }
}

/// The statements that remove what is ours of a group, each before what it reads; refused where something is not ours, or
/// somebody's own view reads it.
fn removal(group: &[Definition], catalog: &Catalog) -> Result<Vec<String>, Refusal> {
    let mut statements = Vec::new();
    for definition in group.iter().rev() {
        let Some(found) = found(definition, catalog) else {
            continue;
        };
        refuse_if_strange(definition, Some(&found))?;
        let own = |name: &TableRef| group.iter().any(|definition| definition.name == *name);
        if let Some(reader) = found.dependents.iter().find(|name| !own(name)) {
            return Err(Refusal {
                object: Object::View(definition.name.clone()),
                difference: format!("it must be made again, and `{reader}` reads it"),
                remedy: format!("drop `{reader}`, publish again, then make it again"),
            });
        }
        statements.push(format!(
            "drop {}",
            definition.sql().replacen(' ', " if exists ", 1)
        ));
    }
    Ok(statements)
}

/// The statements that make functions anew where their views are what they should be: in place where somebody's view reads
/// one, so that nothing stands in the way.
fn replacement(
    functions: &[&Definition],
    view: &ViewSpec,
    catalog: &Catalog,
) -> Result<Vec<String>, Refusal> {
    let mut statements = Vec::new();
    for &definition in functions {
        let found = found(definition, catalog);
        refuse_if_strange(definition, found.as_ref())?;
        // A function that returns rows can only be replaced by one that returns the same columns.
        let in_place = definition.is_open
            || found
                .as_ref()
                .is_some_and(|found| !found.dependents.is_empty());
        if found.is_some() && !in_place {
            statements.push(format!("drop {}", definition.sql()));
        }
        let create = if in_place {
            let words = "create or replace function";
            definition.create.replacen("create function", words, 1)
        } else {
            definition.create.clone()
        };
        statements.extend(made(definition, create, view, catalog));
    }
    Ok(statements)
}

/// What has the name of a definition must be ours.
fn refuse_if_strange(definition: &Definition, found: Option<&Found<'_>>) -> Result<(), Refusal> {
    let is_ours = found.is_none_or(|found| {
        let comment = found.comment;
        found.is_view && comment.is_some_and(|comment| comment.starts_with(PREFIX))
    });
    if is_ours {
        return Ok(());
    }
    Err(Refusal {
        object: Object::View(definition.name.clone()),
        difference: "something else has its name, made by somebody else".to_owned(),
        remedy: "move that object out of the workspace's schema, which belongs to the platform"
            .to_owned(),
    })
}

/// The statements that make a group. Whoever could read what stood there before may read it again.
fn creation(group: &[Definition], view: &ViewSpec, catalog: &Catalog) -> Vec<String> {
    group
        .iter()
        .flat_map(|definition| made(definition, definition.create.clone(), view, catalog))
        .collect()
}

/// The statements that make one of a group.
fn made(
    definition: &Definition,
    create: String,
    view: &ViewSpec,
    catalog: &Catalog,
) -> Vec<String> {
    let name = definition.sql();
    let comment = sql::literal(&definition.comment);
    let mut statements = vec![create, format!("comment on {name} is {comment}")];
    if definition.is_open {
        statements.push(format!("grant execute on {name} to public"));
    } else if definition.kind == Kind::Function {
        statements.push(format!("revoke all on {name} from public"));
    }
    statements.push(grant(definition, &view.role));
    let readers = found(definition, catalog).map(|found| found.readers);
    let others = readers.into_iter().flatten();
    statements.extend(
        others
            .filter(|role| **role != view.role)
            .map(|role| grant(definition, role)),
    );
    statements
}

fn grant(definition: &Definition, role: &PgIdent) -> String {
    let role = role.quoted();
    match definition.kind {
        Kind::View => format!("grant select on {} to {role}", definition.name.quoted()),
        Kind::Function => format!("grant execute on {} to {role}", definition.sql()),
    }
}
