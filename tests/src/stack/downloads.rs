//! What `scripts/stack.sh` puts on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};

/// Where the parts of the stack are.
#[derive(Debug)]
pub struct Downloads(BTreeMap<String, PathBuf>);

impl Downloads {
    /// Asks the script once in a process; it fetches what the cache lacks and says on stderr that it does.
    ///
    /// # Panics
    /// If the script fails: it has said why.
    pub fn get() -> &'static Self {
        static DOWNLOADS: OnceLock<Downloads> = OnceLock::new();
        DOWNLOADS.get_or_init(|| match Self::ask() {
            Ok(downloads) => downloads,
            Err(error) => panic!("no stack to run: {error:#}"),
        })
    }

    /// The path of a part by the script's name for it.
    ///
    /// # Panics
    /// If the script does not know the part.
    pub(crate) fn path(&self, name: &str) -> &Path {
        let found = self.0.get(name);
        found.unwrap_or_else(|| panic!("scripts/stack.sh names no {name}: {:?}", self.0))
    }

    fn ask() -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/stack.sh");
        let output = Command::new(&script)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("failed to run {script:?}"))?;
        ensure!(
            output.status.success(),
            "{script:?} ended with {}",
            output.status
        );
        let text = String::from_utf8(output.stdout).context("paths are UTF-8")?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Ok(Self(
            pairs
                .map(|(name, path)| (name.to_owned(), path.into()))
                .collect(),
        ))
    }
}
