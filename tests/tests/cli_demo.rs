//! The demo: it shows the whole path, fails where rows are not true, and leaves nothing behind.

mod cli;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use cli::{Run, binaries, checkout, run};
use tempfile::TempDir;

/// A place for the demo's server: the user that runs it must be able to write there.
fn open_directory() -> TempDir {
    let directory = TempDir::new().expect("the temporary directory is writable");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777))
        .expect("it is our own");
    directory
}

fn demo(milepost: &Path, servers: &Path, out: &Path) -> Command {
    let mut command = Command::new(milepost);
    command
        .args(["demo", "--out"])
        .arg(out)
        .env("TMPDIR", servers)
        .current_dir(checkout());
    command
}

fn left(servers: &Path) -> usize {
    fs::read_dir(servers).expect("it is there").count()
}

#[test]
fn the_demo_shows_the_whole_path() {
    let (servers, out) = (open_directory(), open_directory());
    let milepost = binaries().join("milepost");
    let told: Run = run(&mut demo(&milepost, servers.path(), out.path()));
    assert_eq!(told.code, 0, "{told}");
    for part in [
        "== round 3 of 3",
        "live rows equal the source's",
        "== live rows of",
        "== history of one key of",
        "as of the end of the first round",
        "== metrics of every batch",
        "succeeded",
        "artifacts: ",
    ] {
        assert!(told.stdout.contains(part), "`{part}` is not in:\n{told}");
    }
    assert!(out.path().join("main/platform.json").exists());
    assert_eq!(left(servers.path()), 0, "the server is gone");
}

#[test]
fn a_merge_that_loses_rows_fails_the_demo() {
    let (servers, out, twisted) = (open_directory(), open_directory(), open_directory());
    let milepost = twisted.path().join("milepost");
    fs::copy(binaries().join("milepost"), &milepost).expect("the copy is writable");
    // Stands beside the copy in the place of the real one, and merges nothing.
    let job = twisted.path().join("merge-job");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = merge ] || exec '{}' \"$@\"\n",
        binaries().join("merge-job").display()
    );
    fs::write(&job, script).expect("the copy is writable");
    fs::set_permissions(&job, fs::Permissions::from_mode(0o755)).expect("it is our own");
    let told = run(&mut demo(&milepost, servers.path(), out.path()));
    assert_eq!(told.code, 1, "{told}");
    assert!(told.stderr.contains("error: live rows of `"), "{told}");
    assert!(told.stderr.contains("merged: no such row"), "{told}");
    assert_eq!(left(servers.path()), 0, "the server is gone");
}

#[test]
fn a_demo_without_postgres_says_how_to_get_one() {
    let (servers, out) = (open_directory(), open_directory());
    let milepost = binaries().join("milepost");
    let mut command = demo(&milepost, servers.path(), out.path());
    let told = run(command.env("MILEPOST_PGBIN", "/no/such/place"));
    assert_eq!(told.code, 2, "{told}");
    assert!(
        told.stderr
            .contains("MILEPOST_PGBIN is `/no/such/place`, which holds no PostgreSQL 15 or newer"),
        "{told}"
    );
    assert!(told.stderr.contains("help: name a directory"), "{told}");
}

#[test]
fn a_signal_stops_the_demo_and_its_server() {
    let (servers, out) = (open_directory(), open_directory());
    let milepost = binaries().join("milepost");
    let mut child = demo(&milepost, servers.path(), out.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary was built");
    // The signal comes while there is something to remove.
    for _ in 0..600 {
        if left(servers.path()) > 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(left(servers.path()), 1);
    let pid = child.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(76));
    assert_eq!(left(servers.path()), 0, "the server is gone");
}
