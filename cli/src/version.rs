//! Which version of the model a directory holds, as git knows it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use git2::{ErrorCode, Repository, StatusOptions};
use milepost_job_spec::ModelVersion;

use crate::failure::Failure;
use crate::load;

/// The commit of a directory outside git, or in a repository without commits.
const WORKTREE: &str = "worktree";

/// The version of a model that git does not know.
pub(crate) fn unversioned() -> ModelVersion {
    ModelVersion {
        commit: WORKTREE.to_owned(),
        order: 0,
    }
}

/// The version of the model in a directory: the commit that is checked out and how many commits lead to it.
///
/// A directory with changes that are not committed is `<commit>-dirty`. A shallow clone does not know how many commits it
/// has, and a publish goes by that number, so it is refused.
pub(crate) fn of(dir: &Path) -> Result<ModelVersion, Failure> {
    let repository = match Repository::discover(dir) {
        Ok(repository) => repository,
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(unversioned()),
        Err(error) => return Err(unreadable(dir, &error)),
    };
    let head = match repository.head() {
        Ok(head) => head,
        Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => {
            return Ok(unversioned());
        }
        Err(error) => return Err(unreadable(dir, &error)),
    };
    if repository.is_shallow() {
        return Err(Failure::usage(format!(
            "the git repository of `{}` is a shallow clone, so its commits cannot be counted",
            dir.display()
        ))
        .with_help(
            "run `git fetch --unshallow`; in a GitHub Action, check out with `fetch-depth: 0`",
        ));
    }
    let version = || {
        let commit = head.peel_to_commit()?.id();
        let mut history = repository.revwalk()?;
        history.push(commit)?;
        let mut order = 0;
        for commit in history {
            commit?;
            order += 1;
        }
        let dirty = if is_dirty(&repository, dir)? {
            "-dirty"
        } else {
            ""
        };
        Ok(ModelVersion {
            commit: format!("{commit}{dirty}"),
            order,
        })
    };
    version().map_err(|error| unreadable(dir, &error))
}

/// Is a document below the directory not as the commit has it? What git ignores does not count, nor does what is no part of
/// the model, such as what was rendered beside it.
fn is_dirty(repository: &Repository, dir: &Path) -> Result<bool, git2::Error> {
    let mut options = StatusOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(true)
        .disable_pathspec_match(true);
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let place = repository.workdir().and_then(real).zip(real(dir));
    if let Some((root, dir)) = place
        && let Ok(relative) = dir.strip_prefix(&root)
        && !relative.as_os_str().is_empty()
    {
        options.pathspec(relative);
    }
    let changed = repository.statuses(Some(&mut options))?;
    Ok(changed
        .iter()
        .any(|entry| load::is_document(Path::new(OsStr::from_bytes(entry.path_bytes())))))
}

fn unreadable(dir: &Path, error: &git2::Error) -> Failure {
    let failure = Failure::usage(format!(
        "cannot read the git repository of `{}`: {}",
        dir.display(),
        error.message()
    ));
    match error.code() {
        ErrorCode::Owner => failure.with_help(
            "it belongs to another user; if you trust it, run `git config --global --add safe.directory DIR`",
        ),
        _ => failure,
    }
}
