//! A signal ends every command within seconds, with 76, and nothing of it goes on in the server.

use std::time::{Duration, Instant};

use acceptance::{Job, publish, shop, write_plan};
use milepost_job_spec::Strategy;
use tempfile::TempDir;
use test_case::test_case;

use crate::ALL;

/// How long a command may take to end.
const SOON: Duration = Duration::from_secs(10);

#[test_case("migrate", &[])]
#[test_case("publish", &["--from", "PLAN"])]
#[test_case("merge", &["--platform", "main", "--store", "shop"]; "merge a stream")]
#[test_case("merge", &["--platform", "main", "--shard", "1/1"]; "merge a share")]
#[test_case("verify", &["--platform", "main"])]
#[test_case("reconcile-views", &[])]
#[test_case("migrate-tables", &["--platform", "main", "--store", "shop"])]
#[test_case("rebuild", &["--platform", "main", "--store", "shop", "--from", "source", "--yes"])]
#[test_case("resync", &["--platform", "main", "--store", "shop"])]
#[test_case("trim-staging", &[])]
#[test_case("trim-history", &[])]
#[test_case("remove-unused-tables", &[])]
#[test_case("quarantine", &["list", "--platform", "main"]; "list the quarantine")]
#[test_case("quarantine", &["replay", "--platform", "main", "--store", "shop", "--yes"]; "replay the quarantine")]
#[test_case("topics", &["list", "--platform", "main"])]
#[test_case("erase", &["--platform", "main", "--store", "shop", "--dataset", "orders", "--key", "id=1", "--yes"])]
fn a_command_that_waits_ends_at_once(command: &str, arguments: &[&str]) {
    let spec = shop::stream(ALL);
    let mut database = acceptance::Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let plan = TempDir::new().expect("the temporary directory is writable");
    write_plan(&database, std::slice::from_ref(&spec), 2, plan.path());
    let from = plan.path().display().to_string();
    let mut other = database.again();
    other.run(
        "begin; lock table milepost.schema_version, milepost.streams in access exclusive mode",
    );
    let running = Job::new(database.url())
        .args([command])
        .args(
            arguments
                .iter()
                .map(|own| if *own == "PLAN" { &from } else { *own }),
        )
        .start();
    let waiting =
        "select count(*) from pg_stat_activity where application_name = 'milepost merge-job'
                      and datname = current_database() and wait_event_type = 'Lock'";
    let begun = Instant::now();
    while database.value(waiting) != "1" {
        assert!(begun.elapsed() < SOON, "{command} never waited");
    }
    let asked = Instant::now();
    let run = running.terminate();
    assert_eq!(run.code, 76, "{run}");
    assert!(asked.elapsed() < SOON, "{run}");
    while database.value(waiting) != "0" {
        assert!(asked.elapsed() < SOON, "{command} goes on in the server");
    }
}

#[test]
fn a_command_that_reads_keys_from_nobody_ends_at_once() {
    let spec = shop::stream(Strategy::LiveOnly);
    let database = acceptance::Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    // A pipe of which nobody writes the other end.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let running = Job::erase(database.url(), &spec, "orders")
        .args(["--keys-from", "-", "--yes"])
        .stdin(reader)
        .start();
    // It is past its beginning once it takes signals, which /proc tells.
    let asked = Instant::now();
    running.until_it_takes_signals(SOON);
    let run = running.terminate();
    assert_eq!(run.code, 76, "{run}");
    assert!(asked.elapsed() < SOON * 2, "{run}");
    drop(writer);
}
