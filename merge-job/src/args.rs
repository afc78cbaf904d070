//! The command line.

pub(crate) mod erase;
pub(crate) mod migrate_tables;
pub(crate) mod quarantine;
pub(crate) mod rebuild;
pub(crate) mod resync;
pub(crate) mod topics;
pub(crate) mod trim;
pub(crate) mod unused;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use milepost_merge_job::Confirmation;
use milepost_merge_job::compare::DEFAULT_SETTLE;
use milepost_merge_job::shard::Shard;

/// Merges staged change events into live-only, milestoned and appended tables of a Postgres.
#[derive(Debug, Parser)]
#[command(name = "merge-job", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Environment:
  MILEPOST_DATABASE_URL    postgres://user:password@host:port/database; overrides all others
  MILEPOST_DATABASE_HOST, _PORT, _NAME, _USER_VARIABLE, _PASSWORD_VARIABLE
                           what the rendered DAG sets; the last two name the credential's variables
  MILEPOST_SOURCE_URL      where a source is whose tables are read or compared; overrides the spec
  RUST_LOG                 what is logged to stderr: error, warn (default), info, debug
  MILEPOST_LOG_FORMAT      json for one JSON object per line

Exit codes:
  0 done   1 findings or a failed merge   2 usage or configuration
  3 the database, or a source whose tables are read or compared, cannot be reached
  75 another run holds the stream   76 stopped by a signal with work left   101 a defect of ours";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create or upgrade the control tables in schema `milepost`
    #[command(after_help = "Example:\n  merge-job migrate")]
    Migrate,
    /// Put a rendered plan into the database and make staging tables, merge tables and views
    Publish(PublishArguments),
    /// Merge what is staged for one stream, batch by batch, until it is caught up
    Merge(MergeArguments),
    /// Prove the invariants of merged rows and of the control rows; compare rows with their source
    Verify(VerifyArguments),
    /// Make the views of all workspaces what the published plans say, and drop those that nobody wants
    ReconcileViews(ReconcileViewsArguments),
    /// Plan, then make, changes of tables that rewrite them
    MigrateTables(migrate_tables::MigrateTablesArguments),
    /// List, replay or discard what did not fit its merge table
    Quarantine(quarantine::QuarantineArguments),
    /// Keep a merge table aside and make it anew as its spec says, filled from staging or the source
    Rebuild(rebuild::RebuildArguments),
    /// Plan, then make, rows that have diverged from their source equal to it
    Resync(resync::ResyncArguments),
    /// List topic partitions, or say what one is that a stream does not recognise
    Topics(topics::TopicsArguments),
    /// Remove staged rows that were merged long enough ago, while merges go on
    #[command(after_help = trim::STAGING_HELP)]
    TrimStaging(trim::TrimArguments),
    /// Remove versions that ended longer ago than any group keeps them, while merges go on
    #[command(after_help = trim::HISTORY_HELP)]
    TrimHistory(trim::TrimArguments),
    /// List tables that no published stream has any more, and drop them a time later
    RemoveUnusedTables(unused::UnusedArguments),
    /// Remove every row of a key, from merge table, history, staging and quarantine
    Erase(erase::EraseArguments),
    /// Print the statements that make a stream's tables and views
    Ddl(DdlArguments),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  merge-job completions bash > /etc/bash_completion.d/merge-job"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  merge-job publish --from rendered\n  merge-job publish --from rendered/main --dry-run"
)]
pub(crate) struct PublishArguments {
    /// The folder of a platform's `platform.json`, or one that holds such folders
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Print what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  merge-job merge --platform main --store shop --dataset customers\n  merge-job merge --platform main --store shop     # a store that is merged as one transaction\n  merge-job merge --platform main --store shop --truncate close-all\n  merge-job merge --platform main --shard 1/4      # a quarter of all streams\n  merge-job merge --spec rendered/main/streams/shop.json"
)]
pub(crate) struct MergeArguments {
    /// The platform of a published stream
    #[arg(long, required_unless_present = "spec")]
    pub(crate) platform: Option<String>,
    /// The store of a published stream
    #[arg(long, requires = "platform", required_unless_present_any = ["spec", "shard"])]
    pub(crate) store: Option<String>,
    /// The dataset; without it the stream of the whole store
    #[arg(long, requires = "store")]
    pub(crate) dataset: Option<String>,
    /// In place of a store: this share of the platform's streams, one after the other; 1/4 to 4/4 are all
    #[arg(long, value_name = "I/N", requires = "platform", conflicts_with_all = ["store", "spec", "truncate", "allow_missing"])]
    pub(crate) shard: Option<Shard>,
    /// The file of a stream's spec, for local use: it is registered as if it were published
    #[arg(long, value_name = "FILE", conflicts_with_all = ["platform", "store", "dataset"])]
    pub(crate) spec: Option<PathBuf>,
    /// In this run, let an image or a complete snapshot (`heal`) close more rows than the dataset's policy allows
    #[arg(long)]
    pub(crate) allow_missing: bool,
    /// Let the truncate that the stream stopped at pass: delete what was live then, or keep it
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) truncate: Option<TruncatePolicy>,
}

/// What a truncate does that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TruncatePolicy {
    /// Delete every row that was live then
    CloseAll,
    /// Change nothing
    Ignore,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  merge-job verify --platform main\n  merge-job verify --platform main --store shop --dataset customers --format json\n  merge-job verify --platform main --store shop --source"
)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) scope: ScopeArguments,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Print up to three keys per finding; keys are values of rows
    #[arg(long)]
    pub(crate) show_keys: bool,
    /// Compare rows with the source too: that of the published spec, or MILEPOST_SOURCE_URL
    #[arg(long, requires = "store")]
    pub(crate) source: bool,
    /// Seconds for which a row has to differ, in the same way, to be no lag
    #[arg(long, value_name = "SECONDS", requires = "source", default_value_t = settle())]
    pub(crate) settle: u64,
}

/// The default of `--settle`.
pub(crate) const fn settle() -> u64 {
    DEFAULT_SETTLE.as_secs()
}

/// A store, or a dataset of it.
#[derive(Debug, Args)]
pub(crate) struct StoreArguments {
    /// The platform
    #[arg(long)]
    pub(crate) platform: String,
    /// The store
    #[arg(long)]
    pub(crate) store: String,
    /// Only this dataset of the store
    #[arg(long)]
    pub(crate) dataset: Option<String>,
}

/// A platform, a store of it, or a dataset of that.
#[derive(Debug, Args)]
pub(crate) struct ScopeArguments {
    /// The platform
    #[arg(long)]
    pub(crate) platform: String,
    /// Only this store
    #[arg(long)]
    pub(crate) store: Option<String>,
    /// Only this dataset of the store
    #[arg(long, requires = "store")]
    pub(crate) dataset: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// For programs, with a version
    Json,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  merge-job reconcile-views --dry-run\n  merge-job reconcile-views"
)]
pub(crate) struct ReconcileViewsArguments {
    /// Print what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  merge-job ddl --spec rendered/main/streams/shop.json | psql")]
pub(crate) struct DdlArguments {
    /// The file of a stream's spec
    #[arg(long, value_name = "FILE")]
    pub(crate) spec: PathBuf,
}

/// What `--yes` comes to.
const fn confirmation(yes: bool) -> Confirmation {
    if yes {
        Confirmation::Confirmed
    } else {
        Confirmation::Plan
    }
}
