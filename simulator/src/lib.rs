//! Seeded change histories of a stream, in the shape of staging, with the truth.
//!
//! A [`StreamSpec`](milepost_job_spec::StreamSpec) and a seed go in; out come [`Round`]s: the rows that a connector would
//! have staged, the END events of its transaction topic, and the [`Truth`]: what the source's tables hold after the last
//! commit of the round. Whoever merges the rows, in batches cut anywhere, must end with exactly the truth.
//!
//! The source is a small Postgres: several transactions are open at once, rows are locked by whoever wrote them, some
//! transactions roll back, and events arrive in commit order, so that their LSNs do not rise. Small pools make keys collide
//! often and values repeat; [`value`] holds the edges of each type. Nothing here reads a file, a clock or a database, and
//! the same seed gives the same bytes.
//!
//! Of a dataset without a key a row of the source is told by a number that nobody sees; its events arrive in one partition,
//! with all of the row's values, and equal rows in one record.
//!
//! Reading order: [`History`], [`Settings`], [`Round`], [`StagedRow`], [`Truth`], [`copy`].

pub mod copy;
mod end;
mod history;
mod keyless;
mod permute;
mod resumed;
mod row;
mod settings;
mod source;
mod topic;
mod transaction;
pub mod value;

pub use end::TransactionEnd;
pub use history::{History, Round};
pub use row::{Op, StagedRow};
pub use settings::Settings;
pub use source::{Image, Key, Truth};
