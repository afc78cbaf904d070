//! A PgBouncer in transaction mode before the server of a database: each transaction gets whatever connection is free.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use postgres::{Client, NoTls};
use tempfile::TempDir;

use crate::stack::process::Process;
use crate::{Database, port, postgres::unprivileged};

/// How long it takes at most until it answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running PgBouncer; it ends with this value.
#[derive(Debug)]
pub struct Pooler {
    port: u16,
    _process: Process,
    _directory: TempDir,
}

impl Pooler {
    /// Starts one with so many connections to the server of a database.
    ///
    /// # Errors
    /// If PgBouncer is not installed and cannot be, or does not start.
    pub fn start(database: &Database, connections: u32) -> Result<Self> {
        let directory = TempDir::new()?;
        let port = port::free();
        let config = directory.path().join("pgbouncer.ini");
        let server = database.port();
        std::fs::write(
            &config,
            format!(
                "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n\
                 [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
                 pool_mode = transaction\nserver_reset_query =\nmax_client_conn = 100\ndefault_pool_size = {connections}\n"
            ),
        )?;
        // It runs as somebody else where we are root.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let mut command = unprivileged(binary()?);
        command.arg(&config);
        let log = directory.path().join("log");
        let process = Process::start("pgbouncer", &command, &log)?;
        let pooler = Self {
            port,
            _process: process,
            _directory: directory,
        };
        let until = Instant::now() + PATIENCE;
        while Client::connect(&pooler.url(database), NoTls).is_err() {
            ensure!(
                Instant::now() < until,
                "it does not answer: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(pooler)
    }

    /// The URL of the database behind it.
    #[must_use]
    pub fn url(&self, database: &Database) -> String {
        let name = database.name();
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }
}

fn binary() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/pgbouncer.sh");
    let output = Command::new(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("failed to run {script:?}"))?;
    ensure!(output.status.success(), "{script:?}: {}", output.status);
    let path = String::from_utf8(output.stdout).context("a path is UTF-8")?;
    Ok(path.trim().into())
}
