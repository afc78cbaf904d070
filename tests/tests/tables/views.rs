//! What readers see, and what the job needs no right for.

use acceptance::{Cluster, Database, Job, publish_model, stage};
use milepost_job_spec::Strategy;
use milepost_simulator::History;

use crate::migrate::{digest, migrate};
use crate::{COLUMNS, MILESTONED, fill, ident, people, publish_ok, schema, verify};

/// Counts what `risk` may do beyond its schema.
const BEYOND: &str = "
    select (select count(*) from pg_namespace where nspname in ('main', 'main_staging', 'milepost')
               and has_schema_privilege('risk', oid, 'usage, create'))
         + (select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where nspname in ('main', 'main_staging', 'milepost') and relkind in ('r', 'p', 'v')
               and has_table_privilege('risk', c.oid, 'select, insert, update, delete, truncate'))
         + (select count(*) from pg_class c where relnamespace = 'risk'::regnamespace
               and has_table_privilege('risk', c.oid, 'insert, update, delete, truncate'))
         + has_schema_privilege('risk', 'risk', 'create')::int";

#[test]
fn the_role_of_a_workspace_reads_its_views_and_nothing_else() {
    let mut database = Cluster::shared().database();
    let spec = people(MILESTONED, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    fill(&mut database, &spec);
    assert_eq!(database.value(BEYOND), "0");
    database.run("set role risk");
    assert_eq!(
        database.value("select count(*) from risk.shop__people"),
        "2"
    );
    assert_eq!(
        database.value("select count(*) from risk.shop__people__history"),
        "3"
    );
    let as_of = |at: &str| {
        format!(
            "select string_agg(id::text, ',' order by id) from risk.shop__people__as_of('{at}')"
        )
    };
    assert_eq!(
        database.value(&as_of("2026-01-31 23:59:59.999999")),
        "1,2,3"
    );
    assert_eq!(
        database.value(&as_of("2026-02-01")),
        "1,2",
        "an interval does not hold its end"
    );
    assert_eq!(
        database.value(&as_of("2026-01-01")),
        "1,2,3",
        "but its beginning"
    );
    assert_eq!(
        database
            .rows("select * from risk.shop__people__as_of('2025-12-31')")
            .len(),
        0
    );
}

#[test]
fn nobody_else_may_call_the_function() {
    let mut database = Cluster::shared().database();
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 1);
    let others = "select count(*) from aclexplode((select proacl from pg_proc where proname = 'shop__people__as_of')) a
                   where grantee = 0";
    assert_eq!(database.value(others), "0");
}

#[test]
fn a_row_as_of_a_moment_is_found_by_index() {
    let mut database = Cluster::shared().database();
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 1);
    let plan = database.rows(
        "set role risk; set enable_seqscan = off;
         explain (costs off) select name from risk.shop__people__as_of('2026-02-01') where id = 7",
    );
    let plan: Vec<String> = plan.into_iter().flatten().flatten().collect();
    let plan = plan.join("\n");
    assert!(
        !plan.contains("Function Scan"),
        "the function is taken apart:\n{plan}"
    );
    assert!(plan.contains("shop__people__live_pkey"), "{plan}");
    assert!(plan.contains("(id = 7) AND (dp_in <="), "{plan}");
}

#[test]
fn an_unchanged_view_is_not_touched_and_a_changed_one_keeps_its_reader() {
    let mut database = Cluster::shared().database();
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 1);
    let numbers = "select string_agg(oid::text, ',' order by oid) from pg_class where relnamespace = 'risk'::regnamespace";
    let before = database.value(numbers);
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 2);
    assert_eq!(database.value(numbers), before);

    publish_ok(&database, &[people(MILESTONED, &COLUMNS[..3])], 3);
    assert_ne!(database.value(numbers), before);
    assert_eq!(
        database
            .rows("set role risk; select * from risk.shop__people")
            .len(),
        0
    );
}

#[test]
fn a_revoked_right_is_given_back() {
    let mut database = Cluster::shared().database();
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 1);
    let before = schema(&database);
    database.run(
        "revoke all on schema risk from risk; revoke all on risk.shop__people from risk;
         revoke all on function risk.shop__people__as_of from risk",
    );
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 2);
    assert_eq!(schema(&database), before);
}

