//! A source Postgres, asked with the connector's credential.

use std::sync::OnceLock;

use acceptance::{Cluster, Database};

use super::platform::{Platform, told};

const PASSWORD: &str = "c4nary-of-source";

/// A server whose wal_level lets it be captured.
fn logical() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let started = Cluster::start(&["wal_level=logical", "max_slot_wal_keep_size=1GB"]);
        let cluster = started.expect("PostgreSQL is installed");
        Database::connect(&cluster.url("postgres")).run(&format!(
            "create role reader login replication password '{PASSWORD}'"
        ));
        cluster
    })
}

/// A platform whose source is a database of this cluster, prepared for the connector.
fn with_source(cluster: &Cluster) -> (Platform, Database) {
    let mut platform = Platform::new();
    let mut source = cluster.empty_database();
    platform.change(
        "europe/sales/shop.yaml",
        "host: shop-db, port: 5432, database: shop,",
        &format!(
            "host: 127.0.0.1, port: {}, database: {},",
            cluster.port(),
            source.name()
        ),
    );
    platform.set("SHOP_READER_USER", "reader");
    platform.set("SHOP_READER_PASSWORD", PASSWORD);
    source.run(
        "create table customers (id bigint primary key, name text, email text, balance numeric, vip boolean, joined date,
            updated_at timestamptz, notes text, prefs jsonb);
         create table orders (id bigint primary key, customer_id bigint, status text, placed_at timestamp, total numeric);
         create table order_lines (order_id bigint, line_no integer, sku text, quantity integer, price numeric, primary key (order_id, line_no));
         create table documents (id uuid primary key, title text, body text, meta jsonb, version integer);
         create schema milepost;
         create table milepost.main__shop__signals (id text primary key, type text not null, data text);
         create table milepost.main__shop__heartbeat (is_only boolean primary key, beat_at timestamptz);
         create publication main__shop for table customers, orders, order_lines, documents,
            milepost.main__shop__signals, milepost.main__shop__heartbeat;
         grant usage on schema public, milepost to reader;
         grant select on customers, orders, order_lines, documents to reader;
         grant insert on milepost.main__shop__signals to reader;
         grant update on milepost.main__shop__heartbeat to reader",
    );
    (platform, source)
}

fn slot(source: &mut Database) -> String {
    let name = format!("slot_of_{}", source.name());
    source.run(&format!(
        "select pg_create_logical_replication_slot('{name}', 'pgoutput')"
    ));
    name
}

#[test]
fn a_prepared_source_lacks_its_slot_only() {
    let (platform, source) = with_source(logical());
    told(
        &platform.doctor(&[]),
        1,
        &[
            "pass source shop: PostgreSQL 1",
            &format!("127.0.0.1:{}/{}", logical().port(), source.name()),
            "pass source shop wal_level: logical",
            "pass source shop role: may replicate",
            "pass source shop clock: 0.",
            "fail source shop slot main__shop: it does not exist",
            "pass source shop publication main__shop: holds 4 tables of the model and no other",
            "pass source shop tables: all 4 exist with their keys, and can be read",
            "pass source shop table milepost.main__shop__signals: can be used for signals",
            "pass source shop table milepost.main__shop__heartbeat: can be used for heartbeats",
        ],
    );
}

#[test]
fn a_source_that_nobody_prepared() {
    let (platform, mut source) = with_source(logical());
    source.run(
        "drop publication main__shop; drop schema milepost cascade; drop table documents;
         alter table orders drop constraint orders_pkey; alter table order_lines drop constraint order_lines_pkey, add primary key (order_id);
         alter table customers drop column prefs; revoke select on customers from reader; grant select (id) on customers to reader",
    );
    told(
        &platform.doctor(&[]),
        1,
        &[
            "fail source shop publication main__shop: it does not exist\n     remedy: run `prepare.sql`",
            "fail source shop table public.documents: it does not exist",
            "fail source shop table public.orders: it has no primary key",
            "fail source shop table public.order_lines: its replica identity is `order_id`, the model's key `line_no`, `order_id`",
            "fail source shop table public.customers: it has no column `prefs`",
            "fail source shop table public.customers: the user of `SHOP_READER_USER` may not read it",
            "fail source shop table milepost.main__shop__signals: it does not exist",
        ],
    );
}

