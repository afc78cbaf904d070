//! `merge-job reconcile-views`: views come, change and go with the published plans, and with nothing else.

use acceptance::{Cluster, Database, Job, Run, publish_model};
use milepost_job_spec::{Strategy, StreamSpec};

use crate::{COLUMNS, MILESTONED, ident, people, publish_ok};

/// Everything in the workspace's schema, with its number: what is made again has another one.
const OBJECTS: &str = "select coalesce(string_agg(name, ' ' order by name), '') from (
    select relname || ':' || oid as name from pg_class where relnamespace = 'risk'::regnamespace and relkind in ('r', 'v')
    union all select proname || ':' || oid from pg_proc where pronamespace = 'risk'::regnamespace) o";

fn reconcile(database: &Database, arguments: &[&str]) -> Run {
    Job::new(database.url())
        .args(std::iter::once("reconcile-views").chain(arguments.iter().copied()))
        .run()
}

fn without_views(spec: &StreamSpec) -> StreamSpec {
    let mut spec = spec.clone();
    spec.datasets[0].views.clear();
    spec
}

#[test]
fn a_view_that_no_stream_has_any_more_is_dropped_and_no_row_with_it() {
    let mut database = Cluster::shared().database();
    let spec = people(MILESTONED, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    database.run(
        "insert into main.shop__people (id, name, dp_in) values (1, 'ann', '2026-01-01');
         create view risk.mine as select 1 as one;
         create function risk.mine(timestamptz) returns int language sql return 1;
         comment on view risk.mine is 'my milepost: no mark of yours'",
    );
    publish_ok(&database, &[without_views(&spec)], 2);
    let before = database.value(OBJECTS);
    let dry = reconcile(&database, &["--dry-run"]);
    assert_eq!(dry.code, 0, "{dry}");
    assert!(dry.stdout.contains("4 dropped"), "{dry}");
    assert_eq!(database.value(OBJECTS), before, "a dry run changes nothing");

    let run = reconcile(&database, &[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("4 dropped"), "{run}");
    let left = database.value(OBJECTS);
    assert_eq!(
        left.split(' ')
            .map(|each| each.split(':').next())
            .collect::<Vec<_>>(),
        [Some("mine"), Some("mine")]
    );
    assert_eq!(
        database.value("select count(*) from main.shop__people"),
        "1"
    );
    let again = reconcile(&database, &[]);
    assert!(
        again.stdout.contains("0 made or changed, 0 dropped"),
        "{again}"
    );

    publish_ok(&database, std::slice::from_ref(&spec), 3);
    assert_eq!(database.value("select name from risk.shop__people"), "ann");
}

#[test]
fn a_view_that_somebody_reads_stays_and_is_named() {
    let mut database = Cluster::shared().database();
    let spec = people(Strategy::LiveOnly, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    database.run("create view public.report as select name from risk.shop__people");
    publish_ok(&database, &[without_views(&spec)], 2);
    let before = database.value(OBJECTS);
    let run = reconcile(&database, &[]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("\"risk\".\"shop__people\""), "{run}");
    assert!(run.stderr.contains("hint: drop what reads it"), "{run}");
    assert_eq!(database.value(OBJECTS), before);
    database.run("drop view public.report");
    let run = reconcile(&database, &[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(database.value(OBJECTS), "");
}

#[test]
fn what_somebody_dropped_is_made_again_and_what_is_right_is_not_touched() {
    let mut database = Cluster::shared().database();
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 1);
    let before = database.value(OBJECTS);
    let run = reconcile(&database, &[]);
    assert!(run.stdout.contains("0 made or changed, 0 dropped"), "{run}");
    assert_eq!(database.value(OBJECTS), before);
    database.run("drop function risk.shop__people__as_of; drop view risk.shop__people");
    let run = reconcile(&database, &[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("1 made or changed"), "{run}");
    database.run("select * from risk.shop__people; select * from risk.shop__people__as_of(now())");
}

#[test]
fn a_changed_view_keeps_the_grants_that_people_gave() {
    let mut database = Cluster::shared().database();
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 1);
    database.run(
        "create role \"An\"\"alyst\"; grant usage on schema risk to \"An\"\"alyst\";
         grant select on risk.shop__people, risk.shop__people__history to \"An\"\"alyst\";
         grant execute on function risk.shop__people__as_of to \"An\"\"alyst\"",
    );
    publish_ok(&database, &[people(MILESTONED, &COLUMNS[..3])], 2);
    database.run(
        "set role \"An\"\"alyst\"; select * from risk.shop__people; select * from risk.shop__people__history;
         select * from risk.shop__people__as_of(now())",
    );
}

#[test]
fn the_views_of_a_retired_stream_go_and_those_of_another_platform_stay() {
    let mut database = Cluster::shared().database();
    let spec = people(Strategy::LiveOnly, &COLUMNS);
    let mut other = spec.clone();
    other.stream.platform = "second".to_owned();
    let dataset = &mut other.datasets[0];
    dataset.staging.schema = ident("second_staging");
    dataset.merge.schema = ident("second");
    other.datasets[0].views[0].schema = ident("ledger");
    other.datasets[0].views[0].role = ident("ledger");
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    publish_ok(&database, &[other], 1);
    let mut kept = spec.clone();
    kept.stream.dataset = Some("things".to_owned());
    kept.datasets[0].name = "things".to_owned();
    let dataset = &mut kept.datasets[0];
    dataset.staging.name = ident("shop__things");
    dataset.merge.name = ident("shop__things");
    kept.datasets[0].views.clear();
    // The stream of `people` is retired: the next plan has another one in its place.
    let run = publish_model(&database, &[kept], 2);
    assert_eq!(run.code, 0, "{run}");
    let run = reconcile(&database, &[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(database.value(OBJECTS), "");
    database.run("select * from ledger.shop__people");
    assert_eq!(
        database.value("select count(*) from main.shop__people"),
        "0"
    );
}
