//! A directory becomes [`Sources`].

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use milepost_dsl::Sources;

use crate::failure::Failure;

/// Reads every `*.yaml` and `*.yml` below a directory, in the order of their paths.
///
/// Hidden files and folders are none of the model: `.github/workflows` is YAML too. A file is read once, under the first
/// of its names; links may point anywhere inside the model, and nowhere else: a pull request must not be able to show what
/// lies beside the checkout. Every unreadable file is listed, not the first.
pub(crate) fn directory(root: &Path) -> Result<Sources, Failure> {
    let real_root = fs::canonicalize(root).map_err(|error| missing(root, &error))?;
    if !real_root.is_dir() {
        return Err(
            Failure::usage(format!("`{}` is a file", root.display())).with_help(format!(
                "name the directory that holds the model: `{}`",
                parent(root).display()
            )),
        );
    }
    let mut walk = Walk {
        root: root.to_owned(),
        real_root,
        seen: BTreeSet::new(),
        sources: Sources::new(),
        problems: Vec::new(),
    };
    walk.directory(Path::new(""));
    if walk.problems.is_empty() {
        return Ok(walk.sources);
    }
    Err(Failure::usage(walk.problems.join("\nerror: "))
        .with_help("every file of the model has to be readable as UTF-8 text"))
}

/// Is a file of this name a document of the model?
pub(crate) fn is_document(path: &Path) -> bool {
    path.extension()
        .is_some_and(|end| end == "yaml" || end == "yml")
}

fn missing(root: &Path, error: &io::Error) -> Failure {
    let path = root.display();
    match error.kind() {
        io::ErrorKind::NotFound => Failure::usage(format!("there is no directory `{path}`"))
            .with_help("name the directory that holds the model: `milepost lint DIR`"),
        _ => Failure::usage(format!("cannot read `{path}`: {error}")),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

struct Walk {
    root: PathBuf,
    real_root: PathBuf,
    /// The real paths of what was visited: links make no loops and no second copies.
    seen: BTreeSet<PathBuf>,
    sources: Sources,
    problems: Vec<String>,
}

impl Walk {
    /// Visits a directory; the path is relative to the root.
    fn directory(&mut self, relative: &Path) {
        let mut names = Vec::new();
        let listed = fs::read_dir(self.root.join(relative)).and_then(|entries| {
            for entry in entries {
                names.push(entry?.file_name());
            }
            Ok(())
        });
        if let Err(error) = listed {
            return self.problem(relative, &error.to_string());
        }
        names.sort();
        for name in names {
            if !name.as_encoded_bytes().starts_with(b".") {
                self.entry(&relative.join(name));
            }
        }
    }

    fn entry(&mut self, relative: &Path) {
        let is_document = is_document(relative);
        let real = match fs::canonicalize(self.root.join(relative)) {
            Ok(real) => real,
            Err(error) if is_document => return self.problem(relative, &error.to_string()),
            // A link to nowhere that does not look like a document is nobody's.
            Err(_) => return,
        };
        let is_directory = real.is_dir();
        if !is_directory && !is_document {
            return;
        }
        if !real.starts_with(&self.real_root) {
            return self.problem(relative, "it is a link to a place outside the model");
        }
        if !self.seen.insert(real) {
            return;
        }
        if is_directory {
            self.directory(relative);
        } else {
            self.file(relative);
        }
    }

    fn file(&mut self, relative: &Path) {
        let text = match fs::read(self.root.join(relative)) {
            Ok(bytes) => String::from_utf8(bytes),
            Err(error) => return self.problem(relative, &error.to_string()),
        };
        match (text, self.shown(relative)) {
            (Ok(text), Some(path)) => {
                self.sources.add(path, text);
            }
            (Ok(_), None) => self.problem(relative, "its name is not UTF-8"),
            (Err(error), _) => {
                let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
                self.problem(relative, &format!("line {line} is not UTF-8"));
            }
        }
    }

    /// The path as it can be opened from where the command was started, `/` between folders.
    fn shown(&self, relative: &Path) -> Option<String> {
        let path = self.root.join(relative);
        let path = path.strip_prefix(".").unwrap_or(&path);
        Some(path.to_str()?.replace(std::path::MAIN_SEPARATOR, "/"))
    }

    fn problem(&mut self, relative: &Path, what: &str) {
        let path = self.root.join(relative);
        let path = path.strip_prefix(".").unwrap_or(&path);
        self.problems
            .push(format!("cannot read `{}`: {what}", path.display()));
    }
}
