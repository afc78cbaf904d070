//! Rows as text for Postgres: `copy … from stdin` and `insert`.

use std::fmt::Write as _;

use milepost_job_spec::{DatasetSpec, SourcePosition, TableRef, staging};

use crate::{Image, StagedRow, TransactionEnd};

/// `copy` of a dataset's staging table from standard input; [`csv`] writes what it reads.
#[must_use]
pub fn copy_statement(dataset: &DatasetSpec) -> String {
    format!(
        "copy {} ({}) from stdin (format csv, null '\\N')",
        dataset.staging.quoted(),
        columns(dataset)
    )
}

/// Staged rows as CSV for [`copy_statement`].
#[must_use]
pub fn csv<'a>(rows: impl IntoIterator<Item = &'a StagedRow>) -> String {
    let mut text = String::new();
    for row in rows {
        line(&mut text, &fields(row));
    }
    text
}

/// `insert` of staged rows of one dataset, as a sink would: a redelivered record overwrites itself.
#[must_use]
pub fn insert_statement<'a>(
    dataset: &DatasetSpec,
    rows: impl IntoIterator<Item = &'a StagedRow>,
) -> String {
    let values: Vec<String> = rows
        .into_iter()
        .map(|row| {
            let literals: Vec<String> = fields(row).into_iter().map(literal).collect();
            format!("({})", literals.join(", "))
        })
        .collect();
    if values.is_empty() {
        return String::new();
    }
    format!(
        "insert into {} ({}) values\n{}\non conflict do nothing;\n",
        dataset.staging.quoted(),
        columns(dataset),
        values.join(",\n")
    )
}

/// `insert` of END events into the store's control table.
#[must_use]
pub fn insert_ends(table: &TableRef, ends: &[TransactionEnd]) -> String {
    if ends.is_empty() {
        return String::new();
    }
    let values: Vec<String> = ends
        .iter()
        .map(|end| {
            format!(
                "({}, {}, {}, {})",
                literal(Some(end.topic.clone())),
                end.partition,
                end.offset,
                literal(Some(end.payload.clone()))
            )
        })
        .collect();
    format!(
        "insert into {} (\"{}\", \"{}\", \"{}\", payload) values\n{}\non conflict do nothing;\n",
        table.quoted(),
        staging::TOPIC,
        staging::PARTITION,
        staging::OFFSET,
        values.join(",\n")
    )
}

/// Images, such as those of a truth, as CSV for `copy … (format csv, null '\N')`.
#[must_use]
pub fn images<'a>(rows: impl IntoIterator<Item = &'a Image>) -> String {
    let mut text = String::new();
    for image in rows {
        line(&mut text, image);
    }
    text
}

fn columns(dataset: &DatasetSpec) -> String {
    let own = dataset
        .columns
        .iter()
        .map(|column| column.staged_as.quoted());
    let position = SourcePosition::Postgres
        .staging_columns()
        .into_iter()
        .map(|column| format!("\"{}\"", column.name));
    own.chain(position).collect::<Vec<_>>().join(", ")
}

/// The row's values in the order of [`columns`].
fn fields(row: &StagedRow) -> Image {
    let deleted = matches!(row.op, crate::Op::Delete).to_string();
    let mut fields = row.columns.clone();
    fields.extend([
        Some(row.op.to_string()),
        Some(deleted),
        row.source_ts_us.map(|us| us.to_string()),
        row.sequence(),
        row.lsn.map(|lsn| lsn.to_string()),
        row.transaction_id.clone(),
        row.total_order.map(|order| order.to_string()),
        Some(row.snapshot.clone()),
        Some(row.topic.clone()),
        Some(row.partition.to_string()),
        Some(row.offset.to_string()),
    ]);
    fields
}

/// A line of CSV. Every value is quoted, so that only a bare `\N` is a null.
fn line(text: &mut String, fields: &[Option<String>]) {
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        match field {
            Some(value) => {
                let _ = write!(text, "\"{}\"", value.replace('"', "\"\""));
            }
            None => text.push_str("\\N"),
        }
    }
    text.push('\n');
}

fn literal(value: Option<String>) -> String {
    match value {
        // The E form reads the same whatever `standard_conforming_strings` says.
        Some(value) => format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "''")),
        None => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_null_is_bare_in_csv() {
        let image = vec![
            Some("\\N".to_owned()),
            None,
            Some("a\"b\nc".to_owned()),
            Some(String::new()),
        ];
        assert_eq!(images([&image]), "\"\\N\",\\N,\"a\"\"b\nc\",\"\"\n");
    }

    #[test]
    fn a_literal_survives_quotes_and_backslashes() {
        assert_eq!(literal(Some("a'b\\c".to_owned())), "E'a''b\\\\c'");
    }
}
