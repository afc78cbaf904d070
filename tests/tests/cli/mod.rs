//! The `milepost` binary as its users run it, and models to run it on.

#![allow(
    dead_code,
    reason = "every test binary includes this and uses a part of it"
)]

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// How a run ended.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs `milepost` to its end, in a directory.
pub(crate) fn milepost_in(directory: &Path, arguments: &[&str]) -> Run {
    run(Command::new(binaries().join("milepost"))
        .args(arguments)
        .current_dir(directory))
}

/// Runs `milepost` in the checkout.
pub(crate) fn milepost(arguments: &[&str]) -> Run {
    milepost_in(&checkout(), arguments)
}

pub(crate) fn run(command: &mut Command) -> Run {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the binary was built");
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests stand in the workspace")
        .to_owned()
}

/// The directory with both binaries, built once per test process: `cargo test` builds no binaries of other packages.
pub(crate) fn binaries() -> &'static Path {
    static BINARIES: OnceLock<PathBuf> = OnceLock::new();
    BINARIES.get_or_init(|| {
        let test = std::env::current_exe().expect("the test has a path");
        let profile = test
            .ancestors()
            .find(|directory| directory.ends_with("debug") || directory.ends_with("release"))
            .expect("cargo puts tests below their profile");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--bins"])
            .args(["--package", "milepost-cli"])
            .args(["--package", "milepost-merge-job"])
            .args(profile.ends_with("release").then_some("--release"))
            .current_dir(checkout())
            .status()
            .expect("cargo runs tests, so it is there");
        assert!(status.success(), "the binaries do not build");
        profile.to_owned()
    })
}

/// A copy of the example model that a test may spoil.
pub(crate) struct Model(TempDir);

impl Model {
    /// `examples/shop` as it is.
    pub(crate) fn shop() -> Self {
        let copy = TempDir::new().expect("the temporary directory is writable");
        copy_tree(&checkout().join("examples/shop"), copy.path());
        Self(copy)
    }

    /// Documents of the test's own, in one file.
    pub(crate) fn of(text: &str) -> Self {
        let model = Self(TempDir::new().expect("the temporary directory is writable"));
        model.write("model.yaml", text);
        model
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().expect("it is below the model"))
            .expect("the model is writable");
        fs::write(path, text).expect("the model is writable");
    }

    /// Replaces a text that stands in a file once.
    pub(crate) fn replace(&self, file: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path().join(file)).expect("the example has the file");
        assert_eq!(text.matches(old).count(), 1, "`{old}` in {file}");
        self.write(file, text.replace(old, new));
    }

    /// Runs `milepost` in the model's directory.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        milepost_in(self.path(), arguments)
    }
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the example is readable") {
        let entry = entry.expect("the example is readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("the copy is writable");
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the copy is writable");
        }
    }
}

/// Every file below a directory with its text.
pub(crate) fn files(root: &Path) -> std::collections::BTreeMap<PathBuf, String> {
    let mut found = std::collections::BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let relative = path.strip_prefix(root).expect("it is below").to_owned();
                found.insert(relative, text);
            }
        }
    }
    found
}
