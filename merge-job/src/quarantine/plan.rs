//! What a command would do: so many entries of each dataset, by reason.

use std::fmt::Write as _;

use crate::count;
use crate::error::Error;
use crate::quarantine::scope::{OPEN, Scope};
use crate::session::Session;

/// The plan for a person. Reasons name columns, never values.
pub(super) async fn plan(session: &Session, scope: &Scope, verb: &str) -> Result<String, Error> {
    let sql = format!(
        "select q.store, q.dataset, q.reason, count(*) as entries from milepost.quarantine q\n \
          where {OPEN}\n group by 1, 2, 3 order by 1, 2, 4 desc, 3"
    );
    let rows = session
        .query("count the open entries", &sql, &scope.values())
        .await?;
    let mut text = String::new();
    let mut sum = 0;
    for row in &rows {
        let entries: i64 = row.get("entries");
        let (store, dataset): (&str, &str) = (row.get("store"), row.get("dataset"));
        let reason: &str = row.get("reason");
        sum += entries;
        let _ = writeln!(text, "{store}#{dataset}: {entries} × {reason}");
    }
    let _ = if sum == 0 {
        writeln!(text, "no open entries")
    } else {
        writeln!(
            text,
            "{} would be {verb}; nothing was changed: add --yes to do it",
            counted(sum)
        )
    };
    Ok(text)
}

/// `1 entry`, `2 entries`.
pub(super) fn counted(count: i64) -> String {
    count::counted(count, "entry", "entries")
}
