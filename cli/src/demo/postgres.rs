//! A PostgreSQL server of this command alone.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

use milepost_job_spec::Outcome;
use tokio::process::Command;

use super::binaries::Binaries;
use crate::failure::Failure;

const USER: &str = "postgres";
const DATABASE: &str = "demo";

/// The server. It listens on 127.0.0.1 and on a socket in its own directory, and wants a password on both: other users of
/// this machine are not let in.
///
/// A guard process holds the other end of a pipe: when this command ends, however it ends, the guard stops the server and
/// removes the directory; dropping the cluster waits for that.
pub(super) struct Cluster {
    binaries: Binaries,
    directory: PathBuf,
    port: u16,
    url: String,
    guard: Guard,
}

impl Cluster {
    /// Makes a cluster and starts its server.
    pub(super) async fn start() -> Result<Self, Failure> {
        let binaries = Binaries::find().await?;
        let password = password()?;
        let (guard, directory) = Guard::start(&binaries, &password)?;

        let data = directory.join("data");
        let mut initdb = unprivileged(binaries.path.join("initdb"));
        initdb.arg("--pgdata").arg(&data);
        initdb.arg("--pwfile").arg(directory.join("password"));
        initdb.args(["--username", USER, "--auth", "scram-sha-256"]);
        initdb.args(["--encoding", "UTF8", "--no-locale", "--no-sync"]);
        run(initdb, "initdb").await?;

        let port = serve(&binaries, &directory).await?;
        let mut createdb = unprivileged(binaries.path.join("createdb"));
        createdb
            .env("PGPASSWORD", &password)
            .args(["--host", "127.0.0.1"]);
        createdb.args(["--port", &port.to_string(), "--username", USER, DATABASE]);
        run(createdb, "createdb").await?;

        let url = format!("postgres://{USER}:{password}@127.0.0.1:{port}/{DATABASE}");
        Ok(Self {
            binaries,
            directory,
            port,
            url,
            guard,
        })
    }

    /// How to connect.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Leaves the server running; says how to connect and how to stop it.
    pub(super) fn keep(self) -> String {
        self.guard.forget();
        let sudo = match is_root() {
            true => "setpriv --reuid=nobody --regid=nogroup --clear-groups -- ",
            false => "",
        };
        let psql = self.binaries.path.join("psql");
        let pg_ctl = self.binaries.path.join("pg_ctl");
        let directory = self.directory.display();
        format!(
            "connect:   {} {}\nstop:      {sudo}{} stop --mode immediate --pgdata {directory}/data && rm -r {directory}\n",
            psql.display(),
            self.url,
            pg_ctl.display()
        )
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PostgreSQL {} of {}, private, on 127.0.0.1:{}",
            self.binaries.version,
            self.binaries.path.display(),
            self.port
        )
    }
}

/// Starts the server on a port that is free.
async fn serve(binaries: &Binaries, directory: &Path) -> Result<u16, Failure> {
    let log = directory.join("log");
    // A port that is free now may not be in a moment: then another one is.
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| Failure::usage(format!("127.0.0.1 has no free port: {error}")))?
            .port();
        let mut pg_ctl = unprivileged(binaries.path.join("pg_ctl"));
        pg_ctl.args(["start", "--wait", "--silent", "--pgdata"]);
        pg_ctl.arg(directory.join("data"));
        pg_ctl.arg("--log").arg(&log);
        pg_ctl.arg("--options").arg(options(directory, port));
        // The server inherits these, so it must not hold on to ours.
        pg_ctl.stdout(Stdio::null()).stderr(Stdio::null());
        let started = pg_ctl.status().await;
        if started.is_ok_and(|status| status.success()) {
            return Ok(port);
        }
    }
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    Err(Failure::new(
        Outcome::Unreachable,
        format!("the private Postgres does not start: {}", said.trim()),
    ))
}

/// Nothing here has to survive a crash of the machine, so nothing waits for a disk.
fn options(directory: &Path, port: u16) -> String {
    format!(
        "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={} \
         -c fsync=off -c full_page_writes=off -c timezone=UTC",
        directory.display()
    )
}

/// Stops the server and removes its directory when the pipe to it is closed.
struct Guard {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Has the guard make the server's directory, of the server's user and closed to everybody else, with the password in a
    /// file: so there is no moment at which a directory is there and nobody to remove it.
    fn start(binaries: &Binaries, password: &str) -> Result<(Self, PathBuf), Failure> {
        let temporary = std::env::temp_dir();
        let cannot = |why: &str| {
            Failure::usage(format!(
                "cannot make a directory in `{}`: {}",
                temporary.display(),
                why.trim()
            ))
            .with_help("set TMPDIR to a directory that every user may write in")
        };
        // The second line on the pipe says that the server is to stay.
        let script = r#"trap '' INT TERM HUP
            umask 077
            d=$(mktemp -d "$2/milepost-demo.XXXXXX") || exit 1
            if read -r password; then
                printf %s "$password" >"$d/password"
                echo "$d"
                if read -r _; then exit; fi
            fi
            "$1/pg_ctl" stop --mode immediate --silent --pgdata "$d/data"
            rm -rf "$d" || { sleep 1; rm -rf "$d"; }"#;
        // Not killed with us, unlike every other command.
        let mut command = unprivileged("sh").into_std();
        command
            .args(["-c", script, "guard"])
            .args([binaries.path.as_os_str(), temporary.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn().map_err(|error| {
            Failure::usage(format!("cannot guard the private Postgres: {error}"))
        })?;
        let mut pipe = process.stdin.take();
        if let Some(pipe) = &mut pipe {
            // What fails here fails in the guard, too, and is seen below.
            let _ = writeln!(pipe, "{password}");
        }
        let mut directory = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut directory)
                .map_err(|error| cannot(&error.to_string()))?;
        }
        if directory.is_empty() {
            return Err(cannot("the server's user may not"));
        }
        Ok((Self { process, pipe }, directory.trim_end().into()))
    }

    /// Has it leave the server alone.
    fn forget(mut self) {
        if let Some(pipe) = &mut self.pipe {
            let _ = pipe.write_all(b"stay\n");
        }
    }
}

impl Drop for Guard {
    /// Closes the pipe, and waits until the guard has done its work.
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.process.wait();
    }
}

/// A password that nobody guesses, of characters that a URL needs not escape.
fn password() -> Result<String, Failure> {
    let mut random = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(|error| Failure::usage(format!("cannot read /dev/urandom: {error}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn run(mut command: Command, name: &str) -> Result<(), Failure> {
    let failed = |why: &str| {
        Failure::new(
            Outcome::Unreachable,
            format!("`{name}` failed: {}", why.trim()),
        )
    };
    let output = command.output().await;
    let output = output.map_err(|error| failed(&error.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(&String::from_utf8_lossy(&output.stderr))),
    }
}

/// A command that Postgres accepts: it refuses to run as root, so root runs it as `nobody`.
fn unprivileged(program: impl AsRef<OsStr>) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]);
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    // The directory that we are in may be closed to that user.
    command
        .current_dir("/")
        .stdin(Stdio::null())
        // Ctrl-C goes to a whole group, and is ours to hear.
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Are we root? The owner of our own entry in `/proc` tells; where there is no `/proc`, nobody is asked to be somebody else.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
