//! Images: whole tables of a Postgres source, read in one snapshot of it and put where a batch reads its rows.
//!
//! ```text
//! connect ─→ lock the tables, take the snapshot ─→ look the tables up ─→ per table: COPY there ─→ COPY here
//! ```
//!
//! `source` is the connection and its one transaction; `table` says what has to be true of a table at the source and how its
//! columns are read; `heap` is the temporary table that takes the place of a staging table. What goes wrong at the source is
//! a [`SourceError`], so that nobody takes it for trouble of the platform's database.

mod error;
pub(crate) mod heap;
mod source;
mod table;

pub use error::SourceError;
pub(crate) use source::{Snapshot, Source};
