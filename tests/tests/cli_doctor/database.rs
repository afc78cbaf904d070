//! The platform's Postgres that is away, empty, or not as published.

use std::net::TcpListener;

use acceptance::{Cluster, Job};
use serde_json::json;

use super::http::Answer;
use super::platform::{Platform, told};

/// Stages rows of customers at offsets from 0, committed so many minutes ago.
fn stage(platform: &mut Platform, rows: u32, minutes: u32) {
    platform.database.run(&format!(
        "insert into main_staging.shop__customers (id, name, __op, __source_ts_us, __connect_topic, __connect_partition, __connect_offset)
         select n, 'Ann', 'r', (extract(epoch from now() - interval '{minutes} min') * 1000000)::bigint, 'shop__customers', 0, n - 1
           from generate_series(1, {rows}) n"
    ));
}

#[test]
fn a_database_that_is_down() {
    let mut platform = Platform::new();
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a port is free").port();
    platform.set(
        "MILEPOST_DATABASE_URL",
        &format!("postgres://ann:c4nary@127.0.0.1:{port}/warehouse"),
    );
    let run = platform.doctor(&[]);
    told(
        &run,
        3,
        &[
            &format!("fail postgres 127.0.0.1:{port}/warehouse: cannot be reached: "),
            "remedy: start the server",
            "pass connector main.shop.sink",
        ],
    );
    assert!(!run.to_string().contains("c4nary"), "{run}");
    told(
        &platform.status(&[]),
        3,
        &[&format!(
            "error: postgres 127.0.0.1:{port}/warehouse: cannot be reached"
        )],
    );
}

#[test]
fn a_database_that_says_nothing() {
    let mut platform = Platform::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it listens").port();
    platform.set(
        "MILEPOST_DATABASE_URL",
        &format!("postgres://ann:c4nary@127.0.0.1:{port}/warehouse"),
    );
    told(
        &platform.doctor(&[]),
        3,
        &["warehouse: does not answer within 5 s"],
    );
}

#[test]
fn a_password_that_is_wrong() {
    let mut platform = Platform::new();
    let url = Cluster::shared().url_with_password(platform.database.name(), "c4nary-wrong");
    platform.set("MILEPOST_DATABASE_URL", &url);
    let run = platform.doctor(&[]);
    told(
        &run,
        2,
        &["refuses the login: user or password is wrong\n     remedy: `WAREHOUSE_WRITER_USER` and"],
    );
    assert!(
        !run.to_string().contains("c4nary") && !run.to_string().contains("scram"),
        "{run}"
    );
    told(&platform.status(&[]), 2, &["refuses the login"]);
}

#[test]
fn a_url_that_does_not_parse_is_not_repeated() {
    let mut platform = Platform::new();
    platform.set("MILEPOST_DATABASE_URL", "postgres://ann:c4nary@[broken");
    let run = platform.doctor(&[]);
    told(
        &run,
        2,
        &["not asked: MILEPOST_DATABASE_URL does not parse"],
    );
    assert!(!run.to_string().contains("c4nary"), "{run}");
}

#[test]
fn a_database_without_control_tables() {
    let platform = Platform::unpublished(Cluster::shared().empty_database());
    told(
        &platform.doctor(&[]),
        1,
        &[
            "control schema: there is none\n     remedy: `merge-job migrate`",
            "are missing: `main.shop__customers`",
        ],
    );
    told(
        &platform.status(&[]),
        2,
        &["it has no control tables", "help: `merge-job migrate`"],
    );
}

#[test]
fn a_control_schema_of_another_release() {
    let mut platform = Platform::new();
    platform
        .database
        .run("insert into milepost.schema_version (version) values (1000)");
    told(
        &platform.doctor(&[]),
        1,
        &[
            "control schema: version 1000, this release knows",
            "remedy: use the release that migrated it",
        ],
    );
    platform
        .database
        .run("delete from milepost.schema_version; insert into milepost.schema_version (version) values (-1)");
    told(
        &platform.doctor(&[]),
        1,
        &[
            "control schema: version -1, this release needs",
            "remedy: `merge-job migrate`",
        ],
    );
}

#[test]
fn a_platform_that_was_never_published() {
    let platform = Platform::unpublished(Cluster::shared().database());
    told(
        &platform.doctor(&[]),
        1,
        &[
            "published plan: nothing was published for this platform",
            "fail stream main/shop: it is not published",
        ],
    );
    told(&platform.status(&[]), 1, &["main/shop  not-published"]);
}

#[test]
fn a_model_that_changed_since_it_was_published() {
    let platform = Platform::new();
    told(
        &platform.doctor(&[]),
        0,
        &["published plan: that of this model, worktree"],
    );
    platform.model.replace(
        "europe/sales/shop.yaml",
        "{name: vip, type: boolean,",
        "{name: vip, type: integer,",
    );
    told(
        &platform.doctor(&[]),
        0,
        &[
            "published plan: merges run from model worktree, which differs from worktree in `main/shop`",
        ],
    );
}

