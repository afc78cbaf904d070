//! `milepost doctor` and `milepost status` against databases of this test and a Kafka Connect that says what a test wants.
//!
//! What real connectors and slots do is held by `stack_doctor`.

#[path = "../cli/mod.rs"]
mod cli;

mod canary;
mod connect;
mod database;
mod http;
mod model;
mod platform;
mod source;
mod status;
