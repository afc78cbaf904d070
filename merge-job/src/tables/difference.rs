//! What separates one table from its shape. Pure.

mod layout;

use std::collections::BTreeSet;

use milepost_job_spec::{DatasetSpec, PgIdent, StreamSpec};

use super::catalog::{Catalog, Column, Relation};
use super::change::{Change, Conversion, Kept, Migration, Object, Refusal, Retype, Step};
use super::mark::Mark;
use super::shape::{self, ColumnShape, Layout, Purpose, TableShape};
use super::widening::is_widening;
use crate::sql;

/// The command that makes a merge table anew, and where it is described.
const REBUILD: &str = "`merge-job rebuild` (docs/operations.md, \"A table that is made anew\")";

/// What a table needs to be what its shape says.
pub(super) enum Difference {
    /// Nothing.
    None,
    /// One additive step; `retypes` where a column changes its type.
    Step {
        what: Vec<String>,
        statements: Vec<String>,
        retypes: bool,
    },
    /// One step that casts values of columns, or gives the table another layout.
    Migration {
        step: Step,
        retypes: Vec<Retype>,
        conversion: Option<Conversion>,
    },
    /// More than that.
    Refused(Vec<Refusal>),
}

impl Difference {
    /// `command` prints the plan of a migration.
    pub(super) fn into_changes(self, shape: &TableShape, command: &str) -> Vec<Change> {
        let object = Object::Table(shape.table.clone());
        match self {
            Self::None => Vec::new(),
            Self::Step {
                what, statements, ..
            } => {
                vec![Change::Make(Step {
                    object,
                    what: what.join(", "),
                    statements,
                })]
            }
            Self::Migration {
                step,
                retypes,
                conversion,
            } => vec![Change::Migrate(Migration {
                step,
                retypes,
                conversion,
                command: command.to_owned(),
            })],
            Self::Refused(refusals) => refusals.into_iter().map(Change::Refuse).collect(),
        }
    }
}

/// The schemas of the platform: staging and merge.
pub(super) fn of_schemas(spec: &StreamSpec, catalog: &Catalog) -> Vec<Change> {
    let wanted: BTreeSet<PgIdent> = shape::of_stream(spec)
        .into_iter()
        .map(|shape| shape.table.schema)
        .collect();
    wanted
        .into_iter()
        .filter(|schema| !catalog.schemas.contains_key(schema))
        .map(|schema| missing_schema(schema, catalog))
        .collect()
}

/// Makes a schema, or says who must.
pub(crate) fn missing_schema(schema: PgIdent, catalog: &Catalog) -> Change {
    let create = format!("create schema if not exists {}", schema.quoted());
    let object = Object::Schema(schema);
    if catalog.may.schemas {
        Change::Make(Step {
            object,
            what: "creates it".to_owned(),
            statements: vec![create],
        })
    } else {
        Change::Refuse(Refusal {
            object,
            difference: "it does not exist, and the job's role may not create schemas".to_owned(),
            remedy: format!(
                "as the database's owner: `{create} authorization <the job's role>`, or grant it CREATE on the database"
            ),
        })
    }
}

/// Compares a table with its shape; `dataset` is the one that the table belongs to.
pub(super) fn of_table(
    shape: &TableShape,
    catalog: &Catalog,
    dataset: Option<&DatasetSpec>,
    command: &str,
) -> Difference {
    let mut findings = Findings::new(shape, dataset, command);
    findings.check_types();
    let merged_into = dataset.and_then(|dataset| catalog.merged_into(dataset));
    if shape.purpose == Purpose::Merge
        && let Some(table) = merged_into.filter(|table| **table != shape.table)
    {
        findings.refuse(
            format!("rows of the dataset were merged into `{table}` until now"),
            "publish a plan that names that table: no release renames one".to_owned(),
        );
        return findings.end();
    }
    match catalog.relations.get(&shape.table) {
        None => findings.missing(merged_into.is_some()),
        Some(relation) => {
            if findings.check_kind(relation, catalog) {
                let relation = findings.converted(relation);
                findings.check_columns(&relation);
                findings.check_heaps(&relation, catalog);
            }
            findings.check_mark(relation);
        }
    }
    findings.end()
}

/// What was found so far.
struct Findings<'a> {
    shape: &'a TableShape,
    object: Object,
    refusals: Vec<Refusal>,
    what: Vec<String>,
    statements: Vec<String>,
    added: Vec<&'a PgIdent>,
    widens: bool,
    retypes: Vec<Retype>,
    conversion: Option<Conversion>,
    dataset: Option<&'a DatasetSpec>,
    command: &'a str,
}

