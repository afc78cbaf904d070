//! Platform.
pub mod credential;
pub mod naming;
pub mod plan;
