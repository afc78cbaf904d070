//! The contract between the planner and the merge job.
//!
//! The planner writes one [`StreamSpec`] per batch stream and one [`PlatformPlan`] per platform; `merge-job publish`
//! puts them into the database, and `merge-job merge` acts on its [`StreamSpec`] alone. Whatever the pod needs to know is
//! here: tables, columns and their types, keys, the strategy, limits, views. Nothing here names a model type.
//!
//! Reading order: [`StreamKey`], [`StreamSpec`], [`DatasetSpec`], [`ColumnSpec`], [`PlatformPlan`], [`Outcome`].

mod column;
mod digest;
mod ident;
mod input;
mod outcome;
mod plan;
mod policy;
mod position;
mod strategy;
mod stream;

pub use column::{ColumnSpec, Placeholder};
pub use digest::Digest;
pub use ident::{IdentError, MAX_IDENT_BYTES, PgIdent, TableRef};
pub use input::{IMAGE_TOPIC, Input, Origin, SourceDatabase, SourceDatabaseKind};
pub use outcome::Outcome;
pub use plan::{
    CONTROL_SCHEMA, CONTROL_VERSION, DatabaseAddress, ModelVersion, PLATFORM_PLAN_VERSION,
    PlanError, PlatformPlan, StreamEntry, WorkspaceSchema, environment,
};
pub use policy::{DatasetPolicy, OnResnapshot, OnTruncate};
pub use position::{SourcePosition, StagingColumn};
pub use strategy::{Strategy, Versions};
pub use stream::{
    DatasetSpec, Limits, STREAM_SPEC_VERSION, SpecError, StreamKey, StreamSpec, ViewSpec,
};

/// Names of the columns that staging tables have beside the dataset's own; which of them a table has depends on its
/// source: [`SourcePosition::staging_columns`].
pub mod staging {
    /// The operation: `c`, `u`, `d`, `r` or `t`.
    pub const OP: &str = "__op";
    /// `'true'` on a delete row.
    pub const DELETED: &str = "__deleted";
    /// The Kafka topic of the row.
    pub const TOPIC: &str = "__connect_topic";
    /// The partition of the topic.
    pub const PARTITION: &str = "__connect_partition";
    /// The offset in the partition.
    pub const OFFSET: &str = "__connect_offset";
    /// Commit time at the source, microseconds since 1970.
    pub const SOURCE_TS_US: &str = "__source_ts_us";
    /// What a Postgres connector knows of order: `["<last commit LSN>","<LSN>"]`.
    pub const SEQUENCE: &str = "__sequence";
    /// The log sequence number of the row.
    pub const LSN: &str = "__lsn";
    /// Where the row event begins in the binlog file.
    pub const SOURCE_POS: &str = "__source_pos";
    /// The place of the row in its event.
    pub const SOURCE_ROW: &str = "__source_row";
    /// SQL Server's log sequence number of the commit: `0000002b:00000160:0003`.
    pub const SOURCE_COMMIT_LSN: &str = "__source_commit_lsn";
    /// SQL Server's log sequence number of the change.
    pub const SOURCE_CHANGE_LSN: &str = "__source_change_lsn";
    /// Oracle's system change number of the commit.
    pub const SOURCE_COMMIT_SCN: &str = "__source_commit_scn";
    /// The source's transaction.
    pub const TRANSACTION_ID: &str = "__transaction_id";
    /// The place of the row in its transaction.
    pub const TRANSACTION_TOTAL_ORDER: &str = "__transaction_total_order";
    /// Which part of a snapshot the row belongs to, or `false`.
    pub const SNAPSHOT: &str = "__snapshot";
}

/// Names of the columns that a milestoned or append table has beside the dataset's own: `merge.md`, "Milestoned".
pub mod milestone {
    /// When the version came in.
    pub const IN: &str = "dp_in";
    /// When the version was replaced or deleted; null while it is live.
    pub const OUT: &str = "dp_out";
    /// Commit time at the source of the event that made the version; null for snapshot rows.
    pub const SOURCE_TS: &str = "dp_source_ts";
    /// The operation of an appended row: `c`, `u`, `d`, `r` or `t`.
    pub const OP: &str = "dp_op";
}
