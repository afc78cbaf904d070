//! What became of the staged rows.

use std::fmt;
use std::ops::AddAssign;

/// Counts of a dataset in a batch. Every staged row is in exactly one class; `closed` and `healed` count rows of the merge table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Staged rows read.
    pub staged: u64,
    /// Rows that made a key live.
    pub inserted: u64,
    /// Rows that changed a live key.
    pub updated: u64,
    /// Rows that ended a live key.
    pub deleted: u64,
    /// Rows that changed nothing.
    pub unchanged: u64,
    /// Rows whose key got a later row in the batch.
    pub overtaken: u64,
    /// Rows that a restarted connector sent again.
    pub replayed: u64,
    /// Rows that do not fit.
    pub quarantined: u64,
    /// Truncates.
    pub truncate: u64,
    /// Rows live before the batch and not after.
    pub closed: u64,
    /// Rows closed because a complete snapshot does not have them. No staged row says so.
    pub healed: u64,
}

impl Counts {
    /// Settles what became of the rows that are no change of their own. `doubtful` rows may have been replays; `certain`
    /// changes come of rows beyond doubt, `news` of doubtful ones.
    pub(crate) const fn settle(&mut self, doubtful: u64, certain: u64, news: u64) {
        let merged = self
            .staged
            .saturating_sub(self.replayed + self.quarantined + self.truncate);
        self.overtaken = merged.saturating_sub(doubtful + certain);
        self.replayed += doubtful.saturating_sub(news);
    }

    /// Do the classes add up to the staged rows?
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.staged
            == self.inserted
                + self.updated
                + self.deleted
                + self.unchanged
                + self.overtaken
                + self.replayed
                + self.quarantined
                + self.truncate
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.staged += other.staged;
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
        self.overtaken += other.overtaken;
        self.replayed += other.replayed;
        self.quarantined += other.quarantined;
        self.truncate += other.truncate;
        self.closed += other.closed;
        self.healed += other.healed;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} staged: {} inserted, {} updated, {} deleted, {} unchanged",
            self.staged, self.inserted, self.updated, self.deleted, self.unchanged
        )?;
        for (count, class) in [
            (self.overtaken, "overtaken"),
            (self.replayed, "replayed"),
            (self.quarantined, "quarantined"),
            (self.truncate, "truncate"),
            (self.healed, "healed"),
        ] {
            if count > 0 {
                write!(f, ", {count} {class}")?;
            }
        }
        Ok(())
    }
}
