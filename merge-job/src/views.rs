//! What consumers see: per workspace a schema of views, and a role that may read it and nothing else.
//!
//! Tables are never a contract, views are. They belong to the job's role, so readers need no right on the schemas of the
//! platform. The as-of function runs with the rights of its caller on the history view beside it: it needs no
//! `security definer`, and without one the server can take it apart and search by index.
//!
//! A view carries the digest of its definition as its comment: it is made again when that differs. An object without such a
//! comment is somebody else's and is never touched.

use std::collections::BTreeSet;

use milepost_job_spec::{DatasetSpec, Digest, PgIdent, StreamSpec, TableRef, ViewSpec, milestone};

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
pub fn of_dataset(dataset: &DatasetSpec, catalog: &Catalog) -> Vec<Change> {
    dataset
        .views
        .iter()
        .filter_map(|view| of_view(dataset, view, catalog))
        .collect()
}

fn of_view(dataset: &DatasetSpec, view: &ViewSpec, catalog: &Catalog) -> Option<Change> {
    let definitions = definitions(dataset, view);
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
    if !definitions.iter().all(is_current) {
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
    dataset: &DatasetSpec,
    catalog: &Catalog,
    what: Vec<String>,
    statements: Vec<String>,
) -> Vec<Change> {
    let groups: Vec<(&ViewSpec, Vec<Definition>)> = dataset
        .views
        .iter()
        .map(|view| (view, definitions(dataset, view)))
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
fn definitions(dataset: &DatasetSpec, view: &ViewSpec) -> Vec<Definition> {
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
        let as_of = view.as_of.as_ref().map(in_schema);
        let function = as_of.map(|name| {
            let create = as_of_function(&name, &history, dataset);
            Definition::new(name, Kind::Function, create)
        });
        definitions.push(Definition::new(history, Kind::View, create));
        definitions.extend(function);
    }
    definitions
}

/// A row counts from its `dp_in` on and until before its `dp_out`.
///
/// The body is parsed now, so it depends on no search path, and the server unfolds it into the query that calls it.
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
          where v.{start} <= $1 and (v.{end} is null or v.{end} > $1);\n\
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
        let is_ours = found.is_view
            && found
                .comment
                .is_some_and(|comment| comment.starts_with(PREFIX));
        if !is_ours {
            return Err(Refusal {
                object: Object::View(definition.name.clone()),
                difference: "something else has its name, made by somebody else".to_owned(),
                remedy:
                    "move that object out of the workspace's schema, which belongs to the platform"
                        .to_owned(),
            });
        }
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

/// The statements that make a group. Whoever could read what stood there before may read it again.
fn creation(group: &[Definition], view: &ViewSpec, catalog: &Catalog) -> Vec<String> {
    let mut statements = Vec::new();
    for definition in group {
        statements.push(definition.create.clone());
        statements.push(format!(
            "comment on {} is {}",
            definition.sql(),
            sql::literal(&definition.comment)
        ));
        if definition.kind == Kind::Function {
            statements.push(format!("revoke all on {} from public", definition.sql()));
        }
        statements.push(grant(definition, &view.role));
        let others = found(definition, catalog).map(|found| found.readers);
        for role in others
            .into_iter()
            .flatten()
            .filter(|role| **role != view.role)
        {
            statements.push(grant(definition, role));
        }
    }
    statements
}

fn grant(definition: &Definition, role: &PgIdent) -> String {
    let role = role.quoted();
    match definition.kind {
        Kind::View => format!("grant select on {} to {role}", definition.name.quoted()),
        Kind::Function => format!("grant execute on {} to {role}", definition.sql()),
    }
}
