//! What would make merge tables equal to their source. Pure.

use std::fmt::Write as _;

use milepost_job_spec::Digest;
use serde::Serialize;

use super::{Compared, Difference, Kind, Outcome};
use crate::count::counted;
use crate::tables::shell;

/// A repair: the rows that diverged, of each dataset.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// What a person who executes it names; empty where there is nothing to repair.
    pub digest: String,
    /// The command that executes it.
    pub command: String,
    /// What is done, dataset by dataset.
    pub datasets: Vec<DatasetPlan>,
}

/// The repair of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetPlan {
    /// The dataset: `shop#customers`.
    pub object: String,
    /// Its merge table.
    pub table: String,
    /// Rows that the table lacks.
    pub insert: usize,
    /// Rows that get the source's values.
    pub update: usize,
    /// Rows that the source does not have: they are closed.
    pub delete: usize,
}

impl Plan {
    /// The repair of what was found in this scope.
    #[must_use]
    pub fn of(platform: &str, store: &str, dataset: Option<&str>, compared: &[Compared]) -> Self {
        let mut text = String::new();
        let mut datasets = Vec::new();
        for own in compared {
            let diverged = own.diverged();
            if diverged.is_empty() {
                continue;
            }
            let of = |kind| diverged.iter().filter(|own| own.kind == kind).count();
            let object = format!("{}#{}", own.stream.store, own.dataset.name);
            let _ = writeln!(text, "{object}");
            let mut sorted: Vec<&Difference> = diverged.iter().collect();
            sorted.sort();
            for difference in sorted {
                let Difference {
                    key,
                    kind,
                    merged,
                    source,
                    ..
                } = difference;
                let _ = writeln!(text, "{} {key:?} {merged:?} {source:?}", kind.name());
            }
            datasets.push(DatasetPlan {
                object,
                table: own.dataset.merge.to_string(),
                insert: of(Kind::Missing),
                update: of(Kind::Differs),
                delete: of(Kind::Extra),
            });
        }
        let mut command = format!(
            "merge-job resync --platform {} --store {}",
            shell::word(platform),
            shell::word(store)
        );
        if let Some(dataset) = dataset {
            let _ = write!(command, " --dataset {}", shell::word(dataset));
        }
        let digest = if datasets.is_empty() {
            String::new()
        } else {
            let digest = Digest::of(text.as_bytes()).to_string();
            let hexadecimal = digest.rsplit(':').next().unwrap_or_default();
            hexadecimal.chars().take(16).collect()
        };
        if !digest.is_empty() {
            let _ = write!(command, " --execute {digest}");
        }
        Self {
            digest,
            command,
            datasets,
        }
    }

    /// Is there nothing to repair?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datasets.is_empty()
    }

    /// For people; nothing where there is nothing to repair.
    #[must_use]
    pub fn to_text(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut text = format!("repair plan {}:\n", self.digest);
        for own in &self.datasets {
            let _ = writeln!(
                text,
                "  {} (table `{}`): insert {}, update {}, close {}",
                own.object,
                own.table,
                counted(own.insert as u64, "row", "rows"),
                own.update,
                own.delete
            );
        }
        let _ = writeln!(text, "execute it with `{}`", self.command);
        text
    }
}

impl Compared {
    /// The rows that a repair makes equal.
    #[must_use]
    pub fn diverged(&self) -> &[Difference] {
        match &self.outcome {
            Outcome::Compared { verdict, .. } => &verdict.diverged,
            Outcome::TooMany | Outcome::Skipped(_) => &[],
        }
    }
}
