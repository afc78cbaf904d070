use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use super::{Difference, LIST};
use crate::failure::Failure;

/// Says what every other file is, so it is written last: who finds a new one finds all that it names.
const INDEX: &str = "platform.json";

/// A platform's folder: what should be there beside what is.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// What should be there, by its path in the folder; the list itself included.
    pub(super) wanted: BTreeMap<String, String>,
    /// What is there and differs, in the order in which it is mended.
    pub(super) differences: Vec<(String, Difference)>,
    /// What we wrote there before.
    owned: BTreeSet<String>,
}

impl Folder {
    pub(super) fn compare(
        path: PathBuf,
        wanted: BTreeMap<String, String>,
    ) -> Result<Self, Failure> {
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
    pub(super) fn refuse_foreign(&self) -> Result<(), Failure> {
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

    pub(super) fn write(&self) -> Result<(), (PathBuf, io::Error)> {
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
            let open = fs::Permissions::from_mode(0o666);
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