#[test]
fn what_others_made_in_the_workspace_is_never_touched() {
    let mut database = Cluster::shared().database();
    database.run("create schema risk; create table risk.shop__people (mine text); create view risk.other as select 1 as one");
    let run = publish_model(&database, &[people(Strategy::LiveOnly, &COLUMNS)], 1);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("view `risk.shop__people`"), "{run}");
    assert!(run.stderr.contains("made by somebody else"), "{run}");
    assert_eq!(database.rows("select mine from risk.shop__people").len(), 0);
    assert_eq!(database.value("select one from risk.other"), "1");
}

#[test]
fn a_view_that_others_built_on_ours_is_named_before_it_breaks() {
    let mut database = Cluster::shared().database();
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 1);
    database.run("create schema lab; create view lab.names as select name from risk.shop__people");
    let before = schema(&database);
    let mut columns = COLUMNS.to_vec();
    columns[1].1 = "text?";
    let run = publish_model(&database, &[people(MILESTONED, &columns)], 2);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("`lab.names` reads it"), "{run}");
    assert_eq!(database.value("select count(*) from lab.names"), "0");
    // Staging is no matter of the view: it can take the new values already.
    let merge_table = |schema: &str| schema.split("CREATE TABLE main.").nth(1).map(str::to_owned);
    assert_eq!(merge_table(&schema(&database)), merge_table(&before));
}

/// A database where `docs/operations.md` was followed to the letter, with everything made for a job that may create
/// nothing but tables.
#[test]
fn a_job_and_a_sink_work_with_the_least_rights() {
    let mut owner = Cluster::shared().empty_database();
    let name = owner.name().to_owned();
    let (job, sink, reader) = (
        format!("job_{name}"),
        format!("sink_{name}"),
        format!("reader_{name}"),
    );
    owner.run(&format!(
        "revoke all on database {name} from public;
         create role {job} login; grant connect, temporary on database {name} to {job};
         create role {sink} login; grant connect on database {name} to {sink};
         create role {reader} nologin;
         create schema milepost authorization {job};
         create schema main_staging authorization {job};
         create schema main authorization {job};
         create schema risk authorization {job};
         grant usage on schema main_staging to {sink};
         alter default privileges for role {job} in schema main_staging grant select, insert, update on tables to {sink}"
    ));
    let as_role =
        |role: &str| Database::connect(&owner.url().replace("postgres@", &format!("{role}@")));
    let (job, mut sink) = (as_role(&job), as_role(&sink));
    Job::new(job.url()).args(["migrate"]).succeed();
    let mut spec = people(MILESTONED, &[("id", "bigint"), ("name", "text?")]);
    spec.datasets[0].views[0].role = ident(&reader);
    spec.datasets[0].policy.history_seconds = Some(0);
    publish_ok(&job, std::slice::from_ref(&spec), 1);
    stage::round(&mut sink, &spec, &History::new(&spec, 3).round(20));
    Job::merge(job.url(), &spec).succeed();
    assert_eq!(verify(&job, &[]).code, 0);
    owner.run("update milepost.batches set finished_at = finished_at - interval '8 days'");
    for command in ["trim-staging", "trim-history"] {
        let run = Job::new(job.url()).args([command]).run();
        assert_eq!(run.code, 0, "{run}");
        assert!(run.stdout.contains(" of 1 table"), "{run}");
    }
    owner.run(&format!("set role {reader}"));
    assert_ne!(
        owner.value("select count(*) from risk.shop__people__history"),
        "0"
    );
    assert_ne!(
        owner.value("select count(*) from risk.shop__people__as_of(now())"),
        "0"
    );
    owner.run("reset role");
    repair_with_the_least_rights(&mut owner, &job);
    let key = format!(
        "id={}",
        owner.value("select min(id) from main.shop__people")
    );
    let store = ["--platform", "main", "--store", "shop"];
    for command in [
        &["erase", "--dataset", "people", "--key", &key, "--yes"][..],
        &["rebuild", "--from", "source", "--yes"],
        &["reconcile-views"],
    ] {
        let scope = if command.len() > 1 { &store[..] } else { &[] };
        Job::new(job.url())
            .args([&command[..1], scope, &command[1..]].concat())
            .succeed();
    }
    // Cast, and without history: what the sink may and the reader may stays.
    let mut spec = people(
        Strategy::LiveOnly,
        &[("id", "bigint"), ("name", "character varying(5000)?")],
    );
    spec.datasets[0].views[0].role = ident(&reader);
    let run = publish_model(&job, std::slice::from_ref(&spec), 2);
    assert_eq!(run.code, 1, "{run}");
    Job::new(job.url()).args(["reconcile-views"]).succeed();
    let own = digest(&migrate(&job, &["--drop-history"]));
    let run = migrate(&job, &["--drop-history", "--execute", &own]);
    assert_eq!(run.code, 0, "{run}");
    sink.run(
        "insert into main_staging.shop__people (id, name, __op, __sequence, __lsn, __connect_topic, __connect_partition, __connect_offset)
         select -7, 'new', 'c', '[\"99999999999\",\"99999999999\"]', 99999999999, __connect_topic, __connect_partition, __connect_offset + 1
           from main_staging.shop__people order by __connect_offset desc limit 1",
    );
    Job::merge(job.url(), &spec).succeed();
    owner.run(&format!("set role {reader}"));
    assert_eq!(
        owner.value("select name from risk.shop__people where id = -7"),
        "new"
    );
}

