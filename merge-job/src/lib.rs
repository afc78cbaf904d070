//! The merge job: staging tables in, live-only, milestoned and appended tables out, in one transaction per batch.
//!
//! What a merge must do is the project's `merge.md`; this crate does it with set-based SQL, so that cost follows the
//! change and the client stays small. Tour: [`database`] and [`session`] reach Postgres; [`migrate`], [`publish`] and
//! [`tables`] make control tables, plans and tables; [`merge_stream`] runs batches until a stream is caught up, and
//! [`merge_shard`] does so with many;
//! [`image`] reads whole tables of a source where nobody stages events; [`quarantine`] tries again what did not fit;
//! [`table_migration`] changes tables that a publish may not; [`rebuild`] makes a merge table anew; [`topics`] tells topics that
//! were made again; [`trim`] removes what was kept long enough, [`unused`] tables that nobody uses and [`erase`] every row of a key; [`verify`] proves the
//! invariants, [`compare`] holds rows against their source, and [`resync`] makes them equal; [`retry`] decides what follows from an error.

pub mod batch;
pub mod compare;
mod confirmation;
pub mod control;
mod count;
pub mod database;
pub mod ddl;
pub mod erase;
pub mod error;
pub mod image;
pub mod merge;
pub mod migrate;
pub mod publish;
pub mod quarantine;
pub mod rebuild;
pub mod reconcile_views;
pub mod resync;
pub mod retry;
mod run;
pub mod secret;
pub mod session;
pub mod shard;
pub mod sql;
pub mod staging;
mod stop;
pub mod table_migration;
pub mod tables;
mod tls;
pub mod topics;
pub mod trim;
pub mod unused;
pub mod verify;
pub mod views;

pub use confirmation::Confirmation;
pub use run::{MergeRequest, MergeTarget, Summary, merge_shard, merge_stream};
pub use stop::until_stopped;
