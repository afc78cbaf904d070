//! Sources that cannot be read: the message names place and remedy, and nothing is changed.

use std::sync::atomic::{AtomicU32, Ordering};

use acceptance::{Cluster, Database, Job, shop};
use milepost_job_spec::{Input, Outcome, Strategy};
use test_case::test_case;

use super::{Pair, says};

/// A reader of this source with no right, and its password `c4nary`.
fn reader(source: &mut Database) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("reader_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    source.run(&format!(
        "create role {name} login password 'c4nary' in role password_users"
    ));
    name
}

fn url(source: &Database, reader: &str) -> String {
    source
        .url()
        .replace("postgres@", &format!("{reader}:c4nary@"))
}

/// Runs as the reader after `sql`, in which `READER` stands for it.
fn run_as_reader(pair: &mut Pair, sql: &str) -> acceptance::Run {
    let reader = reader(&mut pair.source);
    pair.source.run(&sql.replace("READER", &reader));
    let url = url(&pair.source, &reader);
    pair.job().env("MILEPOST_SOURCE_URL", &url).run()
}

#[test_case("alter table items rename to other", &["has no table `public.items`, which dataset `items` is read from", "`from`"]; "no table")]
#[test_case("alter table items set schema pg_catalog", &["has no table `public.items`"]; "in another schema")]
#[test_case("alter table items rename column v to w", &["has no column `v` in `public.items`"]; "no column")]
#[test_case("alter table items drop column v", &["has no column `v` in `public.items`"]; "a dropped column")]
#[test_case("alter table items rename to other; create materialized view items as select * from other", &["as a materialized view"]; "a materialized view")]
#[test_case("alter table items rename to other; create sequence items", &["as no table"]; "a sequence")]
fn a_source_of_another_shape_is_refused(change: &str, words: &[&str]) {
    let mut pair = Pair::of_items(Strategy::LiveOnly);
    pair.merge();
    pair.source
        .run(&format!("set allow_system_table_mods = on; {change}"));
    let run = pair.job().run();
    let database = format!(
        "the source at 127.0.0.1:{}, database `{}`",
        Cluster::shared().port(),
        pair.source.name()
    );
    says(&run, Outcome::Findings, words);
    says(&run, Outcome::Findings, &[&database, "hint: "]);
    assert_eq!((pair.batches(), pair.live()), ("1".to_owned(), 10));
    assert_eq!(
        pair.platform
            .value("select status from milepost.stream_status"),
        "failed"
    );
}

#[test_case("", "does not let its reader read `public.items`", "grant usage on schema \"public\""; "nothing")]
#[test_case("grant select (id) on items to READER", "does not let its reader read", "grant select on \"public\".\"items\""; "one column")]
#[test_case("revoke usage on schema public from public; grant select on items to READER", "does not let its reader read", "grant usage"; "no schema")]
#[test_case("grant select on items to READER; alter table items enable row level security", "hides rows of `public.items` from its reader by row-level security", "bypassrls"; "row-level security")]
#[test_case("grant select on items to READER; alter table items enable row level security; create policy p on items using (true)", "row-level security", "bypassrls"; "a policy that hides nothing")]
fn a_reader_without_rights_is_told_which(rights: &str, what: &str, remedy: &str) {
    let mut pair = Pair::of_items(Strategy::LiveOnly);
    let run = run_as_reader(&mut pair, rights);
    says(&run, Outcome::Findings, &[what, remedy]);
    assert_eq!(pair.batches(), "0");
}

#[test]
fn a_reader_with_the_documented_rights_reads() {
    let mut pair = Pair::of_items(Strategy::LiveOnly);
    let rights = "revoke all on schema public from public; grant usage on schema public to READER; grant select on items to READER";
    let run = run_as_reader(&mut pair, rights);
    assert_eq!(run.code, 0, "{run}");
    // A policy, and a role that it does not concern.
    let rights = "alter table items enable row level security; alter role READER bypassrls;
        grant usage on schema public to READER; grant select on items to READER";
    let run = run_as_reader(&mut pair, rights);
    assert_eq!(run.code, 0, "{run}");
    pair.is_the_source();
}

#[test]
fn several_problems_are_counted() {
    let mut pair = Pair::of(
        vec![
            super::items(Strategy::LiveOnly),
            shop::dataset(
                "others",
                Strategy::LiveOnly,
                &["id"],
                &[("id", "bigint"), ("v", "text?"), ("w", "text?")],
            ),
        ],
        "create table others (id bigint)",
    );
    let run = pair.job().run();
    says(
        &run,
        Outcome::Findings,
        &["has no table `public.items`", "(and 2 more)"],
    );
    assert_eq!(pair.batches(), "0");
}

