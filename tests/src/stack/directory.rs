//! Directories that end with us.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// A new directory below cargo's target directory; it is removed with this value, or by its guard when this process ends.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// The guard waits for the end of this pipe.
    guard: (Child, Option<ChildStdin>),
}

impl Directory {
    /// Makes it.
    pub(crate) fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = root()?.join(format!("stack-{}-{number}", std::process::id()));
        // Left by a process that had our id.
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir_all(&path).with_context(|| format!("failed to make {path:?}"))?;
        // The servers that write there are killed at the same moment: what they still made goes at the second attempt.
        let script = r#"cat >/dev/null; rm -rf "$1" || { sleep 1; rm -rf "$1"; }"#;
        let mut guard = Command::new("sh")
            .args(["-c", script, "guard"])
            .arg(&path)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start the guard of a directory")?;
        let pipe = guard.stdin.take();
        Ok(Self {
            path,
            guard: (guard, pipe),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(self.guard.1.take());
        let _ = self.guard.0.wait();
    }
}

/// `target/tmp`, beside the profile that this program was built in.
fn root() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let profile = program
        .ancestors()
        .find(|directory| directory.ends_with("debug") || directory.ends_with("release"));
    let target = profile.and_then(Path::parent).map(Path::to_owned);
    Ok(target.unwrap_or_else(std::env::temp_dir).join("tmp"))
}
