//! The command line itself: usage, output that nobody reads, statements that can be run elsewhere.

use std::fs::File;
use std::process::{Command, Stdio};

use acceptance::{Cluster, Job};
use milepost_job_spec::Strategy;
use tempfile::NamedTempFile;
use test_case::test_case;

use crate::{COLUMNS, MILESTONED, people, publish_ok, schema};

#[test_case(&["merge"]; "no stream")]
#[test_case(&["merge", "--platform", "main"]; "no store")]
#[test_case(&["merge", "--platform", "main", "--store", "shop", "--spec", "x.json"]; "a stream and a file")]
#[test_case(&["publish"]; "no folder")]
#[test_case(&["verify", "--platform", "main", "--format", "xml"]; "another format")]
#[test_case(&["mend"]; "another command")]
fn wrong_usage_ends_with_2_and_says_what_is_right(arguments: &[&str]) {
    let run = Job::new("").args(arguments.iter().copied()).run();
    assert_eq!(run.code, 2, "{run}");
    assert!(
        run.stderr.contains("Usage:") || run.stderr.contains("possible values"),
        "{run}"
    );
    assert_eq!(run.stdout, "");
}

#[test_case("migrate")]
#[test_case("publish")]
#[test_case("merge")]
#[test_case("verify")]
#[test_case("migrate-tables")]
#[test_case("ddl")]
#[test_case("completions")]
fn help_of_every_command_has_an_example(command: &str) {
    let run = Job::new("").args([command, "--help"]).run();
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("Example"), "{run}");
    assert!(
        run.stdout.contains(&format!("  merge-job {command} ")) || command == "migrate",
        "{run}"
    );
}

#[test]
fn an_environment_without_a_database_is_named() {
    let run = Job::new("not a url").args(["migrate"]).run();
    assert_eq!(run.code, 2, "{run}");
    assert!(
        run.stderr.contains("MILEPOST_DATABASE_URL does not parse"),
        "{run}"
    );
    assert!(
        !run.stderr.contains("not a url"),
        "a value may be a password: {run}"
    );
}

/// The exit code and the messages of a run whose results go there.
fn printing_to(stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let output = Command::new(acceptance::binary())
        .args(["completions", "bash"])
        .stdout(stdout)
        .output()
        .expect("merge-job was built");
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), messages)
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe opens");
    drop(reader);
    assert_eq!(printing_to(writer), (Some(0), String::new()));
}

#[test]
fn output_that_cannot_be_written_is_told() {
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let (code, messages) = printing_to(full);
    assert_eq!(code, Some(2), "{messages}");
    assert!(messages.contains("cannot write the output"), "{messages}");
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(MILESTONED; "milestoned")]
fn the_printed_statements_make_what_a_publish_makes(strategy: Strategy) {
    let spec = people(strategy, &COLUMNS);
    let published = Cluster::shared().database();
    publish_ok(&published, std::slice::from_ref(&spec), 1);

    let file = NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), spec.to_json()).expect("it is writable");
    let path = file.path().display().to_string();
    let run = Job::new("").args(["ddl", "--spec", &path]).run();
    assert_eq!(run.code, 0, "{run}");
    let mut by_hand = Cluster::shared().empty_database();
    by_hand.run(&run.stdout);
    assert_eq!(schema(&by_hand), schema(&published));
}
