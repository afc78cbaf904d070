//! What the merge tables hold beside what the source holds.

use milepost_job_spec::{DatasetSpec, Outcome, StreamSpec};
use milepost_simulator::{Truth, copy};

use super::database::Database;
use crate::failure::Failure;

/// Demands that live rows are exactly the truth; returns how many there are of each dataset.
pub(super) async fn check_live(
    database: &Database,
    spec: &StreamSpec,
    truth: &Truth,
) -> Result<String, Failure> {
    let mut counts = Vec::new();
    for (dataset, rows) in spec.datasets.iter().zip(&truth.tables) {
        // What a consumer sees, where there is one.
        let from = match dataset.views.first() {
            Some(view) => format!("{}.{}", view.schema.quoted(), view.live.quoted()),
            None => dataset.live_table().quoted(),
        };
        let text = copy::images(rows.values());
        compare(database, dataset, &from, text, "live rows").await?;
        counts.push(format!("{} {}", rows.len(), dataset.name));
    }
    Ok(counts.join(", "))
}

/// Demands that the history, read as of a moment, is exactly the truth of that moment.
pub(super) async fn check_as_of(
    database: &Database,
    spec: &StreamSpec,
    truth: &Truth,
    time: &str,
) -> Result<(), Failure> {
    for (dataset, rows) in spec.datasets.iter().zip(&truth.tables) {
        for view in &dataset.views {
            if let Some(as_of) = &view.as_of {
                let from = format!("{}.{}('{time}')", view.schema.quoted(), as_of.quoted());
                let text = copy::images(rows.values());
                compare(
                    database,
                    dataset,
                    &from,
                    text,
                    &format!("rows as of {time}"),
                )
                .await?;
            }
        }
    }
    Ok(())
}

/// Compares record images, not values: `1.0` is not `1.00`, and a null is a null.
async fn compare(
    database: &Database,
    dataset: &DatasetSpec,
    from: &str,
    truth: String,
    what: &str,
) -> Result<(), Failure> {
    let typed: Vec<String> = dataset
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name.quoted(), column.merge_type))
        .collect();
    let names: Vec<String> = dataset.columns.iter().map(|c| c.name.quoted()).collect();
    let key: Vec<String> = dataset.key.iter().map(|name| name.quoted()).collect();
    let (typed, names, by) = (typed.join(", "), names.join(", "), key.join(", "));
    let first = &key[0];
    database
        .execute(&format!(
            "drop table if exists pg_temp.truth; create temporary table truth ({typed})"
        ))
        .await?;
    database
        .copy_in(
            "copy pg_temp.truth from stdin (format csv, null '\\N')",
            truth,
        )
        .await?;
    let differing = database
        .rows(&format!(
            "select coalesce(truth::text, 'no such row'), coalesce(merged::text, 'no such row')\n\
             from (select {names} from pg_temp.truth) truth\n\
             full join (select {names} from {from}) merged using ({by})\n\
             where truth.{first} is null or merged.{first} is null or not (truth *= merged)\n\
             limit 3"
        ))
        .await?;
    let differing: Vec<String> = differing
        .rows
        .into_iter()
        .map(|row| {
            let mut values = row.into_iter().flatten();
            let (truth, merged) = (values.next(), values.next());
            let (truth, merged) = (truth.unwrap_or_default(), merged.unwrap_or_default());
            format!("\n  source: {truth}\n  merged: {merged}")
        })
        .collect();
    if differing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Outcome::Findings,
        format!(
            "{what} of `{}` differ from the source's:{}",
            dataset.name,
            differing.concat()
        ),
    )
    .with_help("this is a defect of Milepost; the seed and the model make it happen again"))
}
