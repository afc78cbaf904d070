/// What a history is made of; [`Settings::default`] is a lively source without faults.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many different keys a dataset has; few, so that they collide.
    pub keys: usize,
    /// Partitions per topic. With more than one, a key change may cross partitions.
    pub partitions: i32,
    /// How many rows of each dataset the initial snapshot holds, at most.
    pub snapshot_rows: usize,
    /// How many transactions are open at the source at most.
    pub open_transactions: usize,
    /// Does the source send every value with every update? Otherwise an unchanged large value comes as its placeholder.
    pub replica_identity_full: bool,
    /// The probability that the connector restarts at a commit and sends again what it had sent.
    pub restarts: f64,
    /// The probability that another worker sends a transaction, which resumed from an offset older than the slot while the
    /// first one, taken for dead, still sends what it had. The transaction began after the commit before it: of one that did
    /// not, nothing tells it from a replay (docs/decisions/0019).
    pub zombies: f64,
    /// The probability that an event is spoiled: a null in its key or in a column that forbids it, or a text that does not
    /// cast. The truth does not know of it, so only a reference merge can say what a spoiled history must give.
    pub spoiled: f64,
    /// The probability that a change is a truncate of its table. With several partitions nothing tells what came before it.
    pub truncates: f64,
    /// The probability that a change is a statement by which rows take keys of each other, as sources allow it that check
    /// their constraint late. With several partitions the halves of a key change are not side by side.
    pub permutations: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keys: 24,
            partitions: 1,
            snapshot_rows: 12,
            open_transactions: 4,
            replica_identity_full: false,
            restarts: 0.0,
            zombies: 0.0,
            spoiled: 0.0,
            truncates: 0.0,
            permutations: 0.0,
        }
    }
}
