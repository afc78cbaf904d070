//! The demo of the real stack: it compares what it says, and ends what it started and nothing else.

mod cli;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use acceptance::Cluster;
use test_case::test_case;

/// In the environment of the demo, and so of everything that it starts.
const MARK: &str = "MILEPOST_DEMO_STACK_TEST";

fn demo(mark: &str, arguments: &[&str]) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_demo-stack"));
    let merge_job = cli::binaries().join("merge-job");
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env(MARK, mark)
        .env("MILEPOST_MERGE_JOB", merge_job)
        // As a shell starts it: a signal of the terminal goes to a whole group.
        .process_group(0);
    command
}

/// What a demo has left: processes, and directories of its servers.
fn left(demo: u32, mark: &str) -> Vec<String> {
    let names = [format!("stack-{demo}-"), format!("milepost-test-{demo}-")];
    let mark = format!("{MARK}={mark}");
    let has = |bytes: &[u8], text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    let mut left = Vec::new();
    for process in fs::read_dir("/proc").expect("it is Linux").flatten() {
        let read = |file: &str| fs::read(process.path().join(file)).unwrap_or_default();
        let (line, environment) = (read("cmdline"), read("environ"));
        if names.iter().any(|name| has(&line, name)) || has(&environment, &mark) {
            left.push(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    for folder in [target, std::env::temp_dir()] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if names.iter().any(|own| name.starts_with(own.as_str())) {
                left.push(name);
            }
        }
    }
    left
}

/// How long it takes at most until Kafka and Kafka Connect run, whichever comes first.
const STARTED: Duration = Duration::from_secs(60);

/// Demands that nothing of a demo is left; what was killed may take a moment.
fn nothing_is_left(demo: u32, mark: &str, within: Duration) {
    let begin = Instant::now();
    loop {
        let left = left(demo, mark);
        if left.is_empty() {
            return;
        }
        assert!(begin.elapsed() < within, "left: {left:#?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Reads what a demo says until a line contains a text.
fn until(child: &mut Child, text: &str) -> BufReader<std::process::ChildStdout> {
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut told = String::new();
    while !told.lines().last().unwrap_or_default().contains(text) {
        let read = stdout.read_line(&mut told).expect("it writes UTF-8");
        assert!(read > 0, "it ended before `{text}`:\n{told}");
    }
    stdout
}

#[test]
fn a_short_demo_compares_every_table_and_leaves_nothing() {
    let mark = format!("short-{}", std::process::id());
    let child = demo(&mark, &["--seconds", "3"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let id = child.id();
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}{error}");
    nothing_is_left(id, &mark, Duration::ZERO);
    let lines =
        |text: &str| -> Vec<&str> { told.lines().filter(|line| line.contains(text)).collect() };
    // The first snapshot and three pauses of the load.
    let compared = lines("live rows equal the source's");
    assert_eq!(compared.len(), 4, "{told}");
    for dataset in [
        "accounts",
        "branches",
        "tellers",
        "customers",
        "documents",
        "order_lines",
        "orders",
    ] {
        assert!(
            compared.iter().all(|line| line.contains(dataset)),
            "{dataset}:\n{told}"
        );
    }
    assert_eq!(lines("equals the source then").len(), 3, "{told}");
    assert!(
        !lines("bank: ").is_empty() && !lines("shop: ").is_empty(),
        "{told}"
    );
    assert!(
        told.contains("every merge table equals its source"),
        "{told}"
    );
}

#[test_case("INT", "terraform init and apply", Some(76); "ctrl c")]
#[test_case("KILL", "tables of the shop", None; "kill")]
fn a_demo_that_ends_early_leaves_nothing(signal: &str, at: &str, code: Option<i32>) {
    // Somebody else's server, which must not notice.
    let mut other = Cluster::shared().empty_database();
    let mark = format!("{signal}-{}", std::process::id());
    let mut child = demo(&mark, &[])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary was built");
    let id = child.id();
    let _stdout = until(&mut child, at);
    let begin = Instant::now();
    loop {
        let started = left(id, &mark);
        if started.iter().filter(|line| line.contains("java")).count() >= 2 {
            break;
        }
        assert!(begin.elapsed() < STARTED, "{started:#?}");
        thread::sleep(Duration::from_millis(50));
    }
    let killed = Command::new("kill")
        .args(["-s", signal, "--", &format!("-{id}")])
        .status();
    assert!(killed.is_ok_and(|status| status.success()));
    let begin = Instant::now();
    assert_eq!(child.wait().expect("it ends").code(), code);
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
    // It ends everything before itself where it can.
    let moment = if code.is_some() { 0 } else { 10 };
    nothing_is_left(id, &mark, Duration::from_secs(moment));
    assert_eq!(other.value("select 1"), "1");
}