#[test]
fn single_columns_are_enough_to_read_and_a_full_identity_is_a_key() {
    let (platform, mut source) = with_source(logical());
    source.run(
        "revoke select on orders from reader; grant select (id, customer_id, status, placed_at, total) on orders to reader;
         alter table orders add column internal text;
         alter table documents drop constraint documents_pkey; alter table documents replica identity full",
    );
    told(
        &platform.doctor(&[]),
        1,
        &["pass source shop tables: all 4 exist"],
    );
}

#[test]
fn a_column_goes_by_the_name_that_the_source_has() {
    let (platform, mut source) = with_source(logical());
    let shop = "europe/sales/shop.yaml";
    // Staging has no quotation mark in a name.
    platform.model.replace(
        shop,
        "key: [order_id, line_no]",
        "key: [order_id, 'line\"no']",
    );
    platform.change(shop, "name: line_no", "name: 'line\"no'");
    source.run("alter table order_lines rename column line_no to \"line\"\"no\"");
    told(
        &platform.doctor(&[]),
        1,
        &["pass source shop tables: all 4 exist with their keys"],
    );
}

#[test]
fn a_publication_that_lacks_a_table_leaves_out_deletes_or_holds_more() {
    let (platform, mut source) = with_source(logical());
    source.run("alter publication main__shop drop table orders");
    told(
        &platform.doctor(&[]),
        1,
        &["fail source shop publication main__shop: it lacks `public.orders`"],
    );
    source.run("alter publication main__shop add table orders; alter publication main__shop set (publish = 'insert, update')");
    told(
        &platform.doctor(&[]),
        1,
        &["fail source shop publication main__shop: it leaves out deletes"],
    );
    source.run(
        "alter publication main__shop set (publish = 'insert, update, delete, truncate');
         create table others (id int primary key); alter publication main__shop add table others",
    );
    told(
        &platform.doctor(&[]),
        1,
        &["warn source shop publication main__shop: it holds `public.others`"],
    );
}

#[test]
fn a_source_that_cannot_be_captured() {
    let cluster = Cluster::shared();
    Database::connect(&cluster.url("postgres")).run(&format!(
        "do $$ begin create role reader login password '{PASSWORD}'; exception when duplicate_object then null; end $$"
    ));
    let (platform, _source) = with_source(cluster);
    told(
        &platform.doctor(&[]),
        1,
        &[
            "fail source shop wal_level: replica, so nothing can be captured\n     remedy: `alter system set wal_level = logical`",
            "fail source shop role: the user of `SHOP_READER_USER` may not replicate",
        ],
    );
}

#[test]
fn a_source_that_is_away_or_refuses_hides_nothing_else() {
    let (mut platform, _source) = with_source(logical());
    platform.set("SHOP_READER_USER", "c4nary-user");
    let run = platform.doctor(&[]);
    told(
        &run,
        2,
        &[
            "fail source shop: refuses the login: ",
            "`SHOP_READER_USER` and `SHOP_READER_PASSWORD` must hold a login",
            "pass connector main.shop.sink",
        ],
    );
    assert!(!run.to_string().contains("c4nary"), "{run}");
    platform.change(
        "europe/sales/shop.yaml",
        &format!("port: {}", logical().port()),
        "port: 1",
    );
    told(
        &platform.doctor(&[]),
        3,
        &[
            "fail source shop: cannot be reached: ",
            "pass connector main.shop.sink",
        ],
    );
}

