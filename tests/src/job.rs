use std::fmt;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use milepost_job_spec::{
    DatabaseAddress, Digest, ModelVersion, PLATFORM_PLAN_VERSION, PlatformPlan, StreamEntry,
    StreamSpec,
};
use tempfile::TempDir;

use crate::Database;

/// A run of the real `merge-job`, as a pod would do it.
#[derive(Debug)]
pub struct Job(Command);

/// How it ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// The exit code; −1 where a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it told its user.
    pub stderr: String,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

impl Run {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A run that goes on.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Waits for its end.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    pub fn wait(self) -> Run {
        Run::of(&self.0.wait_with_output().expect("it was started"))
    }

    /// Waits until it handles SIGTERM itself, which the system tells of every process.
    ///
    /// # Panics
    /// If it does not within the time.
    pub fn until_it_takes_signals(&self, within: Duration) {
        let begun = Instant::now();
        let status = format!("/proc/{}/status", self.0.id());
        loop {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            // SIGTERM is 15, the first signal is the lowest bit.
            if caught.is_some_and(|mask| mask & (1 << 14) != 0) {
                return;
            }
            assert!(begun.elapsed() < within, "it takes no signals");
        }
    }

    /// Asks it to stop, as Kubernetes does, and waits for its end.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    pub fn terminate(self) -> Run {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()), "it is there");
        self.wait()
    }
}

