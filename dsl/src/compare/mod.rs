//! The comparison of two models as they were written, and who may make a change.
//!
//! Both sides are specs: a base with errors can still be judged and repaired.

mod difference;
mod document;
mod owner;

pub use difference::{Difference, differences};
pub use owner::{Ownership, Verdict};
