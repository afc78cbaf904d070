//! The arguments of `merge-job rebuild`, and what runs it.

use clap::{Args, ValueEnum};
use milepost_merge_job::database;
use milepost_merge_job::error::Error;
use milepost_merge_job::rebuild::{self, Origin, Request};

use super::{StoreArguments, confirmation};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  merge-job rebuild --platform main --store shop --dataset customers --from source          # what would be done\n  merge-job rebuild --platform main --store shop --dataset customers --from source --yes\n  merge-job rebuild --platform main --store shop --dataset customers --from staging --yes"
)]
pub(crate) struct RebuildArguments {
    #[command(flatten)]
    of: StoreArguments,
    /// From where the rows of the new table come
    #[arg(long = "from", value_enum)]
    origin: From,
    /// Do it; without this the plan is printed and nothing is changed
    #[arg(long)]
    yes: bool,
}

/// From where rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// The last complete snapshot that is staged still, and all that follows it: streams of one dataset
    Staging,
    /// A new complete snapshot of the source, or its next image
    Source,
}

impl RebuildArguments {
    /// Runs the command; returns what it prints.
    pub(crate) async fn run(self) -> Result<String, Error> {
        let config = database::config_from_environment(None)?;
        let request = Request {
            platform: self.of.platform,
            store: self.of.store,
            dataset: self.of.dataset,
            origin: match self.origin {
                From::Staging => Origin::Staging,
                From::Source => Origin::Source,
            },
        };
        rebuild::rebuild(&config, &request, confirmation(self.yes)).await
    }
}
