//! The statements that keep a merge table aside and make it anew. Pure.

use std::collections::BTreeSet;

use milepost_job_spec::{DatasetSpec, StreamKey, TableRef};

use crate::error::Error;
use crate::rebuild::found::Found;
use crate::rebuild::kept;
use crate::rebuild::plan::Plan;
use crate::tables::{Catalog, Change, Migration, shape};
use crate::views;

/// The statements, views before and after the table among them. `until` is the batch that makes the table anew: its number
/// and its time.
///
/// A column that the old table lets be null stays so: rows that were staged before it was added have none.
///
/// # Errors
/// [`Error::Shape`] if a view of the dataset cannot be made again.
pub(crate) fn of(
    stream: &StreamKey,
    dataset: &DatasetSpec,
    catalog: &Catalog,
    plan: &Plan,
    until: (i64, i64),
) -> Result<Vec<String>, Error> {
    let mut statements = aside(dataset, &plan.found, plan, until);
    let mut new = dataset.clone();
    let added = catalog.nullable_columns(dataset);
    for column in &mut new.columns {
        column.nullable |= added.contains(&column.name);
    }
    statements.extend(shape::of_merge(&new).create());
    for reader in catalog.readers(&dataset.merge) {
        let grant = format!(
            "grant select on {} to {}",
            dataset.merge.quoted(),
            reader.quoted()
        );
        statements.push(grant);
    }
    let what = vec!["it is made anew".to_owned()];
    let mut all = Vec::new();
    for change in views::around(stream, dataset, catalog, what, statements) {
        match change {
            Change::Make(step) | Change::Migrate(Migration { step, .. }) => {
                all.extend(step.statements);
            }
            Change::Refuse(refusal) => return Err(refusal.into()),
        }
    }
    Ok(all)
}

fn aside(dataset: &DatasetSpec, found: &Found, plan: &Plan, until: (i64, i64)) -> Vec<String> {
    let mut statements = Vec::new();
    for (member, name) in found.members.iter().zip(&plan.kept) {
        let table = &member.table;
        let kept = TableRef {
            schema: table.schema.clone(),
            name: name.clone(),
        };
        let rename = format!("alter table {} rename to {}", table.quoted(), name.quoted());
        let columns: &BTreeSet<String> = &member.columns;
        let mark = kept::Mark::new(table, &dataset.name, columns, until, &plan.reason);
        statements.extend([rename, mark.comment(&kept)]);
    }
    statements
}
