//! The arguments of `merge-job topics`, and what runs them.

use clap::{Args, Subcommand, ValueEnum};
use milepost_merge_job::database;
use milepost_merge_job::error::Error;
use milepost_merge_job::session::Session;
use milepost_merge_job::topics::{self, Acceptance, Meaning};

use super::{Format, ScopeArguments, confirmation};

#[derive(Debug, Args)]
pub(crate) struct TopicsArguments {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Debug, Subcommand)]
enum TopicsCommand {
    /// List topic partitions with what they are to the rows that were merged
    List(ListArguments),
    /// Say what a partition is that a stream does not recognise, or announce a new one
    Accept(AcceptArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  merge-job topics list --platform main\n  merge-job topics list --platform main --store shop --dataset customers --format json"
)]
struct ListArguments {
    #[command(flatten)]
    scope: ScopeArguments,
    /// How partitions are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  merge-job topics accept --platform main --store shop --dataset customers --topic shop.customers --partition 1 --as new\n  merge-job topics accept --platform main --store shop --dataset customers --topic shop.customers --partition 0 --as recreated --yes"
)]
struct AcceptArguments {
    /// The platform
    #[arg(long)]
    platform: String,
    /// The store
    #[arg(long)]
    store: String,
    /// The dataset
    #[arg(long, required_unless_present = "transactions")]
    dataset: Option<String>,
    /// The topic of the store's transactions, in place of a dataset's
    #[arg(long, conflicts_with = "dataset")]
    transactions: bool,
    /// The topic
    #[arg(long)]
    topic: String,
    /// The partition; may be given more than once
    #[arg(long = "partition", value_name = "N", required = true, value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<i32>,
    /// What it is
    #[arg(long = "as", value_enum)]
    meaning: Is,
    /// Do it; without this the plan is printed and nothing is changed
    #[arg(long)]
    yes: bool,
}

/// What a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Is {
    /// A new topic or partition of the same source
    New,
    /// The topic was deleted and made again: its staged rows are removed, and it is merged from its first row on
    Recreated,
    /// The topic that was merged: what is staged of it now is taken for what was
    Same,
}

impl TopicsArguments {
    /// Runs the command; returns what it prints.
    pub(crate) async fn run(self) -> Result<String, Error> {
        let config = database::config_from_environment(None)?;
        match self.command {
            TopicsCommand::List(own) => {
                let session = Session::connect(&config).await?;
                let ScopeArguments {
                    platform,
                    store,
                    dataset,
                } = own.scope;
                let (store, dataset) = (store.as_deref(), dataset.as_deref());
                let listing = topics::list(&session, &platform, store, dataset).await?;
                Ok(match own.format {
                    Format::Human => listing.to_text(),
                    Format::Json => listing.to_json(),
                })
            }
            TopicsCommand::Accept(own) => {
                let acceptance = Acceptance {
                    platform: own.platform,
                    store: own.store,
                    dataset: own.dataset,
                    topic: own.topic,
                    partitions: own.partitions.into_iter().collect(),
                    meaning: match own.meaning {
                        Is::New => Meaning::New,
                        Is::Recreated => Meaning::Recreated,
                        Is::Same => Meaning::Same,
                    },
                };
                topics::accept(&config, &acceptance, confirmation(own.yes)).await
            }
        }
    }
}
