//! Tables before rows: the tables and views of a stream become what its spec says.
//!
//! [`shape`] says what they should be, [`catalog`] reads what they are, [`differences`] compares the two, and
//! [`reconcile()`] makes the additive differences, each in a short transaction under the stream's lock. Whatever would
//! rewrite or narrow a table, or pass nulls off as values, is refused with its remedy: see [`Change`].

pub mod catalog;
mod change;
mod difference;
pub(crate) mod mark;
mod reconcile;
mod register;
pub mod shape;
pub(crate) mod shell;
mod widening;

use milepost_job_spec::{DatasetSpec, StreamSpec};

pub use catalog::Catalog;
pub use change::{Change, Conversion, Kept, Migration, Object, Refusal, Retype, Step};
pub(crate) use difference::missing_schema;
pub(crate) use reconcile::read;
pub use reconcile::{Patience, make, reconcile};
pub use register::register_datasets;
pub use widening::is_widening;

use crate::views;
use difference::Difference;

/// What separates the tables and views of a stream from its spec, in the order in which it is mended: schemas and roles,
/// staging tables, merge tables, views.
///
/// What depends on a refused object is left out until the refusal is mended.
#[must_use]
pub fn differences(spec: &StreamSpec, catalog: &Catalog) -> Vec<Change> {
    let mut changes = difference::of_schemas(spec, catalog);
    changes.extend(views::of_workspaces(spec, catalog));
    let transactions = spec
        .transactions
        .iter()
        .map(|table| (shape::of_transactions(table), None));
    let staging = spec
        .datasets
        .iter()
        .map(|dataset| (shape::of_staging(dataset, spec.source), Some(dataset)));
    for (shape, dataset) in transactions.chain(staging) {
        if !is_refused(&changes, &Object::Schema(shape.table.schema.clone())) {
            let command = command(spec, dataset);
            let difference = difference::of_table(&shape, catalog, dataset, &command);
            changes.extend(difference.into_changes(&shape, &command));
        }
    }
    for dataset in &spec.datasets {
        let shape = shape::of_merge(dataset);
        if is_refused(&changes, &Object::Schema(shape.table.schema.clone())) {
            continue;
        }
        let blocked = dataset.views.iter().any(|view| {
            is_refused(&changes, &Object::Schema(view.schema.clone()))
                || is_refused(&changes, &Object::Role(view.role.clone()))
        });
        let views = if blocked {
            Vec::new()
        } else {
            views::of_dataset(&spec.stream, dataset, catalog)
        };
        let command = command(spec, Some(dataset));
        match difference::of_table(&shape, catalog, Some(dataset), &command) {
            // A column that views read keeps its type while they stand: they go and come back in the same transaction.
            Difference::Step {
                what,
                statements,
                retypes: true,
            } => {
                changes.extend(views::around(
                    &spec.stream,
                    dataset,
                    catalog,
                    what,
                    statements,
                ));
            }
            Difference::Migration {
                step,
                retypes,
                conversion,
            } => {
                let around = views::around(
                    &spec.stream,
                    dataset,
                    catalog,
                    vec![step.what],
                    step.statements,
                );
                changes.extend(around.into_iter().map(|change| match change {
                    Change::Make(step) => Change::Migrate(Migration {
                        step,
                        retypes: retypes.clone(),
                        conversion,
                        command: command.clone(),
                    }),
                    Change::Refuse(refusal) => Change::Refuse(match conversion {
                        Some(conversion) => conversion.stands(refusal, &command),
                        None => refusal,
                    }),
                    Change::Migrate(migration) => Change::Migrate(migration),
                }));
            }
            Difference::Refused(refusals) => {
                changes.extend(refusals.into_iter().map(Change::Refuse));
            }
            difference => {
                changes.extend(difference.into_changes(&shape, &command));
                changes.extend(views);
            }
        }
    }
    changes
}

/// The command that prints the plan of a dataset's migration.
fn command(spec: &StreamSpec, dataset: Option<&DatasetSpec>) -> String {
    let mut command = format!(
        "merge-job migrate-tables --platform {} --store {}",
        shell::word(&spec.stream.platform),
        shell::word(&spec.stream.store)
    );
    if let Some(dataset) = dataset {
        command = format!("{command} --dataset {}", shell::word(&dataset.name));
    }
    command
}

fn is_refused(changes: &[Change], object: &Object) -> bool {
    changes
        .iter()
        .any(|change| matches!(change, Change::Refuse(_)) && change.object() == object)
}
