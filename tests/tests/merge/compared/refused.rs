//! What is not compared, and why.

use acceptance::{Job, publish_model, shop};
use test_case::test_case;

use super::{ALL, Pair, Strategy};

#[test]
fn a_spec_that_names_no_source_needs_its_address() {
    let mut pair = Pair::of(ALL);
    pair.spec.origin = None;
    pair.spec.datasets[0].source_table = None;
    let run = publish_model(&pair.platform, std::slice::from_ref(&pair.spec), 2);
    assert_eq!(run.code, 0, "{run}");
    let platform = pair.platform;
    for command in ["verify", "resync"] {
        let run = Job::new(platform.url())
            .args([command, "--platform", "main", "--store", "shop"])
            .args(["--source"].into_iter().filter(|_| command == "verify"))
            .run();
        assert_eq!(run.code, 2, "{run}");
        assert!(
            run.stderr.contains("set MILEPOST_SOURCE_URL=postgres://"),
            "{run}"
        );
    }
}

#[test]
fn a_plan_of_an_earlier_version_is_compared_by_the_names_of_events() {
    let mut pair = Pair::of(ALL);
    pair.spec.origin = None;
    let dataset = &mut pair.spec.datasets[0];
    dataset.source_table = None;
    dataset.source_name = "public.items".to_owned();
    let run = publish_model(&pair.platform, std::slice::from_ref(&pair.spec), 2);
    assert_eq!(run.code, 0, "{run}");
    pair.write(1, "lost");
    pair.repaired();
    pair.is_equal();
}

#[test]
fn rows_of_another_kind_of_source_are_not_compared() {
    let mut pair = Pair::of(ALL);
    pair.spec.origin = None;
    pair.spec.datasets[0].source_table = None;
    // Its tables in staging would be others; that is not what is asked here.
    let mut text: serde_json::Value = serde_json::to_value(&pair.spec).expect("it is JSON");
    text["source"] = "mysql".into();
    let text = text.to_string().replace('\'', "''");
    pair.platform
        .run(&format!("update milepost.streams set spec = '{text}'"));
    let run = pair.resync(&[]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("sources that are Postgres"), "{run}");
}

#[test]
fn a_comparison_is_of_one_store() {
    let pair = Pair::of(ALL);
    let run = Job::new(pair.platform.url())
        .args(["verify", "--platform", "main", "--source"])
        .run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("--store"), "{run}");
}

#[test]
fn a_source_that_is_away_is_unreachable() {
    let pair = Pair::of(ALL);
    let run = pair
        .job("verify")
        .env("MILEPOST_SOURCE_URL", "postgres://nobody@127.0.0.1:1/none")
        .run();
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("cannot reach the source"), "{run}");
}

#[test]
fn the_environment_names_the_reader_as_the_spec_says() {
    let pair = Pair::of(ALL);
    let run = Job::new(pair.platform.url())
        .args([
            "verify",
            "--platform",
            "main",
            "--store",
            "shop",
            "--source",
        ])
        .run();
    assert_eq!(run.code, 2, "{run}");
    assert!(
        run.stderr
            .contains("the environment has no SHOP_READER_USER"),
        "{run}"
    );
}

#[test]
fn a_source_without_the_column_is_refused() {
    let mut pair = Pair::of(ALL);
    pair.source.run("alter table items drop price");
    let run = pair.verify();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr
            .contains("has no column `price` in `public.items`"),
        "{run}"
    );
}

#[test_case("in_snapshot = true", "its snapshot is not complete yet"; "in a snapshot")]
#[test_case("refill_after = 3", "its snapshot is not complete yet"; "made anew")]
#[test_case("dataset = 'gone'", "nothing of it is merged yet"; "never merged")]
fn rows_that_are_not_all_there_yet_are_not_compared(change: &str, why: &str) {
    let mut pair = Pair::of(ALL);
    pair.write(1, "changed");
    pair.platform
        .run(&format!("update milepost.positions set {change}"));
    let run = pair
        .job("verify")
        .args(["--settle", "0", "--format", "json"])
        .run();
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(report["comparison"][0]["skipped"], why, "{run}");
    let run = pair.resync(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout
            .contains(&format!("shop#items: not compared: {why}\n")),
        "{run}"
    );
}

#[test]
fn rows_without_a_key_are_not_compared() {
    let mut pair = Pair::of(Strategy::LiveOnly);
    pair.spec.stream.dataset = Some("log".to_owned());
    let mut log = shop::dataset("log", Strategy::Append, &[], &[("v", "text?")]);
    log.source_table = pair.spec.datasets[0].source_table.clone();
    pair.spec.datasets = vec![log];
    let run = publish_model(&pair.platform, std::slice::from_ref(&pair.spec), 2);
    assert_eq!(run.code, 0, "{run}");
    let run = pair.resync(&["--dataset", "log"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout
            .contains("shop#log: not compared: its rows are events"),
        "{run}"
    );
}

#[test]
fn a_source_that_every_run_reads_is_not_compared() {
    let mut pair = Pair::of(Strategy::LiveOnly);
    let database = pair.spec.origin.take().expect("it has one").database;
    pair.spec.input = milepost_job_spec::Input::Image(database);
    let run = publish_model(&pair.platform, std::slice::from_ref(&pair.spec), 2);
    assert_eq!(run.code, 0, "{run}");
    let run = pair.resync(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout
            .contains("shop#items: not compared: every run reads the source whole"),
        "{run}"
    );
}

#[test]
fn so_many_differences_are_no_accident() {
    let mut pair = Pair::of(Strategy::LiveOnly);
    pair.source
        .run("insert into items select i, 'x', 1 from generate_series(100, 60000) i");
    let run = pair.verify();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stdout
            .contains("more than 10000 rows differ from the source"),
        "{run}"
    );
    let run = pair.resync(&["--execute", "0123456789abcdef"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr
            .contains("more than 10000 rows of dataset `items` differ"),
        "{run}"
    );
}
