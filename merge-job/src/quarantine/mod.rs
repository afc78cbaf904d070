//! `merge-job quarantine`: what did not fit its merge table, for a person to see, try again, or give up.
//!
//! [`list()`] reads; [`replay()`] tries open entries again as a batch; [`discard()`] closes entries for good. The last two
//! change nothing until they are confirmed: without that they return the plan of what they would do.

mod discard;
pub(crate) mod entry;
mod list;
mod plan;
mod replay;
mod scope;

pub use discard::discard;
pub use list::{Entry, Listing, list};
pub use replay::replay;
pub use scope::Scope;
