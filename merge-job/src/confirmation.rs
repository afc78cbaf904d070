/// Whether a command may change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// Only tell what would be done.
    Plan,
    /// Do it.
    Confirmed,
}
