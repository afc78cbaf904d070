//! The fence, completeness and idempotence of a publish.

use std::fs;

use acceptance::{Cluster, Database, Job, Run, publish_model, shop, write_plan};
use milepost_job_spec::{Digest, PlatformPlan, StreamSpec};
use tempfile::TempDir;
use test_case::test_case;

use crate::{COLUMNS, MILESTONED, people, publish_ok, stream};

/// A rendered platform, changed before it is published.
fn altered(
    database: &Database,
    specs: &[StreamSpec],
    order: u64,
    change: impl FnOnce(&mut PlatformPlan),
) -> Run {
    let folder = TempDir::new().expect("a temporary directory");
    write_plan(database, specs, order, folder.path());
    let file = folder.path().join("platform.json");
    let text = fs::read_to_string(&file).expect("the plan was written");
    let mut plan = PlatformPlan::from_json(&text).expect("the plan parses");
    change(&mut plan);
    fs::write(&file, plan.to_json()).expect("the plan is writable");
    from(database, &folder, &[])
}

fn from(database: &Database, folder: &TempDir, more: &[&str]) -> Run {
    let path = folder.path().display().to_string();
    Job::new(database.url())
        .args(["publish", "--from", &path])
        .args(more.iter().copied())
        .run()
}

fn everything(database: &Database) -> String {
    Cluster::shared().dump(database, &[])
}

