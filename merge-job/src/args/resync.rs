//! The arguments of `merge-job resync`, and what runs it.

use clap::Args;
use milepost_merge_job::batch::Missing;
use milepost_merge_job::database;
use milepost_merge_job::error::Error;
use milepost_merge_job::resync::{self, Request};

use super::{Format, StoreArguments, settle};

#[derive(Debug, Args)]
#[command(
    after_help = "The source is that of the published spec, or MILEPOST_SOURCE_URL. What is printed are numbers, never rows.\n\n\
                  Examples:\n  \
                  merge-job resync --platform main --store shop                          # what would be done\n  \
                  merge-job resync --platform main --store shop --dataset customers --execute 3f1c9a5e8b7d2046"
)]
pub(crate) struct ResyncArguments {
    #[command(flatten)]
    of: StoreArguments,
    /// Do it, if the plan is still the one with this digest; without this the plan is printed and nothing is changed
    #[arg(long, value_name = "DIGEST")]
    execute: Option<String>,
    /// Seconds for which a row has to differ, in the same way, to be no lag
    #[arg(long, value_name = "SECONDS", default_value_t = settle())]
    settle: u64,
    /// Let it close more rows than the dataset's policy allows
    #[arg(long)]
    allow_missing: bool,
    /// How plan and result are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

impl ResyncArguments {
    /// Runs the command; returns what it prints, and what stopped it.
    pub(crate) async fn run(self) -> Result<(String, Option<Error>), Error> {
        let config = database::config_from_environment(None)?;
        let request = Request {
            platform: self.of.platform,
            store: self.of.store,
            dataset: self.of.dataset,
            settle: std::time::Duration::from_secs(self.settle),
            execute: self.execute,
            missing: if self.allow_missing {
                Missing::Allowed
            } else {
                Missing::Guarded
            },
        };
        let report = resync::resync(&config, &request).await?;
        let text = match self.format {
            Format::Human => report.to_text(),
            Format::Json => report.to_json(),
        };
        Ok((text, report.stopped))
    }
}
