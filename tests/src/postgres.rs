use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Database, Job, port};

/// The directory of a cluster is `<PREFIX><process id of its test run>-<number>`: so a later run knows which ones are stale.
const PREFIX: &str = "milepost-test-";
/// A database that is migrated once and copied for every test.
const TEMPLATE: &str = "milepost_template";
/// A user that must give a password; everybody else is trusted.
pub(crate) const SCRAM_USER: &str = "scram";
/// Whoever is a member of this role must give a password, too.
pub(crate) const PASSWORD_USERS: &str = "password_users";

/// A PostgreSQL server of this test process alone.
///
/// It listens on 127.0.0.1 and on a socket in its own directory. A guard process stops it and removes the directory as
/// soon as this process ends, however it ends.
#[derive(Debug)]
pub struct Cluster {
    bin: PathBuf,
    directory: PathBuf,
    port: u16,
    next_database: AtomicU32,
    migrated: OnceLock<()>,
    /// The guard waits for the end of this pipe.
    guard: (Child, Option<ChildStdin>),
}

impl Drop for Cluster {
    /// Waits until the server and its directory are gone.
    fn drop(&mut self) {
        drop(self.guard.1.take());
        let _ = self.guard.0.wait();
    }
}

impl Cluster {
    /// The cluster of this process, started by whoever asks first.
    ///
    /// # Panics
    /// If no PostgreSQL is installed, or it does not start.
    #[must_use]
    pub fn shared() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(|| match Self::start(&[]) {
            Ok(cluster) => cluster,
            Err(error) => panic!("no private PostgreSQL: {error:#}"),
        })
    }

    /// A new, empty database with the control schema of the merge job.
    #[must_use]
    pub fn database(&self) -> Database {
        self.migrated.get_or_init(|| {
            self.create(TEMPLATE, "template0");
            let run = Job::new(&self.url(TEMPLATE)).args(["migrate"]).run();
            assert_eq!(run.code, 0, "migrate failed: {run}");
        });
        self.copy_of(TEMPLATE)
    }

    /// A new database with nothing in it.
    #[must_use]
    pub fn empty_database(&self) -> Database {
        self.copy_of("template0")
    }

    /// A new database of this name with nothing in it.
    #[must_use]
    pub fn named_database(&self, name: &str) -> Database {
        self.create(name, "template0");
        Database::connect(&self.url(name))
    }

    /// A copy of a database, which nobody may use meanwhile.
    #[must_use]
    pub fn copy(&self, original: Database) -> (Database, Database) {
        let name = original.name().to_owned();
        drop(original);
        let copy = self.copy_of(&name);
        (Database::connect(&self.url(&name)), copy)
    }

    /// A connection URL of a database of this cluster.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A connection URL of a user whose password is `right`.
    #[must_use]
    pub fn url_with_password(&self, database: &str, password: &str) -> String {
        format!(
            "postgres://{SCRAM_USER}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The database as SQL text, for comparison; without what `pg_dump` makes up for each dump.
    ///
    /// # Panics
    /// If `pg_dump` fails.
    #[must_use]
    pub fn dump(&self, database: &Database, options: &[&str]) -> String {
        let output = Command::new(self.bin.join("pg_dump"))
            .args(options)
            .arg(database.url())
            .output()
            .expect("pg_dump stands beside postgres");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Runs statements that concern the whole cluster.
    pub(crate) fn run(&self, sql: &str) {
        Database::connect(&self.url("postgres")).run(sql);
    }

    fn copy_of(&self, template: &str) -> Database {
        let name = format!(
            "test_{}",
            self.next_database.fetch_add(1, Ordering::Relaxed)
        );
        self.create(&name, template);
        Database::connect(&self.url(&name))
    }

    fn create(&self, name: &str, template: &str) {
        self.run(&format!("create database {name} template {template}"));
    }

    /// A server with these settings (`wal_level=logical`) beside those that every one of ours has.
    ///
    /// # Errors
    /// If no PostgreSQL is installed, or it does not start.
    pub fn start(settings: &[&str]) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let bin = binaries()?;
        let root = std::env::temp_dir();
        sweep(&bin, &root);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = root.join(format!("{PREFIX}{}-{number}", std::process::id()));
        let made = unprivileged(bin.join("initdb"))
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--no-locale",
            ])
            .args([
                OsStr::new("--no-sync"),
                OsStr::new("--pgdata"),
                directory.as_os_str(),
            ])
            .output()
            .context("failed to run initdb")?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );

        let rules = directory.join("pg_hba.conf");
        let trusted = fs::read_to_string(&rules)?;
        let first = [SCRAM_USER, &format!("+{PASSWORD_USERS}")]
            .map(|user| format!("host all {user} 127.0.0.1/32 scram-sha-256\n"))
            .concat();
        fs::write(&rules, first + &trusted)?;

        fs::write(
            directory.join("postgresql.auto.conf"),
            server_settings(&directory, settings),
        )?;

        let guard = guard(&bin, &directory)?;
        let mut cluster = Self {
            bin,
            directory,
            port: 0,
            next_database: AtomicU32::new(0),
            migrated: OnceLock::new(),
            guard,
        };
        // The port is free now and may not be in a moment: then another one is.
        for _ in 0..5 {
            cluster.port = port::free();
            if cluster.start_server()? {
                cluster.run(&format!(
                    "create role {SCRAM_USER} login superuser password 'right';
                     create role {PASSWORD_USERS}"
                ));
                return Ok(cluster);
            }
        }
        bail!("it does not start: {}", cluster.log())
    }

    /// Starts the server on the cluster's port; false if it did not come up.
    fn start_server(&self) -> Result<bool> {
        let started = unprivileged(self.bin.join("pg_ctl"))
            .args(["start", "--wait", "--silent", "--pgdata"])
            .arg(&self.directory)
            .arg("--log")
            .arg(self.directory.join("log"))
            .args(["--options", &format!("-p {}", self.port)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("failed to run pg_ctl")?;
        Ok(started.success())
    }

    /// Ends the server as a power cut would, and starts it again on the same port.
    ///
    /// # Panics
    /// If it does not come back.
    pub fn crash(&self) {
        let stopped = unprivileged(self.bin.join("pg_ctl"))
            .args(["stop", "--mode=immediate", "--silent", "--pgdata"])
            .arg(&self.directory)
            .status();
        assert!(
            stopped.is_ok_and(|status| status.success()),
            "{}",
            self.log()
        );
        let started = self.start_server().expect("pg_ctl stands beside postgres");
        assert!(started, "it does not come back: {}", self.log());
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Its version, as `15.18`.
    #[must_use]
    pub fn version(&self) -> String {
        let version = Database::connect(&self.url("postgres")).value("show server_version");
        let number = version.split_whitespace().next();
        number.unwrap_or_default().to_owned()
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A program of its version of PostgreSQL, as `psql` or `pgbench`.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.bin.join(name))
    }
}

/// Nothing here has to survive a crash of the machine, so nothing waits for a disk.
fn server_settings(directory: &Path, more: &[&str]) -> String {
    let own = [
        "listen_addresses='127.0.0.1'".to_owned(),
        format!("unix_socket_directories='{}'", directory.display()),
        "fsync=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "max_connections=80".to_owned(),
        "timezone='UTC'".to_owned(),
        "jit=off".to_owned(),
        "max_wal_size='2GB'".to_owned(),
    ];
    let all = own.iter().map(String::as_str).chain(more.iter().copied());
    all.map(|setting| format!("{setting}\n")).collect()
}

/// The directory with `initdb`: `MILEPOST_PGBIN`, else the newest of Debian's, else the one of the path.
fn binaries() -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os("MILEPOST_PGBIN") {
        return Ok(chosen.into());
    }
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    versions.sort();
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).find(|directory| directory.join("initdb").exists())
    });
    versions.pop().map(|(_, bin)| bin).or(on_path).context(
        "install PostgreSQL 15 or newer (`apt-get install postgresql`), or set MILEPOST_PGBIN",
    )
}

