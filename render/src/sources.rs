//! SQL for the owner of a source: one file that prepares it, one that asks for snapshots of what was added.

use milepost_job_spec::TableRef;
use milepost_platform::plan::{CapturedDataset, SourceDialect, SourceFiles};
use serde::Serialize;

use crate::engine::{Name, Template, TemplateError};

const POSTGRES_PREPARE: Template = Template {
    path: "sources/postgres/prepare.psql.tera",
    text: include_str!("../../templates/sources/postgres/prepare.psql.tera"),
};
const POSTGRES_SNAPSHOT: Template = Template {
    path: "sources/postgres/snapshot.psql.tera",
    text: include_str!("../../templates/sources/postgres/snapshot.psql.tera"),
};
const MYSQL_PREPARE: Template = Template {
    path: "sources/mysql/prepare.mysql.tera",
    text: include_str!("../../templates/sources/mysql/prepare.mysql.tera"),
};
const MYSQL_SNAPSHOT: Template = Template {
    path: "sources/mysql/snapshot.mysql.tera",
    text: include_str!("../../templates/sources/mysql/snapshot.mysql.tera"),
};

/// How often the client of MySQL, which has no loop, waits two seconds for a connector: as many statements.
const WAITS: u32 = 30;

/// What the templates of both files see.
#[derive(Serialize)]
struct SourceContext<'a> {
    schema: Name<'a>,
    signals: Name<'a>,
    signals_text: String,
    captured: Name<'a>,
    publication: Option<Name<'a>>,
    publication_text: Option<&'a str>,
    heartbeat: Name<'a>,
    heartbeat_text: String,
    captures: &'a str,
    schemas: Vec<Name<'a>>,
    tables: Vec<TableContext<'a>>,
    large: Vec<TableContext<'a>>,
    datasets: Vec<DatasetContext<'a>>,
    waits: Vec<u32>,
}

#[derive(Serialize)]
struct TableContext<'a> {
    schema: Name<'a>,
    name: Name<'a>,
    schema_text: &'a str,
    name_text: &'a str,
    /// Both, as a part of a statement that the source puts together itself.
    text: String,
}

#[derive(Serialize)]
struct DatasetContext<'a> {
    id: &'a str,
    dataset: &'a str,
    schema_text: &'a str,
    table_text: &'a str,
    columns: &'a str,
    request: Option<&'a str>,
}

/// `prepare.sql`.
pub(crate) fn prepare(files: &SourceFiles) -> Result<String, TemplateError> {
    let template = match files.dialect {
        SourceDialect::Postgres { .. } => POSTGRES_PREPARE,
        SourceDialect::MySql => MYSQL_PREPARE,
    };
    template.render(&context(files))
}

/// `snapshot.sql`.
pub(crate) fn snapshot(files: &SourceFiles) -> Result<String, TemplateError> {
    let template = match files.dialect {
        SourceDialect::Postgres { .. } => POSTGRES_SNAPSHOT,
        SourceDialect::MySql => MYSQL_SNAPSHOT,
    };
    template.render(&context(files))
}

fn context(files: &SourceFiles) -> SourceContext<'_> {
    let publication = match &files.dialect {
        SourceDialect::Postgres { publication } => Some(publication.as_str()),
        SourceDialect::MySql => None,
    };
    let large = |dataset: &&CapturedDataset| dataset.has_large_values;
    SourceContext {
        schema: name(files.signals.schema.as_str()),
        signals: table_name(&files.signals),
        signals_text: in_backticks(files.signals.schema.as_str(), files.signals.name.as_str()),
        captured: table_name(&files.captured),
        publication: publication.map(name),
        publication_text: publication,
        heartbeat: table_name(&files.heartbeat),
        heartbeat_text: in_backticks(
            files.heartbeat.schema.as_str(),
            files.heartbeat.name.as_str(),
        ),
        captures: &files.captures,
        schemas: files.schemas.iter().map(|schema| name(schema)).collect(),
        tables: files
            .tables
            .iter()
            .map(|(schema, name)| table(schema, name))
            .collect(),
        large: files
            .datasets
            .iter()
            .filter(large)
            .map(|dataset| table(&dataset.schema, &dataset.table))
            .collect(),
        datasets: files.datasets.iter().map(dataset).collect(),
        waits: (1..=WAITS).collect(),
    }
}

const fn name(name: &str) -> Name<'_> {
    Name { name }
}

fn table_name(table: &TableRef) -> Name<'_> {
    name(table.name.as_str())
}

fn table<'a>(schema: &'a str, table: &'a str) -> TableContext<'a> {
    TableContext {
        schema: name(schema),
        name: name(table),
        schema_text: schema,
        name_text: table,
        text: in_backticks(schema, table),
    }
}

fn dataset(dataset: &CapturedDataset) -> DatasetContext<'_> {
    DatasetContext {
        id: &dataset.id,
        dataset: &dataset.dataset,
        schema_text: &dataset.schema,
        table_text: &dataset.table,
        columns: &dataset.columns,
        request: dataset.request.as_deref(),
    }
}

/// A table as MySQL writes it.
fn in_backticks(schema: &str, table: &str) -> String {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    format!("{}.{}", quoted(schema), quoted(table))
}
