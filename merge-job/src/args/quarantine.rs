//! The arguments of `merge-job quarantine`, and what runs them.

use clap::{Args, Subcommand};
use milepost_merge_job::database;
use milepost_merge_job::error::Error;
use milepost_merge_job::quarantine::{self, Scope};
use milepost_merge_job::session::Session;

use super::{Format, ScopeArguments, StoreArguments, confirmation};

#[derive(Debug, Args)]
pub(crate) struct QuarantineArguments {
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
enum QuarantineCommand {
    /// List open entries with position, reason and age
    List(ListArguments),
    /// Merge open entries that fit by now, as a batch of their own
    Replay(ReplayArguments),
    /// Close open entries for good
    Discard(DiscardArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  merge-job quarantine list --platform main\n  merge-job quarantine list --platform main --store shop --dataset customers --format json"
)]
struct ListArguments {
    #[command(flatten)]
    scope: ScopeArguments,
    /// How entries are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Print keys and staged rows too; they are values of rows
    #[arg(long)]
    show_payload: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  merge-job quarantine replay --platform main --store shop          # what would be tried\n  merge-job quarantine replay --platform main --store shop --yes\n  merge-job quarantine replay --platform main --store shop --id 17 --id 18 --yes"
)]
struct ReplayArguments {
    #[command(flatten)]
    of: StoreArguments,
    /// Only this entry and the others of its key; may be given more than once
    #[arg(long = "id", value_name = "N")]
    ids: Vec<i64>,
    /// Do it; without this the plan is printed and nothing is changed
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  merge-job quarantine discard --platform main --store shop --dataset customers --id 17          # what would be closed\n  merge-job quarantine discard --platform main --store shop --dataset customers --all --yes"
)]
struct DiscardArguments {
    /// The platform
    #[arg(long)]
    platform: String,
    /// The store
    #[arg(long)]
    store: String,
    /// The dataset
    #[arg(long)]
    dataset: String,
    /// This entry; may be given more than once
    #[arg(
        long = "id",
        value_name = "N",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    ids: Vec<i64>,
    /// All open entries of the dataset
    #[arg(long)]
    all: bool,
    /// Do it; without this the plan is printed and nothing is changed
    #[arg(long)]
    yes: bool,
}

impl QuarantineArguments {
    /// Runs the command; returns what it prints.
    pub(crate) async fn run(self) -> Result<String, Error> {
        let config = database::config_from_environment(None)?;
        match self.command {
            QuarantineCommand::List(own) => {
                let session = Session::connect(&config).await?;
                let ScopeArguments {
                    platform,
                    store,
                    dataset,
                } = own.scope;
                let scope = Scope {
                    platform,
                    store,
                    dataset,
                    ids: None,
                };
                let listing = quarantine::list(&session, &scope, own.show_payload).await?;
                Ok(match own.format {
                    Format::Human => listing.to_text(),
                    Format::Json => listing.to_json(),
                })
            }
            QuarantineCommand::Replay(own) => {
                let scope = Scope {
                    platform: own.of.platform,
                    store: Some(own.of.store),
                    dataset: own.of.dataset,
                    ids: Some(own.ids).filter(|ids| !ids.is_empty()),
                };
                quarantine::replay(&config, &scope, confirmation(own.yes)).await
            }
            QuarantineCommand::Discard(own) => {
                let scope = Scope {
                    platform: own.platform,
                    store: Some(own.store),
                    dataset: Some(own.dataset),
                    ids: Some(own.ids).filter(|_| !own.all),
                };
                quarantine::discard(&config, &scope, confirmation(own.yes)).await
            }
        }
    }
}
