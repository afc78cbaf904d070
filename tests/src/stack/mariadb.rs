//! A MariaDB that writes a binlog of rows.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::directory::Directory;
use super::downloads::Downloads;
use super::process::{Process, log_end};
use super::{READER, START};
use crate::port;

/// In the directory of its data, where server and client stand: a whole path may be longer than the 107 bytes of a socket's.
const SOCKET: &str = "--socket=socket";

/// A MariaDB server with a binlog of whole rows, a superuser `root` over its socket, and the user [`READER`].
#[derive(Debug)]
pub struct MariaDb {
    port: u16,
    log: PathBuf,
    process: Option<Process>,
    directory: Directory,
}

impl MariaDb {
    /// Starts one, and waits for it. Later options override: `["--binlog-row-image=MINIMAL"]`.
    ///
    /// # Errors
    /// If there is no MariaDB, or it does not start.
    pub fn start(options: &[&str]) -> Result<Self> {
        let directory = Directory::new()?;
        let path = directory.path();
        let mut server = Self {
            port: port::free(),
            log: path.join("log"),
            process: None,
            directory,
        };
        let made = program("scripts/mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal"])
            .arg(format!("--datadir={}", server.path("data")))
            .args(["--skip-test-db", &format!("--user={}", user())])
            .output()
            .context("failed to run mariadb-install-db")?;
        ensure!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        server.start_again(options)?;
        let (reader, password) = READER;
        server.run(&format!(
            "create user '{reader}'@'%' identified by '{password}';
             grant select, reload, show databases, replication slave, replication client, lock tables on *.* to '{reader}'@'%'"
        ))?;
        Ok(server)
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Starts it after it was killed, on the same port, and waits for it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_again(&mut self, options: &[&str]) -> Result<()> {
        let mut command = program("bin/mariadbd");
        command
            .current_dir(self.directory.path())
            .arg("--no-defaults")
            .arg(format!("--datadir={}", self.path("data")))
            .arg(SOCKET)
            .arg(format!("--user={}", user()))
            .arg(format!("--port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--server-id=1"])
            .args([
                "--log-bin=binlog",
                "--binlog-format=ROW",
                "--binlog-row-image=FULL",
                // Servers from 11.4 on do not write where an event stands in the log, unless they are told to.
                "--loose-binlog-legacy-event-pos=ON",
            ])
            .args([
                "--default-time-zone=+00:00",
                "--innodb-flush-log-at-trx-commit=2",
            ])
            .args([
                "--innodb-buffer-pool-size=64M",
                "--character-set-server=utf8mb4",
            ])
            // It would make itself a certificate at each start, which takes ten seconds.
            .arg("--skip-ssl")
            .args(options);
        self.process = Some(Process::start("MariaDB", &command, &self.log)?);
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.as_ref().is_none_or(Process::has_ended);
            if ended || begin.elapsed() > START {
                bail!("MariaDB does not start:\n{}", log_end(&self.log));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements as `root`; returns rows as the client prints them: values between tabs, `NULL` for a null.
    ///
    /// # Errors
    /// If one of them fails.
    pub fn run(&self, sql: &str) -> Result<String> {
        let mut client = program("bin/mariadb")
            .current_dir(self.path("data"))
            .args(["--no-defaults", "--skip-ssl", SOCKET])
            .args(["--user=root", "--batch", "--skip-column-names"])
            .args(["--default-character-set=utf8mb4", "--execute", sql])
            .stdin(Stdio::null())
            .output()
            .context("failed to run mariadb")?;
        let told = String::from_utf8_lossy(&client.stderr).into_owned();
        ensure!(client.status.success(), "{told}\n{sql}");
        Ok(String::from_utf8(std::mem::take(&mut client.stdout))?)
    }

    /// What it wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

impl Drop for MariaDb {
    /// Before its directory goes.
    fn drop(&mut self) {
        self.kill();
    }
}

fn program(name: &str) -> Command {
    Command::new(Downloads::get().path("MARIADB").join(name))
}

/// MariaDB refuses root unless it is told so; the directory is ours, so it is us who run it.
fn user() -> String {
    let asked = Command::new("id").arg("-un").output();
    asked.map_or_else(
        |_| "root".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
