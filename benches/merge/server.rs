//! A PostgreSQL that syncs to disk as a real one does: what a merge costs includes its commit.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use postgres::{Client, NoTls};

/// Autovacuum is off so that no run pays for the rows of another; every run starts after a checkpoint, so that each pays
/// its own full-page images.
const OPTIONS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "shared_buffers=8GB",
    "max_wal_size=8GB",
    "checkpoint_timeout=1h",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "autovacuum=off",
    "jit=off",
    "timezone=UTC",
    "shared_preload_libraries=pg_stat_statements",
    "pg_stat_statements.track=top",
    "pg_stat_statements.track_planning=on",
    "pg_stat_statements.track_utility=on",
];

/// A server of this process alone; it ends with it.
pub(crate) struct Server {
    process: Child,
    port: u16,
    /// Removed when the server is dropped.
    _directory: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let bin = binaries()?;
        let directory = tempfile::TempDir::new()?;
        let data = directory.path().join("data");
        if is_root() {
            let owned = Command::new("chown")
                .arg("nobody")
                .arg(directory.path())
                .status()?;
            ensure!(
                owned.success(),
                "the temporary directory cannot be given away"
            );
        }
        let made = unprivileged(&bin.join("initdb"))
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--no-locale",
                "--pgdata",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .context("failed to run initdb")?;
        ensure!(made.success(), "initdb failed");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = unprivileged(&bin.join("postgres"));
        command
            .arg("-D")
            .arg(&data)
            .arg("-p")
            .arg(port.to_string())
            .arg("-k")
            .arg(&data);
        for option in OPTIONS {
            command.args(["-c", option]);
        }
        let log = fs::File::create(directory.path().join("log"))?;
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("failed to start postgres")?;
        let server = Self {
            process,
            port,
            _directory: directory,
        };
        for _ in 0..100 {
            if server.connect("postgres").is_ok() {
                return Ok(server);
            }
            sleep(Duration::from_millis(100));
        }
        bail!("postgres does not answer; are its contrib modules installed (pg_stat_statements)?")
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn connect(&self, database: &str) -> Result<Client> {
        Ok(Client::connect(&self.url(database), NoTls)?)
    }

    /// The CPU time of all server processes that have ended, in clock ticks: that of a session once it is over.
    pub(crate) fn cpu_of_ended_sessions(&self) -> Result<u64> {
        // The session's process ends a moment after the client has gone.
        sleep(Duration::from_millis(150));
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let after_name = stat
            .rsplit(')')
            .next()
            .context("a process has a state after its name")?;
        // Counted from the state, which is field 3 of proc(5): cutime is field 16, cstime field 17.
        after_name
            .split_whitespace()
            .skip(13)
            .take(2)
            .map(|field| {
                field
                    .parse::<u64>()
                    .context("a time of a process is a number")
            })
            .sum()
    }

    /// What `docs/performance.md` says about where it was measured.
    pub(crate) fn version(&self) -> Result<String> {
        let row = self
            .connect("postgres")?
            .query_one("select split_part(version(), ' on ', 1)", &[])?;
        Ok(row.get(0))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An immediate stop would leave shared memory behind; nobody is connected any more.
        let stopped = Command::new("kill")
            .args(["-INT", &self.process.id().to_string()])
            .status();
        if stopped.is_ok_and(|status| status.success()) {
            let _ = self.process.wait();
        }
    }
}

/// The directory with `initdb`: `MILEPOST_PGBIN`, else the newest of Debian's.
fn binaries() -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os("MILEPOST_PGBIN") {
        return Ok(chosen.into());
    }
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().map(|(_, bin)| bin).context(
        "install PostgreSQL 15 or newer (`apt-get install postgresql`), or set MILEPOST_PGBIN",
    )
}

/// A command that ends with this process; as root it runs as `nobody`, for Postgres refuses root.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command.arg("--").arg(program).current_dir("/");
    command
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
