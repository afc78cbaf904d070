//! The tables at the end: what an analyst and an operator see.

use milepost_job_spec::{DatasetSpec, PgIdent, StreamSpec, ViewSpec, milestone};

use super::database::Database;
use super::table::draw;
use crate::failure::Failure;

/// More columns make lines that a terminal wraps.
const MOST_COLUMNS: usize = 5;
const MOST_ROWS: usize = 6;

/// Live rows, the history of a key, an as-of query and the metrics.
pub(super) async fn all(
    database: &Database,
    specs: &[&StreamSpec],
    earlier: &str,
) -> Result<String, Failure> {
    let datasets = || specs.iter().flat_map(|spec| &spec.datasets);
    let with_history = datasets().find_map(|dataset| {
        let mut views = dataset.views.iter();
        Some((dataset, views.find(|view| view.history.is_some())?))
    });
    let seen = datasets().find_map(|dataset| Some((dataset, dataset.views.first()?)));
    let mut text = String::new();
    if let Some((dataset, view)) = with_history.or(seen) {
        text += &live(database, dataset, view).await?;
        text += &history(database, dataset, view).await?;
        text += &as_of(database, dataset, view, earlier).await?;
    }
    text += &metrics(database).await?;
    Ok(text)
}

async fn live(
    database: &Database,
    dataset: &DatasetSpec,
    view: &ViewSpec,
) -> Result<String, Failure> {
    let from = qualified(view, &view.live);
    let sql = format!(
        "select {} from {from} order by {} limit {MOST_ROWS}",
        columns(dataset),
        key(dataset)
    );
    let count = database
        .text(&format!("select count(*) from {from}"))
        .await?;
    let title = format!("live rows of `{}`: {count}", dataset.name);
    titled(database, &title, &sql).await
}

/// The versions of the key that has most of them.
async fn history(
    database: &Database,
    dataset: &DatasetSpec,
    view: &ViewSpec,
) -> Result<String, Failure> {
    let Some(history) = &view.history else {
        return Ok(String::new());
    };
    let from = qualified(view, history);
    let key = key(dataset);
    let busiest =
        format!("select {key} from {from} group by {key} order by count(*) desc, {key} limit 1");
    let time = |column: &str| format!("to_char({column}, 'HH24:MI:SS.US') as {column}");
    let sql = format!(
        "select {}, {}, {} from {from}\nwhere ({key}) = ({busiest})\norder by {} limit {MOST_ROWS}",
        time(milestone::IN),
        time(milestone::OUT),
        columns(dataset),
        milestone::IN
    );
    let title = format!(
        "history of one key of `{}`: its versions, and when each was live",
        dataset.name
    );
    titled(database, &title, &sql).await
}

async fn as_of(
    database: &Database,
    dataset: &DatasetSpec,
    view: &ViewSpec,
    time: &str,
) -> Result<String, Failure> {
    let Some(as_of) = &view.as_of else {
        return Ok(String::new());
    };
    let from = format!("{}('{time}')", qualified(view, as_of));
    let sql = format!(
        "select {} from {from} order by {} limit {MOST_ROWS}",
        columns(dataset),
        key(dataset)
    );
    let count = database
        .text(&format!("select count(*) from {from}"))
        .await?;
    let title = format!(
        "`{}` as of the end of the first round: {count} rows",
        dataset.name
    );
    titled(database, &title, &sql).await
}

async fn metrics(database: &Database) -> Result<String, Failure> {
    let sql = "select platform || '/' || store || coalesce('#' || dataset, '') as stream, batch_number as batch, status,\n       \
               to_char(batch_time, 'HH24:MI:SS.US') as batch_time, rows_staged as staged, rows_inserted as inserted,\n       \
               rows_updated as updated, rows_deleted as deleted, rows_unchanged as unchanged, rows_closed as closed,\n       \
               round(extract(epoch from finished_at - started_at) * 1000) as ms\n  \
               from milepost.batches order by id";
    titled(database, "metrics of every batch", sql).await
}

/// The query as an analyst would type it, and its result.
async fn titled(database: &Database, title: &str, sql: &str) -> Result<String, Failure> {
    const NUMBERS: [&str; 8] = [
        "batch",
        "staged",
        "inserted",
        "updated",
        "deleted",
        "unchanged",
        "closed",
        "ms",
    ];
    let rows = database.rows(sql).await?;
    let shown = sql.replace('\n', "\n   ");
    Ok(format!(
        "\n== {title}\n   {shown};\n{}",
        draw(&rows, &NUMBERS)
    ))
}

fn qualified(view: &ViewSpec, name: &PgIdent) -> String {
    format!("{}.{}", view.schema.quoted(), name.quoted())
}

/// The key's columns, and the first of the others.
fn columns(dataset: &DatasetSpec) -> String {
    let values = dataset.value_columns().map(|column| &column.name);
    let names = dataset.key.iter().chain(values).take(MOST_COLUMNS);
    let names: Vec<String> = names.map(PgIdent::quoted).collect();
    names.join(", ")
}

fn key(dataset: &DatasetSpec) -> String {
    let names: Vec<String> = dataset.key.iter().map(PgIdent::quoted).collect();
    names.join(", ")
}
