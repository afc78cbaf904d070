use serde::{Deserialize, Serialize};

/// How staged events become rows: `merge.md`, "Live-only" and "Milestoned".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// One row per live key with its latest values.
    LiveOnly,
    /// Every version of each row, with `dp_in` and `dp_out`.
    Milestoned {
        /// Which versions are kept.
        versions: Versions,
    },
    /// Every staged row that is no replay, with `dp_in` and `dp_op`: for datasets without a key.
    Append,
}

/// Which versions of a row a milestoned table keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Versions {
    /// Every effective event is a version, also those that lived only inside a batch.
    #[default]
    All,
    /// One version per key and batch at most.
    LastPerBatch,
}

impl Strategy {
    /// Does the table keep history?
    #[must_use]
    pub const fn is_milestoned(self) -> bool {
        matches!(self, Self::Milestoned { .. })
    }

    /// Is every event a row of its own?
    #[must_use]
    pub const fn is_append(self) -> bool {
        matches!(self, Self::Append)
    }

    /// What it is called in control tables and messages; which versions are kept is not told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LiveOnly => "live-only",
            Self::Milestoned { .. } => "milestoned",
            Self::Append => "append",
        }
    }
}
