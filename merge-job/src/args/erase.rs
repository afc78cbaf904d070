//! The arguments of `merge-job erase`, and what runs them.

use std::io::Read as _;

use clap::Args;
use milepost_merge_job::database;
use milepost_merge_job::erase::{self, Erasure, Given};
use milepost_merge_job::error::Error;

use super::confirmation;

/// The most that is read of a file of keys, to bound the memory of the job.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

#[derive(Args)]
#[command(
    after_help = "A command line is seen by others: in lists of processes, in the history of a shell, in logs. --keys-from reads keys from a \
                  file or, with -, from standard input, one JSON object on each line: {\"order_id\": 5, \"line_no\": 1}\n\n\
                  What is erased: live row and history, staged rows, entries of the quarantine, and what the control rows remember of them. \
                  Not the row at the source, in Kafka, in the write-ahead log, or in a backup.\n\n\
                  Examples:\n  \
                  merge-job erase --platform main --store shop --dataset customers --keys-from keys.jsonl          # what would be erased\n  \
                  merge-job erase --platform main --store shop --dataset customers --keys-from - --reason 'request 4711' --yes < keys.jsonl\n  \
                  merge-job erase --platform main --store shop --dataset order_lines --key order_id=5 --key line_no=1 --yes"
)]
pub(crate) struct EraseArguments {
    /// The platform
    #[arg(long)]
    platform: String,
    /// The store
    #[arg(long)]
    store: String,
    /// The dataset
    #[arg(long)]
    dataset: String,
    /// A column of the key and its value; given once for each column of the key
    #[arg(
        long = "key",
        value_name = "COLUMN=VALUE",
        required_unless_present = "keys_from",
        conflicts_with = "keys_from"
    )]
    key: Vec<String>,
    /// A file of keys, at most 10,000, one JSON object on each line; - is standard input
    #[arg(long, value_name = "FILE")]
    keys_from: Option<String>,
    /// Why, for milepost.erasures: the number of a request, nothing of a person
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do it; without this the plan is printed and nothing is changed
    #[arg(long)]
    yes: bool,
}

/// Keys are values of rows.
impl std::fmt::Debug for EraseArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EraseArguments").finish_non_exhaustive()
    }
}

impl EraseArguments {
    /// Runs the command; returns what it prints.
    pub(crate) async fn run(self) -> Result<String, Error> {
        let keys = match self.keys_from {
            Some(file) => Given::Lines(read_apart(file).await?),
            None => Given::Arguments(self.key),
        };
        let erasure = Erasure {
            platform: self.platform,
            store: self.store,
            dataset: self.dataset,
            keys,
            reason: self.reason,
        };
        let config = database::config_from_environment(None)?;
        erase::erase(&config, &erasure, confirmation(self.yes)).await
    }
}

/// Reads beside everything else: standard input may never end, and a signal ends the command all the same.
async fn read_apart(file: String) -> Result<String, Error> {
    let read = tokio::task::spawn_blocking(move || read(&file)).await;
    read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

fn read(file: &str) -> Result<String, Error> {
    let failed = |source| Error::Read {
        path: file.to_owned(),
        source,
    };
    let mut text = String::new();
    let read = if file == "-" {
        std::io::stdin()
            .lock()
            .take(MAX_BYTES + 1)
            .read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(file).map_err(failed)?;
        opened.take(MAX_BYTES + 1).read_to_string(&mut text)
    };
    read.map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Error::Usage(format!(
            "`{file}` has more than {} MiB: give its keys in several files",
            MAX_BYTES / 1024 / 1024
        )));
    }
    Ok(text)
}
