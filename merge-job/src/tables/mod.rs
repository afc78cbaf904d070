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
mod widening;

use milepost_job_spec::StreamSpec;

pub use catalog::Catalog;
pub use change::{Change, Object, Refusal, Step};
pub(crate) use difference::missing_schema;
pub use reconcile::{Patience, make, reconcile};
pub(crate) use reconcile::{is_transient, read};
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
            changes.extend(difference::of_table(&shape, catalog, dataset).into_changes(&shape));
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
        match difference::of_table(&shape, catalog, Some(dataset)) {
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
            Difference::Refused(refusals) => {
                changes.extend(refusals.into_iter().map(Change::Refuse));
            }
            difference => {
                changes.extend(difference.into_changes(&shape));
                changes.extend(views);
            }
        }
    }
    changes
}

fn is_refused(changes: &[Change], object: &Object) -> bool {
    changes
        .iter()
        .any(|change| matches!(change, Change::Refuse(_)) && change.object() == object)
}