/// Rows are compared with a source, and made equal to it, by a reader who may do nothing but read its table.
fn repair_with_the_least_rights(owner: &mut Database, job: &Database) {
    let live = "select id, name from main.shop__people where dp_out is null";
    let rows = owner.copy_out(&format!("copy ({live}) to stdout"));
    let mut source = Cluster::shared().empty_database();
    let (name, reader) = (
        source.name().to_owned(),
        format!("source_reader_{}", source.name()),
    );
    source.run(&format!(
        "revoke all on database {name} from public; create schema shop; create table shop.people (id bigint, name text);
         create role {reader} login; grant connect on database {name} to {reader};
         grant usage on schema shop to {reader}; grant select on shop.people to {reader}"
    ));
    source.copy_in("copy shop.people from stdin", &rows);
    source.run("update shop.people set name = 'lost' where id = (select max(id) from shop.people)");
    let url = source.url().replace("postgres@", &format!("{reader}@"));
    let resync = |more: &[&str]| {
        Job::new(job.url())
            .args([
                "resync",
                "--platform",
                "main",
                "--store",
                "shop",
                "--settle",
                "0",
            ])
            .args(more.iter().copied())
            .env("MILEPOST_SOURCE_URL", &url)
            .run()
    };
    let plan = resync(&[]);
    assert!(
        plan.stdout.contains("insert 0 rows, update 1, close 0"),
        "{plan}"
    );
    let digest = plan.stdout.split("--execute ").nth(1).unwrap_or_default();
    let run = resync(&["--execute", digest.trim_end_matches("`\n")]);
    assert_eq!(run.code, 0, "{run}");
    let lost = owner
        .value("select count(*) from main.shop__people where dp_out is null and name = 'lost'");
    assert_eq!(lost, "1");
}

#[test]
fn a_job_without_the_right_to_create_roles_says_which_one_to_make() {
    let mut database = Cluster::shared().empty_database();
    let name = database.name().to_owned();
    database.run(&format!(
        "create role job_{name} login; grant create on database {name} to job_{name}"
    ));
    let as_job = |database: &Database| database.url().replace("postgres@", &format!("job_{name}@"));
    let job = Database::connect(&as_job(&database));
    Job::new(job.url()).args(["migrate"]).succeed();

    let mut spec = people(MILESTONED, &COLUMNS);
    spec.datasets[0].views[0].role = format!("reader_{name}").parse().expect("a name");
    let run = publish_model(&job, std::slice::from_ref(&spec), 1);
    assert_eq!(run.code, 1, "{run}");
    let remedy = format!("create role \"reader_{name}\" nologin");
    assert!(run.stderr.contains(&remedy), "{run}");
    assert_eq!(
        database.value("select count(*) from main.shop__people"),
        "0",
        "tables are made"
    );

    database.run(&remedy);
    publish_ok(&job, std::slice::from_ref(&spec), 2);
    Job::merge(job.url(), &spec).succeed();
    database.run(&format!("set role reader_{name}"));
    assert_eq!(
        database.value("select count(*) from risk.shop__people"),
        "0"
    );
}