impl<'a> Findings<'a> {
    fn new(shape: &'a TableShape, dataset: Option<&'a DatasetSpec>, command: &'a str) -> Self {
        Self {
            shape,
            dataset,
            command,
            object: Object::Table(shape.table.clone()),
            refusals: Vec::new(),
            what: Vec::new(),
            statements: Vec::new(),
            added: Vec::new(),
            widens: false,
            retypes: Vec::new(),
            conversion: None,
        }
    }

    fn refuse(&mut self, difference: String, remedy: String) {
        self.refusals.push(Refusal {
            object: self.object.clone(),
            difference,
            remedy,
        });
    }

    fn alter(&mut self, what: String, action: &str) {
        self.what.push(what);
        self.statements.push(format!(
            "alter table {} {action}",
            self.shape.table.quoted()
        ));
    }

    fn end(mut self) -> Difference {
        if !self.refusals.is_empty() {
            let (object, command) = (&self.object, self.command);
            let conversion = self
                .conversion
                .iter()
                .map(|own| own.refusal(object.clone(), command));
            let retypes = self
                .retypes
                .iter()
                .map(|own| own.refusal(object.clone(), command));
            self.refusals.extend(conversion.chain(retypes));
            Difference::Refused(self.refusals)
        } else if !self.retypes.is_empty() || self.conversion.is_some() {
            Difference::Migration {
                step: Step {
                    object: self.object,
                    what: self.what.join(", "),
                    statements: self.statements,
                },
                retypes: self.retypes,
                conversion: self.conversion,
            }
        } else if self.statements.is_empty() {
            Difference::None
        } else {
            Difference::Step {
                what: self.what,
                statements: self.statements,
                retypes: self.widens,
            }
        }
    }

    /// A type enters SQL as it is, so it must be a type and nothing else.
    fn check_types(&mut self) {
        for column in self
            .shape
            .columns
            .iter()
            .filter(|column| !sql::is_type(&column.data_type))
        {
            self.refuse(
                format!(
                    "`{}` is no name of a type (column `{}`)",
                    column.data_type, column.name
                ),
                "render and publish the plan again with a released milepost".to_owned(),
            );
        }
    }

    fn missing(&mut self, gone: bool) {
        if gone && self.shape.purpose == Purpose::Staging {
            self.refuse(
                "it is gone, although batches have merged rows from it".to_owned(),
                "what was staged and not merged is lost with it: make it again (`merge-job ddl`), then set the sink's consumer group back to the watermarks in milepost.positions"
                    .to_owned(),
            );
        } else if gone {
            self.refuse(
                "it is gone, although batches have merged rows into it".to_owned(),
                format!(
                    "restore it from a backup with schema `milepost` of the same moment; a new table lacks what is merged already, \
                     until it comes again: {REBUILD}"
                ),
            );
        } else {
            self.what.push("creates it".to_owned());
            self.statements = self.shape.create();
        }
    }

    fn check_columns(&mut self, relation: &Relation) {
        let mark = Mark::read(relation.comment.as_deref());
        for wanted in &self.shape.columns {
            match relation
                .columns
                .iter()
                .find(|column| column.name == wanted.name)
            {
                Some(actual) => self.compare(wanted, actual),
                None => self.missing_column(wanted, mark.as_ref()),
            }
        }
        let spare = relation.columns.iter().filter(|column| {
            column.not_null
                && !column.filled
                && !column.generated
                && !self
                    .shape
                    .columns
                    .iter()
                    .any(|wanted| wanted.name == column.name)
                && !relation.key.contains(&column.name)
        });
        let spare: Vec<&Column> = spare.collect();
        for column in spare {
            self.relax(&column.name);
        }
    }

    fn missing_column(&mut self, wanted: &'a ColumnShape, mark: Option<&Mark>) {
        let ColumnShape {
            name, data_type, ..
        } = wanted;
        let dropped = mark.is_some_and(|mark| mark.columns.contains(name.as_str()));
        let add = format!("add column {} {data_type}", name.quoted());
        if mark.is_some() && !dropped && self.is_key(name) {
            self.refuse(
                format!("it has no column `{name}`, which belongs to the key that its spec says"),
                format!("keep the key of the model, or have the table made anew: {REBUILD}"),
            );
            return;
        }
        if dropped || self.shape.is_essential(name) {
            self.refuse(
                format!("column `{name}` is missing: somebody dropped or renamed it"),
                format!(
                    "rename it back, or restore it: `alter table {} {add}`, filled from a backup or from the source",
                    self.shape.table.quoted()
                ),
            );
        } else {
            // Nullable even where the spec is not: rows of the older shape have null.
            self.alter(
                format!("adds column `{name}` {data_type}"),
                &format!("add column if not exists {} {data_type}", name.quoted()),
            );
            self.added.push(name);
        }
    }

