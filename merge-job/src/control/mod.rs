//! The control tables: what is published, and how far each partition is merged.

pub mod position;
pub mod stream;