#[test]
fn a_table_that_is_missing_and_a_right_that_was_taken() {
    let mut platform = Platform::new();
    platform
        .database
        .run("drop table main_staging.shop__orders");
    told(
        &platform.doctor(&[]),
        1,
        &[
            "1 of ",
            "missing: `main_staging.shop__orders`\n     remedy: `merge-job publish",
        ],
    );
    platform.publish();
    platform.database.run(
        "create role merger login; grant usage on schema milepost, main, main_staging to merger;
         grant select on all tables in schema milepost to merger;
         grant select, insert, update, delete on all tables in schema main to merger;
         grant select, insert on all tables in schema main_staging to merger;
         grant update on main_staging.shop__customers, main_staging.shop__control to merger",
    );
    let url = platform.database.url().replace("postgres@", "merger@");
    platform.set("MILEPOST_DATABASE_URL", &url);
    told(
        &platform.doctor(&[]),
        1,
        &[
            "the role may not write `main_staging.shop__documents`, `main_staging.shop__order_lines`, `main_staging.shop__orders`\n",
        ],
    );
    platform
        .database
        .run("drop owned by merger; drop role merger");
}

#[test]
fn rows_that_wait_are_counted_up_to_a_bound_and_aged() {
    let mut platform = Platform::new();
    stage(&mut platform, 12_000, 120);
    told(
        &platform.doctor(&[]),
        0,
        &[
            "stream main/shop: it was never merged; more than 10000 rows wait, the first committed 2 h ago",
        ],
    );
    let run = platform.status(&["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("it is JSON");
    assert_eq!(report["streams"][0]["behind"]["rows"], 10_000);
    assert_eq!(report["streams"][0]["behind"]["atLeast"], true);
    // A stream that was looked at and still has old rows is late.
    platform
        .database
        .run("update milepost.streams set checked_at = now()");
    told(
        &platform.doctor(&[]),
        0,
        &[
            "warn stream main/shop: more than 10000 rows wait, the first committed 2 h ago, though it should have been merged twice since",
        ],
    );
}

#[test]
fn a_staging_table_is_looked_at_through_its_index_only() {
    let mut platform = Platform::new();
    stage(&mut platform, 200_000, 1);
    platform
        .database
        .run("vacuum analyze main_staging.shop__customers");
    let read = "select coalesce(sum(seq_scan), 0) || ' ' || coalesce(sum(idx_tup_fetch), 0) < '0 100' and sum(seq_scan) = 0
                  from pg_stat_user_tables where relname = 'shop__customers' and schemaname = 'main_staging'";
    platform.database.run("select pg_stat_reset()");
    told(&platform.doctor(&[]), 0, &["more than 10000 rows wait"]);
    // What a backend did is told when it ends.
    platform.database.run("select pg_sleep(1)");
    assert_eq!(platform.database.value(read), "t");
}

#[test]
fn a_stream_that_failed_shows_its_hint() {
    let mut platform = Platform::new();
    stage(&mut platform, 5, 1);
    platform
        .database
        .run("update main_staging.shop__customers set __op = 'q' where id = 3");
    let merged = Job::new(platform.database.url())
        .args(["merge", "--platform", "main", "--store", "shop"])
        .run();
    assert_eq!(merged.code, 1, "{merged}");
    let run = platform.doctor(&[]);
    told(
        &run,
        1,
        &[
            "fail stream main/shop: it failed once: ",
            "5 rows wait",
            "     remedy: ",
        ],
    );
    told(
        &platform.status(&[]),
        1,
        &[
            "main/shop  failed  behind 5 rows, ",
            "    failed 1 time, last ",
            "    hint: ",
        ],
    );
}

#[test]
fn a_sink_that_committed_what_is_not_staged() {
    let mut platform = Platform::new();
    stage(&mut platform, 5, 1);
    let offsets = |next: u32| {
        let partition = json!({"kafka_topic": "main__shop.public.customers", "kafka_partition": 0});
        Answer::Json(
            200,
            json!({"offsets": [{"partition": partition, "offset": {"kafka_offset": next}}]}),
        )
    };
    let path = "/connectors/main.shop.sink/offsets";
    platform.script(|script| {
        script.instead.insert(path.to_owned(), offsets(5));
    });
    told(
        &platform.doctor(&[]),
        0,
        &[
            "pass sink main.shop.sink: all that it committed is staged; nothing came yet of 3 of 4 topics",
        ],
    );
    platform.script(|script| {
        script.instead.insert(path.to_owned(), offsets(9));
    });
    told(
        &platform.doctor(&[]),
        0,
        &[
            "warn sink main.shop.sink: it has committed more than is staged: `main__shop.public.customers offset 8, staged 4`",
        ],
    );
    // Rows that were merged may leave staging.
    platform.database.run(
        "insert into milepost.positions (platform, store, dataset, topic, partition, watermark)
         values ('main', 'shop', 'customers', 'shop__customers', 0, 8);
         delete from main_staging.shop__customers",
    );
    told(
        &platform.doctor(&[]),
        0,
        &["pass sink main.shop.sink: all that it committed is staged"],
    );
}
