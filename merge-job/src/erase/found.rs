//! How much of the keys is where, for a person. Numbers and names of tables only.

use std::fmt::Write as _;

use tokio_postgres::Row;

use crate::count::counted;
use crate::erase::statement::Place;

/// How much is found, or was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) keys: i64,
    /// Live rows.
    pub(crate) live: i64,
    /// Closed versions.
    pub(crate) history: i64,
    /// Staged rows that are merged.
    pub(crate) staged: i64,
    /// Those of which the position stays.
    pub(crate) redacted: i64,
    /// Staged rows that are not merged.
    pub(crate) unmerged: i64,
    /// Open entries of the quarantine.
    pub(crate) open: i64,
    /// Closed ones.
    pub(crate) closed: i64,
    /// Topic partitions whose control row remembers a row.
    pub(crate) positions: i64,
}

impl Found {
    /// From a row of [`Place::count`].
    pub(crate) fn of(row: &Row) -> Self {
        let count = |column: &str| row.get::<_, i64>(column);
        Self {
            keys: count("keys"),
            live: count("live"),
            history: count("history"),
            staged: count("staged"),
            redacted: count("redacted"),
            unmerged: count("unmerged"),
            open: count("open"),
            closed: count("closed"),
            positions: count("positions"),
        }
    }

    /// Is there nothing to remove?
    pub(crate) const fn is_nothing(&self) -> bool {
        self.live
            + self.history
            + self.staged
            + self.redacted
            + self.open
            + self.closed
            + self.positions
            == 0
    }

    /// `3 keys`
    pub(crate) fn keys(&self) -> String {
        counted(self.keys, "key", "keys")
    }

    /// One line for each place.
    pub(crate) fn to_text(self, place: &Place<'_>) -> String {
        let dataset = place.dataset;
        let mut text = String::new();
        let mut line = |place: &str, what: &str| {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "  {place}: {what}");
        };
        let live = counted(self.live, "live row", "live rows");
        line(&dataset.live_table().to_string(), &live);
        if let Some(closed) = &dataset.closed {
            let history = counted(self.history, "closed version", "closed versions");
            line(&closed.to_string(), &history);
        }
        let mut staged = counted(self.staged, "staged row", "staged rows");
        if self.redacted > 0 {
            let _ = write!(
                staged,
                ", and {} of which only the position stays",
                self.redacted
            );
        }
        line(&dataset.staging.to_string(), &staged);
        line(
            "milepost.quarantine",
            &format!(
                "{}, {} closed",
                counted(self.open, "open entry", "open entries"),
                self.closed
            ),
        );
        line(
            "milepost.positions",
            &format!(
                "what is remembered of the last and lowest row of {}",
                counted(self.positions, "partition", "partitions")
            ),
        );
        text
    }
}