/// A command that Postgres accepts: it refuses to run as root, so root runs it as `nobody`.
pub(crate) fn unprivileged(program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"])
        .arg(program)
        // The directory of the tests may be closed to that user.
        .current_dir("/");
    command
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// A process that outlives this one by a moment: when its standard input ends, it stops the server and removes everything.
fn guard(bin: &Path, directory: &Path) -> Result<(Child, Option<ChildStdin>)> {
    let script = r#"trap '' INT TERM HUP
        cat >/dev/null
        "$1/pg_ctl" stop --mode=immediate --silent --pgdata "$2"
        rm -rf "$2""#;
    let mut child = unprivileged("sh")
        .args(["-c", script, "guard"])
        .args([bin, directory])
        // What is meant for our group, as Ctrl-C or a KILL, is not meant for it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("failed to start the guard of the cluster")?;
    let pipe = child.stdin.take();
    Ok((child, pipe))
}

/// Stops and removes clusters whose test process is gone and whose guard did not do it.
fn sweep(bin: &Path, root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let owner = owner.and_then(|name| name.split('-').next());
        let Some(owner) = owner.filter(|id| id.parse::<u32>().is_ok()) else {
            continue;
        };
        let lives = Command::new("kill")
            .args(["-0", owner])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !lives {
            // Whatever fails here is somebody else's cluster or already gone.
            let _ = unprivileged(bin.join("pg_ctl"))
                .args(["stop", "--mode=immediate", "--silent", "--pgdata"])
                .arg(entry.path())
                .stderr(Stdio::null())
                .status();
            let _ = unprivileged("rm")
                .arg("-rf")
                .arg(entry.path())
                .stderr(Stdio::null())
                .status();
        }
    }
}
