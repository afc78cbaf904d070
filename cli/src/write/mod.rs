//! Artifacts onto the disk: what differs, and how it is made equal.
//!
//! Every platform has a folder of its own, and a list in it ([`LIST`]) of the files that were written there. Nothing that
//! is not in the list is overwritten or removed: a folder may hold files of other people.

mod folder;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use milepost_render::Artifacts;

use crate::failure::Failure;
use folder::Folder;

/// The list of what is ours in a platform's folder: a path per line.
const LIST: &str = ".rendered";

/// How a file on the disk differs from what was rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// It is not there.
    Missing,
    /// It holds something else.
    Changed,
    /// It was rendered once and is no more.
    LeftOver,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::LeftOver => "left over",
        })
    }
}

/// Rendered platforms beside the folders that hold them.
#[derive(Debug)]
pub(crate) struct Target {
    folders: Vec<Folder>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, written): (Vec<_>, Vec<_>) = self
            .differences()
            .partition(|(_, difference)| *difference == Difference::LeftOver);
        let unchanged = self.unchanged();
        write!(f, "{} files written, {unchanged} unchanged", written.len())?;
        if !left.is_empty() {
            write!(f, ", {} removed", left.len())?;
        }
        Ok(())
    }
}

impl Target {
    /// Compares the artifacts of some platforms with the disk. `all` says that the model has no other platforms, so that
    /// the folder of one that it had is left over.
    pub(crate) fn compare(
        out: &Path,
        platforms: &BTreeMap<String, Artifacts>,
        all: bool,
    ) -> Result<Self, Failure> {
        let mut wanted: BTreeMap<String, BTreeMap<String, String>> = platforms
            .iter()
            .map(|(platform, artifacts)| (platform.clone(), files_of(platform, artifacts)))
            .collect();
        if all {
            for platform in listed(out)? {
                wanted.entry(platform).or_default();
            }
        }
        let folders = wanted
            .into_iter()
            .map(|(platform, wanted)| Folder::compare(out.join(platform), wanted));
        Ok(Self {
            folders: folders.collect::<Result<_, _>>()?,
        })
    }

    /// Every file that differs, as it can be opened from here.
    pub(crate) fn differences(&self) -> impl Iterator<Item = (PathBuf, Difference)> {
        self.folders.iter().flat_map(|folder| {
            let differences = folder.differences.iter();
            differences.map(|(file, difference)| (folder.path.join(file), *difference))
        })
    }

    /// The platforms that were compared and have files.
    pub(crate) fn platforms(&self) -> impl Iterator<Item = &str> {
        let wanted = self
            .folders
            .iter()
            .filter(|folder| !folder.wanted.is_empty());
        wanted.filter_map(|folder| folder.path.file_name()?.to_str())
    }

    /// How many files are as they should be.
    pub(crate) fn unchanged(&self) -> usize {
        let unchanged = |folder: &Folder| {
            let differing = folder.differences.iter();
            let wanted = differing.filter(|(_, difference)| *difference != Difference::LeftOver);
            folder.wanted.len() - wanted.count()
        };
        self.folders.iter().map(unchanged).sum()
    }

    /// Makes the disk equal. A file is whole at every moment; one that need not change is not touched.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        for folder in &self.folders {
            folder.refuse_foreign()?;
        }
        for folder in &self.folders {
            folder.write().map_err(|(path, error)| {
                Failure::usage(format!("cannot write `{}`: {error}", path.display()))
            })?;
        }
        Ok(())
    }
}

/// The files of a platform by their path in its folder, with their list.
fn files_of(platform: &str, artifacts: &Artifacts) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = artifacts
        .iter()
        .map(|(path, text)| {
            let path = path.as_str();
            let below = path
                .strip_prefix(platform)
                .and_then(|rest| rest.strip_prefix('/'));
            (
                below
                    .expect("an artifact lies in its platform's folder")
                    .to_owned(),
                text.clone(),
            )
        })
        .collect();
    let list = files.keys().map(|file| format!("{file}\n")).collect();
    files.insert(LIST.to_owned(), list);
    files
}

/// The folders below `out` that hold a list.
fn listed(out: &Path) -> Result<Vec<String>, Failure> {
    let unreadable =
        |error: io::Error| Failure::usage(format!("cannot read `{}`: {error}", out.display()));
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        if entry.path().join(LIST).is_file()
            && let Some(name) = entry.file_name().to_str()
        {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}
