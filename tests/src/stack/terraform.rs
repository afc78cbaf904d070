//! Terraform with the real provider, on a copy of what was rendered.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::directory::Directory;
use super::downloads::Downloads;
use super::process::run;
use crate::Run;

/// A working directory of Terraform with its state.
#[derive(Debug)]
pub struct Terraform {
    directory: Directory,
    url: String,
}

impl Terraform {
    /// A copy of a rendered folder `terraform`, for the Kafka Connect at an address.
    ///
    /// # Errors
    /// If the folder cannot be copied.
    pub fn of(rendered: &Path, url: &str) -> Result<Self> {
        let terraform = Self {
            directory: Directory::new()?,
            url: url.to_owned(),
        };
        terraform.replace(rendered)?;
        Ok(terraform)
    }

    /// Takes the files of another render; state and provider stay.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn replace(&self, rendered: &Path) -> Result<()> {
        let is_file = |path: &PathBuf| path.is_file();
        let files = |folder: &Path| -> Result<Vec<PathBuf>> {
            let entries =
                std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
            Ok(entries
                .flatten()
                .map(|entry| entry.path())
                .filter(is_file)
                .collect())
        };
        for old in files(self.path())? {
            if old
                .extension()
                .is_some_and(|ending| ending == "tf" || ending == "sh")
            {
                std::fs::remove_file(old)?;
            }
        }
        for new in files(rendered)? {
            let name = new.file_name().context("a file has a name")?;
            std::fs::copy(&new, self.path().join(name))?;
        }
        Ok(())
    }

    /// Where its files and its state are.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs a command of Terraform to its end, without questions and colours: `plan`, `destroy -auto-approve`.
    ///
    /// # Errors
    /// If there is no Terraform.
    pub fn run(&self, arguments: &[&str]) -> Result<Run> {
        let output = run(&self.command(arguments)).context("failed to run Terraform")?;
        Ok(Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The same, not started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let downloads = Downloads::get();
        let mut command = Command::new(downloads.path("TERRAFORM"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env("TF_CLI_CONFIG_FILE", downloads.path("TF_CLI_CONFIG_FILE"))
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_INPUT", "0")
            .env("TF_VAR_connect_url", &self.url)
            .env("CHECKPOINT_DISABLE", "1")
            .env("NO_COLOR", "1")
            .env("TF_CLI_ARGS", "-no-color");
        command
    }

    /// `init` and `apply`.
    ///
    /// # Errors
    /// If one of them fails, with what it said.
    pub fn apply(&self) -> Result<()> {
        for arguments in [&["init"] as &[_], &["apply", "-auto-approve"]] {
            let run = self.run(arguments)?;
            ensure!(run.code == 0, "terraform {}: {run}", arguments.join(" "));
        }
        Ok(())
    }
}
