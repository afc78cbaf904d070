use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Database, Job};

/// The directory of a cluster is `<PREFIX><process id of its test run>`: so a later run knows which ones are stale.
const PREFIX: &str = "milepost-test-";
/// A database that is migrated once and copied for every test.
const TEMPLATE: &str = "milepost_template";
/// A user that must give a password; everybody else is trusted.
pub(crate) const SCRAM_USER: &str = "scram";

/// A PostgreSQL server of this test process alone.
///
/// It listens on 127.0.0.1 and on a socket in its own directory. A guard process stops it and removes the directory as
/// soon as this process ends, however it ends.
#[derive(Debug)]
pub struct Cluster {
    bin: PathBuf,
    port: u16,
    next_database: AtomicU32,
    /// The guard waits for the end of this pipe.
    _guard: (Child, Option<ChildStdin>),
}

impl Cluster {
    /// The cluster of this process, started by whoever asks first.
    ///
    /// # Panics
    /// If no PostgreSQL is installed, or it does not start.
    #[must_use]
    pub fn shared() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(|| match Self::start() {
            Ok(cluster) => cluster,
            Err(error) => panic!("no private PostgreSQL: {error:#}"),
        })
    }

    /// A new, empty database with the control schema of the merge job.
    #[must_use]
    pub fn database(&self) -> Database {
        static MIGRATED: OnceLock<()> = OnceLock::new();
        MIGRATED.get_or_init(|| {
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

    fn copy_of(&self, template: &str) -> Database {
        let name = format!(
            "test_{}",
            self.next_database.fetch_add(1, Ordering::Relaxed)
        );
        self.create(&name, template);
        Database::connect(&self.url(&name))
    }

    fn create(&self, name: &str, template: &str) {
        Database::connect(&self.url("postgres"))
            .run(&format!("create database {name} template {template}"));
    }

    fn start() -> Result<Self> {
        let bin = binaries()?;
        let root = std::env::temp_dir();
        sweep(&bin, &root);
        let directory = root.join(format!("{PREFIX}{}", std::process::id()));
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
        let first = format!("host all {SCRAM_USER} 127.0.0.1/32 scram-sha-256\n");
        fs::write(&rules, first + &trusted)?;

        let guard = guard(&bin, &directory)?;
        // The port is free now and may not be in a moment: then another one is.
        for attempt in 1.. {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let started = unprivileged(bin.join("pg_ctl"))
                .args(["start", "--wait", "--silent", "--pgdata"])
                .arg(&directory)
                .arg("--log")
                .arg(directory.join("log"))
                .arg("--options")
                .arg(server_options(&directory, port))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()
                .context("failed to run pg_ctl")?;
            if started.success() {
                let cluster = Self {
                    bin,
                    port,
                    next_database: AtomicU32::new(0),
                    _guard: guard,
                };
                Database::connect(&cluster.url("postgres")).run(&format!(
                    "create role {SCRAM_USER} login superuser password 'right'"
                ));
                return Ok(cluster);
            }
            if attempt == 5 {
                bail!(
                    "it does not start: {}",
                    fs::read_to_string(directory.join("log"))?
                );
            }
        }
        unreachable!("the loop ends at its fifth attempt")
    }
}

/// Nothing here has to survive a crash of the machine, so nothing waits for a disk.
fn server_options(directory: &Path, port: u16) -> String {
    [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", directory.display()),
        "fsync=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "max_connections=80".to_owned(),
        "timezone=UTC".to_owned(),
        "jit=off".to_owned(),
        "max_wal_size=2GB".to_owned(),
    ]
    .map(|option| format!("-c {option}"))
    .join(" ")
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
fn unprivileged(program: impl AsRef<OsStr>) -> Command {
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
