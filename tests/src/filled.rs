use milepost_job_spec::{ColumnSpec, DatasetSpec};
use milepost_simulator::{Image, Op, StagedRow, value};

/// The image after the row, none after a delete; an error where a placeholder, a null or a cast forbids it.
pub(crate) fn filled(
    spec: &DatasetSpec,
    row: &StagedRow,
    from: Option<&Image>,
) -> Result<Option<Image>, ()> {
    let value = |(place, column): (usize, &ColumnSpec)| match &row.columns[place] {
        Some(text) if value::is_placeholder(column, text) => Ok(from.ok_or(())?[place].clone()),
        Some(text) if text == value::UNCASTABLE && column.merge_type != "text" => Err(()),
        None if !column.nullable => Err(()),
        other => Ok(other.clone()),
    };
    match row.op {
        Op::Delete | Op::Truncate => Ok(None),
        _ => spec
            .columns
            .iter()
            .enumerate()
            .map(value)
            .collect::<Result<_, _>>()
            .map(Some),
    }
}
