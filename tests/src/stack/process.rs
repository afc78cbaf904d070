//! Processes that end with us.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// Runs a command, sends it the signals that it reads, and kills its own process group, which is it, the command and
/// whatever that started, when its standard input ends. That is when our process ends, however it ends.
///
/// Only the command holds the standard output: that ends with the command.
const GUARD: &str = r#"
log=$1
shift
"$@" 3>&1 </dev/null >>"$log" 2>&1 &
echo $!
exec >/dev/null
while read -r signal; do
    kill -s "$signal" $! 2>/dev/null
done
kill -s KILL $! 2>/dev/null
wait $!
kill -s KILL 0
"#;

/// Runs a command to its end, and kills its own process group when its standard input ends before that.
const WATCH: &str = r#"
exec 4<&0
"$@" </dev/null 4<&- &
command=$!
{ read -r _ <&4; kill -s KILL 0; } >/dev/null 2>&1 &
watcher=$!
wait $command
status=$?
kill -s KILL $watcher
wait $watcher 2>/dev/null
exit $status
"#;

/// Runs a command to its end, like [`Command::output`]; where we end first, so does it.
pub(crate) fn run(command: &Command) -> Result<Output> {
    let mut watched = in_group(WATCH, &[], command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {:?}", command.get_program()))?;
    let id = watched.id();
    let pipe = watched.stdin.take().context("stdin is piped")?;
    running().insert(id, pipe);
    let output = watched.wait_with_output();
    running().remove(&id);
    Ok(output?)
}

/// Kills the commands that other threads wait for: a Terraform that applies, a psql. Servers go on.
pub fn interrupt() {
    running().clear();
}

/// Our ends of the pipes of running commands, by the ids of those who watch them.
fn running() -> MutexGuard<'static, BTreeMap<u32, ChildStdin>> {
    static RUNNING: Mutex<BTreeMap<u32, ChildStdin>> = Mutex::new(BTreeMap::new());
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A script around a command, in a process group of its own: Ctrl-C goes to a whole group, and is ours to hear.
fn in_group(script: &str, arguments: &[&OsStr], command: &Command) -> Command {
    let mut around = Command::new("sh");
    around
        .args(["-c", script, "guard"])
        .args(arguments)
        .arg(command.get_program())
        .args(command.get_args())
        .process_group(0);
    for (variable, value) in command.get_envs() {
        match value {
            Some(value) => around.env(variable, value),
            None => around.env_remove(variable),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        around.current_dir(directory);
    }
    around
}

/// A running server and the guard that ends it.
#[derive(Debug)]
pub struct Process {
    name: String,
    id: u32,
    log: PathBuf,
    guard: Child,
    signals: Option<ChildStdin>,
    ended: Receiver<()>,
    watcher: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a command with its output in a file.
    pub(crate) fn start(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let mut guard = in_group(GUARD, &[log.as_os_str()], command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        let signals = guard.stdin.take();
        let mut output = BufReader::new(guard.stdout.take().context("stdout is piped")?);
        let mut id = String::new();
        output.read_line(&mut id)?;
        let id = id.trim().parse().context("the guard tells an id")?;
        let (end, ended) = channel();
        let watcher = thread::spawn(move || {
            // Whatever it is, it is the end.
            let _ = output.read_to_end(&mut Vec::new());
            drop(end);
        });
        Ok(Self {
            name: name.to_owned(),
            id,
            log: log.to_owned(),
            guard,
            signals,
            ended,
            watcher: Some(watcher),
        })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Has it ended?
    pub(crate) fn has_ended(&self) -> bool {
        self.ends_within(Duration::ZERO)
    }

    /// Sends it a signal by its name without `SIG`.
    pub(crate) fn signal(&mut self, signal: &str) -> Result<()> {
        let pipe = self.signals.as_mut().context("its guard is there")?;
        writeln!(pipe, "{signal}").with_context(|| format!("failed to signal {}", self.name))
    }

    /// Ends it in its own time, and kills it if that is longer than the given one.
    pub(crate) fn stop(mut self, within: Duration) -> Result<()> {
        self.signal("TERM")?;
        ensure!(
            self.ends_within(within),
            "{} does not end by itself within {within:?}; the end of its log:\n{}",
            self.name,
            self.log_end()
        );
        Ok(())
    }

    /// The last lines of its log.
    pub(crate) fn log_end(&self) -> String {
        log_end(&self.log)
    }

    /// Waits for its end; false if that takes longer.
    #[must_use]
    pub fn ends_within(&self, time: Duration) -> bool {
        matches!(
            self.ended.recv_timeout(time),
            Err(RecvTimeoutError::Disconnected)
        )
    }
}

impl Drop for Process {
    /// Kills it, and waits until it is gone.
    fn drop(&mut self) {
        drop(self.signals.take());
        let _ = self.guard.wait();
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

/// The last lines of a log.
pub(crate) fn log_end(log: &Path) -> String {
    const LINES: usize = 40;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn exists(id: &str) -> bool {
        Path::new("/proc").join(id.trim()).exists()
    }

    #[test]
    fn whatever_a_process_started_ends_with_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("log");
        let process = Process::start("sleep", &shell("sleep 600 & echo $!; wait"), &log)
            .expect("sh is installed");
        let child = loop {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.ends_with('\n') {
                break text;
            }
            thread::sleep(Duration::from_millis(5));
        };
        let id = process.id().to_string();
        assert!(exists(&id) && exists(&child));
        assert!(!process.has_ended());
        drop(process);
        assert!(!exists(&id));
        // The shell has nobody who waits for it, so the system takes a moment.
        for _ in 0..200 {
            if !exists(&child) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{child} is left");
    }

    #[test]
    fn a_command_runs_to_its_end_with_its_output_and_code() {
        let output = run(&shell("echo out; echo err >&2; cat; exit 7")).expect("sh is installed");
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(
            (&output.stdout[..], &output.stderr[..]),
            (&b"out\n"[..], &b"err\n"[..])
        );
    }

    #[test]
    fn a_command_ends_with_whoever_wanted_it() {
        let mut watched = in_group(WATCH, &[], &shell("echo $$; sleep 600"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh is installed");
        let mut id = String::new();
        let stdout = watched.stdout.take().expect("it is piped");
        BufReader::new(stdout)
            .read_line(&mut id)
            .expect("it tells its id");
        assert!(exists(&id));
        drop(watched.stdin.take());
        assert!(!watched.wait().expect("it ends").success());
    }

    #[test]
    fn an_end_is_noticed_and_a_signal_arrives() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("log");
        let script = "trap 'echo told; exit' TERM; echo up; while :; do sleep 0.01; done";
        let process = Process::start("loop", &shell(script), &log).expect("sh is installed");
        while !process.log_end().contains("up") {
            thread::sleep(Duration::from_millis(5));
        }
        process.stop(Duration::from_secs(10)).expect("it ends");
        assert_eq!(log_end(&log), "up\ntold");
        let process = Process::start("end", &shell("exit 3"), &log).expect("sh is installed");
        assert!(process.ends_within(Duration::from_secs(10)));
    }
}
