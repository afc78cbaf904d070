//! Artifacts onto the disk: what differs, and how it is made equal.
//!
//! Every platform has a folder of its own, and a list in it ([`LIST`]) of the files that were written there. Nothing that
//! is not in the list is overwritten or removed: a folder may hold files of other people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use milepost_render::Artifacts;

use crate::failure::Failure;

/// The list of what is ours in a platform's folder: a path per line.
const LIST: &str = ".rendered";
/// Says what every other file is, so it is written last: who finds a new one finds all that it names.
const INDEX: &str = "platform.json";

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

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// What should be there, by its path in the folder; the list itself included.
    wanted: BTreeMap<String, String>,
    /// What is there and differs, in the order in which it is mended.
    differences: Vec<(String, Difference)>,
    /// What we wrote there before.
    owned: BTreeSet<String>,
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

impl Folder {
    fn compare(path: PathBuf, wanted: BTreeMap<String, String>) -> Result<Self, Failure> {
        let owned = owned(&path)?;
        let mut differences = Vec::new();
        for (file, text) in &wanted {
            match read(&path.join(file))? {
                None => differences.push((file.clone(), Difference::Missing)),
                Some(there) if there != text.as_bytes() => {
                    differences.push((file.clone(), Difference::Changed));
                }
                Some(_) => {}
            }
        }
        let left = owned.iter().filter(|file| !wanted.contains_key(*file));
        for file in left {
            if read(&path.join(file))?.is_some() {
                differences.push((file.clone(), Difference::LeftOver));
            }
        }
        Ok(Self {
            path,
            wanted,
            differences,
            owned,
        })
    }

    /// A file in our way that we did not write stops the whole render, before anything is written.
    fn refuse_foreign(&self) -> Result<(), Failure> {
        let foreign = self.differences.iter().find(|(file, difference)| {
            *difference == Difference::Changed && !self.owned.contains(file)
        });
        match foreign {
            Some((file, _)) => {
                let path = self.path.join(file);
                Err(Failure::usage(format!(
                    "`{}` is in the way: milepost did not write it",
                    path.display()
                ))
                .with_help("move it away, or render into another directory"))
            }
            None => Ok(()),
        }
    }

    fn write(&self) -> Result<(), (PathBuf, io::Error)> {
        if self.differences.is_empty() {
            return Ok(());
        }
        // First the list, with all that was and all that will be: a render that is cut off here leaves no file that the
        // next one does not know as its own.
        let names = self.wanted.keys().filter(|file| *file != LIST);
        let both: BTreeSet<&String> = self.owned.iter().chain(names).collect();
        let both: String = both
            .into_iter()
            .filter(|file| *file != LIST)
            .map(|file| format!("{file}\n"))
            .collect();
        self.write_file(LIST, &both)?;
        let is_last = |file: &str| file == INDEX;
        for last in [false, true] {
            for (file, difference) in &self.differences {
                if let Some(text) = self.wanted.get(file)
                    && *difference != Difference::LeftOver
                    && file != LIST
                    && is_last(file) == last
                {
                    self.write_file(file, text)?;
                }
            }
        }
        for (file, difference) in &self.differences {
            if *difference == Difference::LeftOver && file != LIST {
                self.remove(file)?;
            }
        }
        match self.wanted.get(LIST) {
            Some(list) => self.write_file(LIST, list),
            None => self.remove(LIST),
        }
    }

    /// Writes beside and renames, so that nobody reads half a file.
    fn write_file(&self, file: &str, text: &str) -> Result<(), (PathBuf, io::Error)> {
        let path = self.path.join(file);
        let write = || {
            let directory = path.parent().unwrap_or(&self.path);
            fs::create_dir_all(directory)?;
            // As an ordinary new file would be: temporary ones are closed to others.
            let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
            let mut temporary = tempfile::Builder::new()
                .prefix(".milepost-")
                .permissions(open)
                .tempfile_in(directory)?;
            temporary.write_all(text.as_bytes())?;
            temporary.persist(&path)?;
            Ok(())
        };
        write().map_err(|error| (path.clone(), error))
    }

    /// Removes a file and the folders that are empty without it. A link that leads out of the folder is not followed.
    fn remove(&self, file: &str) -> Result<(), (PathBuf, io::Error)> {
        let path = self.path.join(file);
        let remove = || {
            let root = fs::canonicalize(&self.path)?;
            let parent = path.parent().unwrap_or(&self.path);
            if !fs::canonicalize(parent)?.starts_with(&root) {
                return Ok(());
            }
            fs::remove_file(&path)?;
            for folder in parent.ancestors() {
                if !folder.starts_with(&self.path) || fs::remove_dir(folder).is_err() {
                    break;
                }
            }
            Ok(())
        };
        remove().map_err(|error| (path.clone(), error))
    }
}

/// What the list of a folder holds. A line that leads out of the folder is not ours, whoever wrote it.
fn owned(folder: &Path) -> Result<BTreeSet<String>, Failure> {
    let Some(bytes) = read(&folder.join(LIST))? else {
        return Ok(BTreeSet::new());
    };
    let stays_inside = |line: &&str| {
        let mut parts = Path::new(line).components();
        !line.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    let text = String::from_utf8_lossy(&bytes);
    let files = text.lines().filter(stays_inside).map(str::to_owned);
    Ok(files.chain([LIST.to_owned()]).collect())
}

/// The bytes of a file; none where there is no file.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Failure::usage(format!(
            "cannot read `{}`: {error}",
            path.display()
        ))),
    }
}