impl Job {
    /// A run against this database, with nothing else of Milepost in its environment.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let mut command = Command::new(binary());
        command
            .env("MILEPOST_DATABASE_URL", url)
            .env("NO_COLOR", "1")
            .env_remove("MILEPOST_FAULT")
            .stdin(Stdio::null());
        Self(command)
    }

    /// `merge` of a published stream.
    #[must_use]
    pub fn merge(url: &str, spec: &StreamSpec) -> Self {
        let stream = &spec.stream;
        let job = Self::new(url).args([
            "merge",
            "--platform",
            &stream.platform,
            "--store",
            &stream.store,
        ]);
        match &stream.dataset {
            Some(dataset) => job.args(["--dataset", dataset]),
            None => job,
        }
    }

    /// `quarantine` of a published stream: `replay` or `discard`.
    #[must_use]
    pub fn quarantine(url: &str, spec: &StreamSpec, verb: &str) -> Self {
        let stream = &spec.stream;
        let job = Self::new(url).args(["quarantine", verb]).args([
            "--platform",
            &stream.platform,
            "--store",
            &stream.store,
        ]);
        match &stream.dataset {
            Some(dataset) => job.args(["--dataset", dataset]),
            None => job,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.args(arguments);
        self
    }

    /// Gives it this text as standard input.
    ///
    /// # Panics
    /// If no temporary file can be made.
    #[must_use]
    pub fn input(mut self, text: &str) -> Self {
        let mut file = tempfile::tempfile().expect("the temporary directory is writable");
        file.write_all(text.as_bytes())
            .and_then(|()| file.rewind())
            .expect("the temporary directory has room");
        self.0.stdin(file);
        self
    }

    /// Gives it this as standard input.
    #[must_use]
    pub fn stdin(mut self, input: impl Into<Stdio>) -> Self {
        self.0.stdin(input);
        self
    }

    /// `erase` of keys of a dataset of a published stream.
    #[must_use]
    pub fn erase(url: &str, spec: &StreamSpec, dataset: &str) -> Self {
        let stream = &spec.stream;
        Self::new(url).args([
            "erase",
            "--platform",
            &stream.platform,
            "--store",
            &stream.store,
            "--dataset",
            dataset,
        ])
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If the binary cannot be started.
    #[must_use]
    pub fn run(mut self) -> Run {
        Run::of(&self.0.output().expect("merge-job was built"))
    }

    /// Starts it and does not wait.
    ///
    /// # Panics
    /// If the binary cannot be started.
    #[must_use]
    pub fn spawn(mut self) -> Child {
        self.0
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("merge-job was built")
    }

    /// Starts it, to be waited for.
    ///
    /// # Panics
    /// If the binary cannot be started.
    #[must_use]
    pub fn start(mut self) -> Running {
        self.0.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(self.0.spawn().expect("merge-job was built"))
    }

    /// Runs it and demands that it succeeds.
    ///
    /// # Panics
    /// If it does not.
    pub fn succeed(self) {
        let run = self.run();
        assert_eq!(run.code, 0, "{run}");
    }
}

/// Publishes streams as the first model of their platform.
///
/// # Panics
/// If the merge job refuses them.
pub fn publish(database: &Database, specs: &[StreamSpec]) {
    let run = publish_model(database, specs, 1);
    assert_eq!(run.code, 0, "publish failed: {run}");
}

/// Publishes streams as the model with this place in its history.
///
/// # Panics
/// If the files cannot be written.
#[must_use]
pub fn publish_model(database: &Database, specs: &[StreamSpec], order: u64) -> Run {
    let directory = TempDir::new().expect("the temporary directory is writable");
    write_plan(database, specs, order, directory.path());
    let from = directory.path().display().to_string();
    Job::new(database.url())
        .args(["publish", "--from", &from])
        .run()
}

/// Writes `platform.json` and `streams/*.json` as `milepost render` would.
///
/// # Panics
/// If the files cannot be written.
pub fn write_plan(database: &Database, specs: &[StreamSpec], order: u64, directory: &Path) {
    std::fs::create_dir(directory.join("streams")).expect("the directory is new");
    let mut plan = PlatformPlan {
        version: PLATFORM_PLAN_VERSION,
        platform: specs
            .first()
            .map_or_else(String::new, |spec| spec.stream.platform.clone()),
        model: ModelVersion {
            commit: format!("{order:040x}"),
            order,
        },
        database: DatabaseAddress {
            host: "127.0.0.1".to_owned(),
            port: 5432,
            database: database.name().to_owned(),
            user_variable: "MERGE_USER".to_owned(),
            password_variable: "MERGE_PASSWORD".to_owned(),
        },
        streams: Vec::new(),
        tables: Vec::new(),
        workspaces: Vec::new(),
    };
    for spec in specs {
        let json = spec.to_json();
        let name = spec.stream.dataset.as_ref().unwrap_or(&spec.stream.store);
        let file = format!("streams/{name}.json");
        std::fs::write(directory.join(&file), &json).expect("the directory is writable");
        plan.streams.push(StreamEntry {
            stream: spec.stream.clone(),
            file,
            digest: Digest::of(json.as_bytes()),
        });
        plan.tables.extend(spec.transactions.clone());
        for dataset in &spec.datasets {
            plan.tables
                .extend([dataset.staging.clone(), dataset.merge.clone()]);
            plan.tables.extend(dataset.live.clone());
            plan.tables.extend(dataset.closed.clone());
        }
    }
    std::fs::write(directory.join("platform.json"), plan.to_json())
        .expect("the directory is writable");
}

/// The binary beside this test, built once per test process: `cargo test` builds no binaries of other packages.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("MILEPOST_MERGE_JOB") {
            return given.into();
        }
        let test = std::env::current_exe().expect("the test has a path");
        let profile = test
            .ancestors()
            .find(|directory| directory.ends_with("debug") || directory.ends_with("release"))
            .expect("cargo puts tests below their profile");
        let mut build = Command::new(env!("CARGO"));
        build
            .args([
                "build",
                "--quiet",
                "--package",
                "milepost-merge-job",
                "--bin",
                "merge-job",
            ])
            .args(profile.ends_with("release").then_some("--release"))
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        let status = build.status().expect("cargo runs tests, so it is there");
        assert!(status.success(), "merge-job does not build");
        profile.join("merge-job")
    })
}
