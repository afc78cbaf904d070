//! What the acceptance tests stand on: a private PostgreSQL, the merge job as a process, and a merge anybody can check.
//!
//! [`Cluster`] runs a server that nobody else uses and gives every test a [`Database`] of its own; [`Job`] runs the real
//! `merge-job` binary against it; [`Reference`] merges the same rows in memory, in at most a hundred lines; [`shop`] holds
//! the fixture `cdc-shop` with its specs, and [`stage`] and [`compare`] carry rows in and results out. [`mod@stack`] is Kafka,
//! Kafka Connect and the databases for real.

mod appended;
mod apply;
pub mod compare;
mod database;
pub mod debezium;
mod erased;
mod fence;
mod filled;
mod job;
mod mirror;
mod pooler;
mod port;
mod postgres;
mod quarantine;
mod reference_merge;
mod resnapshot;
pub mod shop;
pub mod stack;
pub mod stage;
mod taken;
pub mod tally;
mod version;
mod wire;

pub use database::Database;
pub use job::{Job, Run, Running, binary, publish, publish_model, write_plan};
pub use mirror::Mirror;
pub use pooler::Pooler;
pub use postgres::Cluster;
pub use reference_merge::Reference;
pub use version::{Counts, Version};
pub use wire::{At, Fault, Wire};
