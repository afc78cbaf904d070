//! The arguments of `merge-job remove-unused-tables`, and what runs it.

use clap::Args;
use milepost_merge_job::database;
use milepost_merge_job::error::Error;
use milepost_merge_job::session::Session;
use milepost_merge_job::unused::{self, DEFAULT_GRACE_DAYS, Mode, Report, Request};

#[derive(Debug, Args)]
#[command(after_help = "\
The first run that finds a table to be unused lists it in `milepost.unused_tables`, and tells so in `milepost.events`.
A run at least the grace time later drops it, if it still is. What reads a table keeps it.

Examples:
  merge-job remove-unused-tables --dry-run
  merge-job remove-unused-tables
  merge-job remove-unused-tables --platform main --grace 30")]
pub(crate) struct UnusedArguments {
    /// Only tables of this platform
    #[arg(long)]
    platform: Option<String>,
    /// Days for which a table is on the list before it goes
    #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_GRACE_DAYS, value_parser = clap::value_parser!(u32).range(..=36_500))]
    grace: u32,
    /// Print what would be listed and dropped, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl UnusedArguments {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<Report, Error> {
        let request = Request {
            platform: self.platform,
            grace_days: self.grace,
            mode: if self.dry_run {
                Mode::DryRun
            } else {
                Mode::Write
            },
        };
        let session = Session::connect(&database::config_from_environment(None)?).await?;
        unused::remove_unused_tables(&session, &request).await
    }
}
