use std::path::PathBuf;
use std::process::Stdio;

use milepost_job_spec::{Outcome, environment};
use tokio::process::Command;

use crate::failure::Failure;

/// The merge job as a process, as a pod runs it.
pub(super) struct MergeJob(PathBuf);

impl MergeJob {
    /// The binary that was built together with this one.
    pub(super) fn beside_us() -> Result<Self, Failure> {
        let beside = std::env::current_exe()
            .ok()
            .and_then(|path| Some(path.parent()?.join("merge-job")));
        beside
            .filter(|path| path.is_file())
            .map(Self)
            .ok_or_else(|| {
                Failure::usage("there is no `merge-job` beside `milepost`")
                    .with_help("build both: `make demo`")
            })
    }

    /// Runs it to its end, and returns what it printed.
    pub(super) async fn run(&self, url: &str, arguments: &[&str]) -> Result<String, Failure> {
        let told = format!("merge-job {}", arguments.join(" "));
        let output = Command::new(&self.0)
            .args(arguments)
            .env(environment::URL, url)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            // Ctrl-C goes to a whole group, and is ours to hear.
            .process_group(0)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| Failure::usage(format!("cannot run `{told}`: {error}")))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(Failure::new(
            Outcome::Findings,
            format!(
                "`{told}` failed ({}): {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            ),
        ))
    }
}
