use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Digest, PgIdent, StreamKey, TableRef};

/// The version of `platform.json` that this release writes.
pub const PLATFORM_PLAN_VERSION: u32 = 1;

/// The schema of the control tables.
pub const CONTROL_SCHEMA: &str = "milepost";

/// The version of the control tables that this release works on: the number of its last migration.
pub const CONTROL_VERSION: i32 = 7;

/// The index of a platform: `platform.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformPlan {
    /// The version of this shape.
    pub version: u32,
    /// The platform's name.
    pub platform: String,
    /// Which model the plan was made from.
    pub model: ModelVersion,
    /// The platform's Postgres; its credential's name says which environment variables hold user and password.
    pub database: DatabaseAddress,
    /// Every stream with the digest of its file.
    pub streams: Vec<StreamEntry>,
    /// Every staging, control and merge table (and partition) that should exist, in order.
    pub tables: Vec<TableRef>,
    /// Every workspace schema that should exist.
    pub workspaces: Vec<WorkspaceSchema>,
}

/// A version of the model on its live branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelVersion {
    /// The git commit; `worktree` for a model outside git, `<commit>-dirty` for uncommitted changes.
    pub commit: String,
    /// How many commits the commit's history has, itself included; 0 outside git. A publish never goes back in it.
    pub order: u64,
}

/// Where a platform's Postgres listens. Never a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseAddress {
    /// The host name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The environment variable that holds the user.
    pub user_variable: String,
    /// The environment variable that holds the password.
    pub password_variable: String,
}

impl DatabaseAddress {
    /// The environment variables that tell a pod where its database is, each with its value; no secret is among them.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            (environment::HOST, self.host.clone()),
            (environment::PORT, self.port.to_string()),
            (environment::NAME, self.database.clone()),
            (environment::USER_VARIABLE, self.user_variable.clone()),
            (
                environment::PASSWORD_VARIABLE,
                self.password_variable.clone(),
            ),
        ]
    }
}

/// The environment variables that `merge-job` reads; the planner sets them in the pod.
pub mod environment {
    /// A URL that overrides address and credential, for local use.
    pub const URL: &str = "MILEPOST_DATABASE_URL";
    /// The database's host.
    pub const HOST: &str = "MILEPOST_DATABASE_HOST";
    /// The database's port.
    pub const PORT: &str = "MILEPOST_DATABASE_PORT";
    /// The database's name.
    pub const NAME: &str = "MILEPOST_DATABASE_NAME";
    /// The name of the variable that holds the user: the credential's.
    pub const USER_VARIABLE: &str = "MILEPOST_DATABASE_USER_VARIABLE";
    /// The name of the variable that holds the password.
    pub const PASSWORD_VARIABLE: &str = "MILEPOST_DATABASE_PASSWORD_VARIABLE";
    /// A URL that overrides address and credential of the source whose tables the merge job reads itself, for local use.
    pub const SOURCE_URL: &str = "MILEPOST_SOURCE_URL";
}

/// A stream of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamEntry {
    /// Which stream.
    pub stream: StreamKey,
    /// The file of its spec, relative to `platform.json`.
    pub file: String,
    /// The digest of that file's bytes.
    pub digest: Digest,
}

/// The schema of a workspace and the role that may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceSchema {
    /// The workspace's name.
    pub workspace: String,
    /// Its schema.
    pub schema: PgIdent,
    /// Its role.
    pub role: PgIdent,
}

/// Why a text is no usable platform plan.
#[derive(Debug, Error)]
pub enum PlanError {
    /// Not JSON, or not of the shape.
    #[error("the platform plan does not parse")]
    Json(#[source] serde_json::Error),
    /// Written by another release.
    #[error(
        "the platform plan has version {found}, this merge-job reads version \
         {PLATFORM_PLAN_VERSION}; render and publish with the same release"
    )]
    Version {
        /// The version in the text.
        found: u64,
    },
}

impl PlatformPlan {
    /// Reads a plan of this version or an older one.
    ///
    /// # Errors
    /// [`PlanError`] if the text is no JSON, not of the shape, or of another version.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let Versioned { version: found } = serde_json::from_str(text).map_err(PlanError::Json)?;
        if found != u64::from(PLATFORM_PLAN_VERSION) {
            return Err(PlanError::Version { found });
        }
        serde_json::from_str(text).map_err(PlanError::Json)
    }

    /// The plan as the renderer writes it: pretty JSON with a final newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a plan has only text keys");
        text.push('\n');
        text
    }
}
