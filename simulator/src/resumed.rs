//! A worker that resumes from an offset older than its slot, while the one that was taken for dead still sends.

use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use crate::topic::Sent;
use crate::{History, Round};

impl History {
    /// The commit from which another worker goes on with this transaction, if it does.
    pub(crate) fn stale_commit(&mut self, sent: &Sent) -> Option<u64> {
        let chance = self.settings.zombies;
        let begun_behind = sent.rows.iter().all(|row| row.lsn > self.last_commit);
        if chance == 0.0 || !begun_behind || !self.rng.random_bool(chance) {
            return None;
        }
        self.earlier.choose(&mut self.rng).copied()
    }

    /// The slot stands before this transaction. A worker that was taken for dead had sent a part of it, and another one, whose
    /// offset is older, sends all of it; in between the first one sends some more. No restart goes back behind the slot.
    pub(crate) fn resume_below(&mut self, sent: &Sent, stale: u64, round: &mut Round) {
        let mut again = sent.clone();
        for row in &mut again.rows {
            row.stale_commit = Some(stale);
        }
        let cut = |history: &mut Self, from: usize| {
            let mut at = history.rng.random_range(from..=sent.rows.len());
            while at > from && sent.splits_record(at) {
                at -= 1;
            }
            at
        };
        let part = cut(self, 0);
        let more = cut(self, part);
        let turn = cut(self, 0);
        let (first, second) = (&again.rows[..turn], &again.rows[turn..]);
        let rows = [&sent.rows[..part], first, &sent.rows[part..more], second].concat();
        self.send_all(
            &Sent {
                rows,
                end: sent.end.clone(),
            },
            round,
        );
        self.topics.forget();
        self.topics.remember(again);
    }
}
