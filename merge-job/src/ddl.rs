//! `merge-job ddl`: the statements that make a stream's tables and views in an empty database.

use std::fmt::Write as _;

use milepost_job_spec::StreamSpec;

use crate::error::Error;
use crate::tables::{Catalog, Change, differences};

/// The statements, each step below a comment that says what it makes.
///
/// # Errors
/// [`Error::Shape`] if the spec itself cannot be made.
pub fn ddl(spec: &StreamSpec) -> Result<String, Error> {
    let mut text = String::new();
    for change in differences(spec, &Catalog::default()) {
        match change {
            Change::Make(step) => {
                // Writing into a String cannot fail.
                let _ = writeln!(text, "-- {}: {}", step.object, step.what);
                for statement in &step.statements {
                    let _ = writeln!(text, "{statement};");
                }
                text.push('\n');
            }
            Change::Refuse(refusal) => return Err(refusal.into()),
            // An empty database has nothing to migrate.
            Change::Migrate(_) => {}
        }
    }
    Ok(text)
}