#[test]
fn a_dry_run_tells_everything_and_changes_nothing() {
    let database = Cluster::shared().database();
    let before = everything(&database);
    let folder = TempDir::new().expect("a temporary directory");
    write_plan(&database, &[people(MILESTONED, &COLUMNS)], 1, folder.path());
    let run = from(&database, &folder, &["--dry-run"]);
    assert_eq!(run.code, 0, "{run}");
    for word in [
        "would be published",
        "1 new",
        "table `main.shop__people`: creates it",
        "view `risk.shop__people`",
    ] {
        assert!(run.stdout.contains(word), "lacks {word:?}: {run}");
    }
    // A rolled back insert takes its number with it.
    let rows = |dump: &str| {
        dump.lines()
            .filter(|line| !line.contains("setval"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(rows(&everything(&database)), rows(&before));
}

#[test]
fn an_identical_plan_writes_no_row() {
    let mut database = Cluster::shared().database();
    let specs = [people(MILESTONED, &COLUMNS)];
    publish_ok(&database, &specs, 1);
    let versions = "select xmin::text, published_at from milepost.plans";
    let streams = "select xmin::text from milepost.streams";
    let datasets = "select xmin::text from milepost.datasets";
    let published_at = database.rows(versions)[0][1].clone();
    let before = (database.rows(streams), database.rows(datasets));
    publish_ok(&database, &specs, 1);
    assert_eq!((database.rows(streams), database.rows(datasets)), before);
    assert_eq!(database.rows(versions)[0][1], published_at);
}

#[test]
fn an_unchanged_stream_is_not_waited_for() {
    let database = Cluster::shared().database();
    let specs = [people(MILESTONED, &COLUMNS)];
    publish_ok(&database, &specs, 1);
    let mut batch = database.again();
    batch.run("begin; select from milepost.streams for no key update");
    publish_ok(&database, &specs, 2);
}

#[test]
fn a_model_beside_the_published_one_is_refused() {
    let database = Cluster::shared().database();
    let specs = [people(MILESTONED, &COLUMNS)];
    publish_ok(&database, &specs, 7);
    let before = everything(&database);
    let run = altered(&database, &specs, 7, |plan| {
        plan.model.commit = "f".repeat(40)
    });
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("stands beside it in history"), "{run}");
    assert_eq!(everything(&database), before);
}

#[test_case("worktree"; "outside git")]
#[test_case("0123-dirty"; "uncommitted")]
fn a_local_model_may_follow_one_of_its_own_number(commit: &str) {
    let database = Cluster::shared().database();
    let specs = [people(MILESTONED, &COLUMNS)];
    publish_ok(&database, &specs, 7);
    let run = altered(&database, &specs, 7, |plan| {
        plan.model.commit = commit.to_owned()
    });
    assert_eq!(run.code, 0, "{run}");
    let run = altered(&database, &specs, 6, |plan| {
        plan.model.commit = commit.to_owned()
    });
    assert_eq!(run.code, 1, "older is older: {run}");
}

#[test]
fn a_stream_that_left_the_plan_is_retired_and_may_come_back() {
    let mut database = Cluster::shared().database();
    let gone = people(MILESTONED, &COLUMNS);
    let other = stream(shop::dataset("other", MILESTONED, &["id"], &COLUMNS));
    publish_ok(&database, &[gone.clone(), other.clone()], 1);
    let id = "select id from milepost.streams where dataset = 'people'";
    let before = database.value(id);

    let run = publish_ok(&database, std::slice::from_ref(&other), 2);
    assert!(
        run.stdout
            .contains("stream main/shop#people: retired, its tables stay"),
        "{run}"
    );
    assert_eq!(database.rows("select * from risk.shop__people").len(), 0);
    let merge = Job::merge(database.url(), &gone).run();
    assert_eq!(merge.code, 2, "{merge}");

    let run = publish_ok(&database, &[gone.clone(), other], 3);
    assert!(run.stdout.contains("0 new, 1 changed, 0 retired"), "{run}");
    assert_eq!(database.value(id), before, "with the progress that it had");
    Job::merge(database.url(), &gone).succeed();
}

#[test_case(|plan: &mut PlatformPlan| plan.streams[0].file = "../elsewhere.json".to_owned(), "outside its folder"; "a file elsewhere")]
#[test_case(|plan: &mut PlatformPlan| plan.streams[0].file = "/etc/passwd".to_owned(), "outside its folder"; "an absolute file")]
#[test_case(|plan: &mut PlatformPlan| plan.streams[0].stream.dataset = Some("pets".to_owned()), "the plan says `main/shop#pets`"; "another stream")]
#[test_case(|plan: &mut PlatformPlan| plan.platform = "other".to_owned(), "of another platform"; "another platform")]
#[test_case(|plan: &mut PlatformPlan| plan.platform = "Main; drop".to_owned(), "a name has lowercase words"; "no name")]
#[test_case(|plan: &mut PlatformPlan| plan.streams[0].digest = Digest::of(b""), "was changed after rendering"; "another digest")]
#[test_case(|plan: &mut PlatformPlan| plan.streams.push(plan.streams[0].clone()), "twice"; "a stream twice")]
fn a_plan_that_contradicts_its_files_is_refused(change: fn(&mut PlatformPlan), words: &str) {
    let database = Cluster::shared().database();
    let before = everything(&database);
    let run = altered(&database, &[people(MILESTONED, &COLUMNS)], 1, change);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains(words), "{run}");
    assert_eq!(everything(&database), before);
}

#[test]
fn two_streams_never_share_a_table() {
    let database = Cluster::shared().database();
    let mut other = people(MILESTONED, &COLUMNS);
    other.stream.dataset = Some("pets".to_owned());
    let run = publish_model(&database, &[people(MILESTONED, &COLUMNS), other], 1);
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr
            .contains("`main_staging.shop__people` to stream `main/shop#people`"),
        "{run}"
    );
}

#[test]
fn a_folder_of_platforms_is_published_whole_or_told_to_be_none() {
    let mut database = Cluster::shared().database();
    let folder = TempDir::new().expect("a temporary directory");
    let run = from(&database, &folder, &[]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("holds no platform.json"), "{run}");

    for (platform, schema) in [("main", "main"), ("second", "second")] {
        let mut spec = people(MILESTONED, &COLUMNS);
        spec.stream.platform = platform.to_owned();
        let dataset = &mut spec.datasets[0];
        let tables = [
            Some(&mut dataset.merge),
            dataset.live.as_mut(),
            dataset.closed.as_mut(),
        ];
        for table in tables.into_iter().flatten() {
            table.schema = crate::ident(schema);
        }
        dataset.staging.schema = crate::ident(&format!("{schema}_staging"));
        dataset.views.clear();
        let path = folder.path().join(platform);
        fs::create_dir(&path).expect("the folder is writable");
        write_plan(&database, &[spec], 1, &path);
    }
    let run = from(&database, &folder, &[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(
        database.value("select string_agg(platform, ' ' order by platform) from milepost.plans"),
        "main second"
    );
}