#[test]
fn a_slot_that_keeps_too_much_is_told() {
    // The name of a slot holds for a whole server, so this test has one of its own.
    let cluster = Cluster::start(&["wal_level=logical"]).expect("PostgreSQL is installed");
    Database::connect(&cluster.url("postgres")).run(&format!(
        "create role reader login replication password '{PASSWORD}'"
    ));
    let (platform, mut source) = with_source(&cluster);
    let _ = slot(&mut source);
    source.run("select pg_create_logical_replication_slot('main__shop', 'pgoutput')");
    told(
        &platform.doctor(&[]),
        0,
        &[
            "warn source shop slot main__shop: nobody reads it; it keeps ",
            "and no bound is set",
        ],
    );
    source.run("select pg_drop_replication_slot('main__shop'); select pg_create_logical_replication_slot('main__shop', 'test_decoding')");
    told(
        &platform.doctor(&[]),
        1,
        &["fail source shop slot main__shop: it is of plugin `test_decoding`"],
    );
    source.run("select pg_drop_replication_slot('main__shop'); select pg_create_logical_replication_slot('main__shop', 'pgoutput')");
    // 64 MB that may be kept, and 48 that are.
    source.run("alter system set max_slot_wal_keep_size = '64MB'");
    source.run("select pg_reload_conf()");
    for _ in 0..3 {
        source.run("select pg_switch_wal(); create table if not exists filler (id int); insert into filler values (1)");
    }
    told(
        &platform.doctor(&[]),
        0,
        &[
            "warn source shop slot main__shop: it keeps ",
            " of log, of at most 64 MB",
        ],
    );
    source.run("alter system set max_slot_wal_keep_size = '1MB'");
    source.run("select pg_reload_conf(); select pg_switch_wal(); insert into filler values (1)");
    source.run("checkpoint");
    told(
        &platform.doctor(&[]),
        1,
        &[
            "fail source shop slot main__shop: the log is gone that it kept",
            "remedy: stop the connector, `select pg_drop_replication_slot('main__shop')`",
        ],
    );
}

/// A platform whose source is a MySQL.
fn with_mysql() -> Platform {
    let platform = Platform::new();
    let shop = "europe/sales/shop.yaml";
    let text = std::fs::read_to_string(platform.model.path().join(shop)).expect("it is there");
    // What a MySQL has no type for.
    let text = ["timestamp with time zone", "jsonb", "uuid"]
        .iter()
        .fold(text, |text, &unknown| text.replace(unknown, "text"))
        .replace("boolean", "integer");
    platform.model.write(shop, text);
    platform.change(
        shop,
        "postgres: {host: shop-db, port: 5432,",
        "mysql: {host: shop-db, port: 3306,",
    );
    platform
}

#[test]
fn a_mysql_passes_only_where_kafka_connect_reached_it() {
    let platform = with_mysql();
    told(
        &platform.doctor(&[]),
        0,
        &[
            "pass source shop: MySQL: Kafka Connect reached it when it validated `main.shop.source`",
            "pass source shop settings: not read from here: its connector asks for `binlog_format=ROW`",
        ],
    );
    platform.script(|script| {
        script
            .plugins
            .remove("io.debezium.connector.mysql.MySqlConnector");
    });
    told(
        &platform.doctor(&[]),
        1,
        &[
            "warn source shop: MySQL was not examined: Kafka Connect lacks the plugin that would ask it\n     remedy: see the line of the plugin",
        ],
    );
}

#[test]
fn a_binlog_that_was_purged_has_a_remedy_without_a_slot() {
    let platform = with_mysql();
    platform.script(|script| {
        script.fail(
            "main.shop.source",
            "io.debezium.DebeziumException: The connector is trying to read change stream starting at SourceInfo [], but this is \
             no longer available on the server. Reconfigure the connector to use a snapshot mode when needed.",
        );
    });
    let run = platform.doctor(&[]);
    told(
        &run,
        1,
        &[
            "fail connector main.shop.source: task 0 is FAILED: the source no longer has the log at which the connector stopped",
            "-X PUT 'http://127.0.0.1:",
            "/connectors/main.shop.source/stop'`; `curl",
            "/connectors/main.shop.source/offsets'`; `curl",
            "/connectors/main.shop.source/resume'`",
        ],
    );
    assert!(!run.stdout.contains("slot"), "{run}");
}
