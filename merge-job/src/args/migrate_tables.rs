//! The arguments of `merge-job migrate-tables`, and what runs them.

use clap::Args;
use milepost_job_spec::Outcome;
use milepost_merge_job::database;
use milepost_merge_job::error::Error;
use milepost_merge_job::table_migration::{self, Scope};
use milepost_merge_job::tables::Patience;

use super::{Format, StoreArguments};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  merge-job migrate-tables --platform main --store shop\n  merge-job migrate-tables --platform main --store shop --dataset customers --execute 3f1c9a5e8b7d2046\n  merge-job migrate-tables --platform main --store shop --dataset customers --drop-history"
)]
pub(crate) struct MigrateTablesArguments {
    #[command(flatten)]
    of: StoreArguments,
    /// Do it, if the plan is still the one with this digest; without this the plan is printed and nothing is changed
    #[arg(long, value_name = "DIGEST")]
    execute: Option<String>,
    /// Drop the history of tables that no group wants milestoned any more
    #[arg(long)]
    drop_history: bool,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

impl MigrateTablesArguments {
    /// Runs the command; returns what it prints, and how it ends.
    pub(crate) async fn run(self) -> Result<(String, Outcome), Error> {
        let config = database::config_from_environment(None)?;
        let scope = Scope {
            platform: self.of.platform,
            store: self.of.store,
            dataset: self.of.dataset,
            drop_history: self.drop_history,
        };
        let (plan, done) = match &self.execute {
            None => (table_migration::plan(&config, &scope).await?, false),
            Some(digest) => {
                let patience = Patience::default();
                let plan = table_migration::execute(&config, &scope, digest, patience).await?;
                (plan, true)
            }
        };
        let text = match self.format {
            Format::Human => plan.to_text(done),
            Format::Json => plan.to_json(done),
        };
        let outcome = if plan.is_obstructed() {
            Outcome::Findings
        } else {
            Outcome::Done
        };
        Ok((text, outcome))
    }
}