#[test]
fn a_table_may_be_a_view_or_partitioned() {
    let mut pair = Pair::of(
        vec![super::items(Strategy::LiveOnly), shop::dataset("parts", Strategy::LiveOnly, &["id"], &[("id", "bigint")])],
        "create table base (id bigint, v text, secret text); insert into base values (1, 'a', 'x');
         create view items as select id, v from base where v <> 'hidden'; insert into base values (2, 'hidden');
         create table parts (id bigint) partition by range (id);
         create table parts_1 partition of parts for values from (0) to (10);
         create table parts_2 partition of parts default; insert into parts values (1), (20)",
    );
    pair.merge();
    assert_eq!(pair.counts(), "3 3 0 0 0; 0 0");
}

#[test]
fn a_source_that_is_away_is_unreachable_and_the_stream_as_it_was() {
    let mut pair = Pair::of_items(Strategy::LiveOnly);
    pair.merge();
    let run = pair
        .job()
        .env(
            "MILEPOST_SOURCE_URL",
            "postgres://ann:c4nary@127.0.0.1:1/shop",
        )
        .run();
    says(
        &run,
        Outcome::Unreachable,
        &[
            "cannot reach the source at 127.0.0.1:1, database `shop`",
            "check that the source runs",
        ],
    );
    assert_eq!((pair.batches(), pair.live()), ("1".to_owned(), 10));
    assert_eq!(
        pair.platform
            .value("select status || ' ' || consecutive_failures from milepost.stream_status"),
        "failed 1"
    );
    pair.merge();
    assert_eq!(
        pair.platform
            .value("select status || ' ' || consecutive_failures from milepost.stream_status"),
        "healthy 0"
    );
}

#[test]
fn a_source_that_refuses_the_login_is_a_wrong_configuration() {
    let mut pair = Pair::of_items(Strategy::LiveOnly);
    let reader = reader(&mut pair.source);
    let wrong = url(&pair.source, &reader).replace("c4nary", "c4naryx");
    let run = pair.job().env("MILEPOST_SOURCE_URL", &wrong).run();
    says(
        &run,
        Outcome::Usage,
        &[
            "refuses the login",
            "check user and password of the store's credential",
        ],
    );
}

#[test]
fn the_environment_names_the_reader_as_the_plan_says() {
    let mut pair = Pair::of_items(Strategy::LiveOnly);
    let reader = reader(&mut pair.source);
    pair.source
        .run(&format!("grant select on items to {reader}"));
    let job = || Job::merge(pair.platform.url(), &pair.spec);
    let run = job().run();
    says(
        &run,
        Outcome::Usage,
        &[
            "the environment has no SHOP_READER_USER",
            "MILEPOST_SOURCE_URL=",
        ],
    );
    let run = job().env("SHOP_READER_USER", &reader).run();
    says(&run, Outcome::Usage, &["SHOP_READER_PASSWORD"]);
    let run = job()
        .env("MILEPOST_SOURCE_URL", "postgres://ann:c4nary@[broken")
        .run();
    says(
        &run,
        Outcome::Usage,
        &["MILEPOST_SOURCE_URL does not parse"],
    );
    let run = job()
        .env("SHOP_READER_USER", &reader)
        .env("SHOP_READER_PASSWORD", "c4nary")
        .run();
    assert_eq!(run.code, 0, "{run}");
    pair.is_the_source();
}

#[test]
fn a_source_is_no_platform_and_a_platform_no_source() {
    // What the source says of its own values is no reason to look for bad ones in the image.
    let mut pair = Pair::of(
        vec![super::items(Strategy::LiveOnly)],
        "create table base (id bigint, v text); insert into base values (1, 'a'), (0, 'b');
         create view items as select 10 / id as id, v from base",
    );
    let run = pair.job().run();
    says(
        &run,
        Outcome::Findings,
        &[
            "failed to read `public.items` at the source",
            "SQLSTATE 22012",
        ],
    );
    assert_eq!(
        pair.source
            .value("select count(*) from pg_stat_activity where application_name = 'milepost merge-job' and datname = current_database()"),
        "0"
    );
    let Input::Image(source) = &pair.spec.input else {
        unreachable!("it is an image");
    };
    assert_eq!(source.database, pair.source.name());
}