    /// Is it a column of the dataset's key, and not one of ours?
    fn is_key(&self, column: &PgIdent) -> bool {
        let heap = match &self.shape.layout {
            Layout::Plain(heap) => heap,
            Layout::ByEnd { live, .. } => &live.heap,
        };
        self.shape.purpose == Purpose::Merge && heap.key.contains(column)
    }

    fn compare(&mut self, wanted: &ColumnShape, actual: &Column) {
        let ColumnShape {
            name,
            data_type,
            nullable,
        } = wanted;
        if actual.generated {
            self.refuse(
                format!("column `{name}` is computed by the server"),
                format!(
                    "`alter table {} alter column {} drop expression`",
                    self.shape.table.quoted(),
                    name.quoted()
                ),
            );
        }
        if actual.data_type != *data_type {
            if is_widening(&actual.data_type, data_type) {
                self.alter_type(
                    format!(
                        "widens column `{name}` from {} to {data_type}",
                        actual.data_type
                    ),
                    wanted,
                    actual,
                    "",
                );
                self.widens = true;
            } else if let Some(kept) = self.kept(name) {
                self.retype(wanted, actual, kept);
            } else {
                self.refuse(
                    format!(
                        "column `{name}` is {}, its spec says {data_type}",
                        actual.data_type
                    ),
                    "restore the column as merge-job made it: it is the platform's own".to_owned(),
                );
            }
        }
        if *nullable && actual.not_null {
            self.relax(name);
        }
    }

    /// PostgreSQL 18 makes constraints of a partitioned table anew where a type changes, and stumbles over those that its
    /// partitions have under names of their own. These stay meanwhile.
    fn alter_type(&mut self, what: String, wanted: &ColumnShape, actual: &Column, using: &str) {
        let column = wanted.name.quoted();
        let alter = format!("alter column {column} type {}{using}", wanted.data_type);
        let mut actions = vec![alter];
        if actual.pinned {
            actions.insert(0, format!("alter column {column} drop not null"));
            actions.push(format!("alter column {column} set not null"));
        }
        let table = self.shape.table.quoted();
        self.what.push(what);
        self.statements.extend(
            actions
                .iter()
                .map(|action| format!("alter table {table} {action}")),
        );
    }

    /// What else keeps the values of a column of the source; none where it is one of ours, whose type no spec changes.
    fn kept(&self, column: &PgIdent) -> Option<Kept> {
        let dataset = self.dataset?;
        let is_merge = self.shape.purpose == Purpose::Merge;
        let own = dataset.columns.iter().find(|own| {
            let name = if is_merge { &own.name } else { &own.staged_as };
            name == column
        })?;
        Some(match (dataset.key.contains(&own.name), is_merge) {
            (false, _) => Kept::Nowhere,
            (true, true) => Kept::AsJson,
            (true, false) => Kept::AsText,
        })
    }

    fn retype(&mut self, wanted: &ColumnShape, actual: &Column, kept: Kept) {
        let (from, to) = (&actual.data_type, &wanted.data_type);
        let name = wanted.name.quoted();
        self.alter_type(
            format!("casts column `{}` from {from} to {to}", wanted.name),
            wanted,
            actual,
            &format!(" using cast({name} as {to})"),
        );
        self.retypes.push(Retype {
            table: self.shape.table.clone(),
            column: wanted.name.clone(),
            from: from.clone(),
            to: to.clone(),
            kept,
        });
    }

    fn relax(&mut self, column: &PgIdent) {
        self.alter(
            format!("lets column `{column}` be null"),
            &format!("alter column {} drop not null", column.quoted()),
        );
    }

    /// A table that is not marked as ours is used as it is, but never changed. New columns go into the mark.
    fn check_mark(&mut self, relation: &Relation) {
        if self.statements.is_empty() || !self.refusals.is_empty() {
            return;
        }
        match Mark::read(relation.comment.as_deref()) {
            None => {
                let mut mark = Mark::of(self.shape);
                let own = |column: &Column| column.name.as_str().to_owned();
                mark.columns = relation.columns.iter().map(own).collect();
                self.refuse(
                    format!(
                        "it needs a change ({}) and was not made by merge-job",
                        self.what.join(", ")
                    ),
                    format!(
                        "if it is the platform's, say so: `{}`",
                        mark.comment(&self.shape.table)
                    ),
                );
            }
            Some(mut mark) if !self.added.is_empty() || self.conversion.is_some() => {
                if let Some(conversion) = self.conversion {
                    conversion.mark(&mut mark.columns);
                }
                mark.columns
                    .extend(self.added.iter().map(|name| name.as_str().to_owned()));
                self.statements.push(mark.comment(&self.shape.table));
            }
            Some(_) => {}
        }
    }
}
