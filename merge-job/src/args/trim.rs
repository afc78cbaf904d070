//! The arguments of `merge-job trim-staging` and `trim-history`.

use clap::Args;
use milepost_merge_job::trim::{Mode, Scope};

pub(crate) const STAGING_HELP: &str = "\
Rows stay for the platform's `postgres.staged` (7 days) after the batch that merged them. Nothing above a
watermark is ever removed, nor what an open snapshot or an open entry of the quarantine is read from.

Examples:
  merge-job trim-staging --dry-run
  merge-job trim-staging
  merge-job trim-staging --platform main --store shop";

pub(crate) const HISTORY_HELP: &str = "\
Versions stay for the longest `minimum` that a group on the platform asks for. As-of functions refuse a moment
before the horizon (SQLSTATE 22008); live rows, and versions that ended behind it, all stay.

Examples:
  merge-job trim-history --dry-run
  merge-job trim-history
  merge-job trim-history --platform main --store shop";

#[derive(Debug, Args)]
pub(crate) struct TrimArguments {
    /// Only this platform
    #[arg(long)]
    platform: Option<String>,
    /// Only this store of the platform
    #[arg(long, requires = "platform")]
    store: Option<String>,
    /// Print how many rows would go, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl TrimArguments {
    pub(crate) fn into_parts(self) -> (Scope, Mode) {
        let mode = if self.dry_run {
            Mode::DryRun
        } else {
            Mode::Write
        };
        let scope = Scope {
            platform: self.platform,
            store: self.store,
        };
        (scope, mode)
    }
}
