//! Sources that are not prepared, lose their slot, or cannot be captured.

use std::time::Duration;

use acceptance::Cluster;
use acceptance::stack::{Pipeline, READER, Stack};

use super::examined::{Examined, model, other_source};

#[test]
fn what_a_source_lacks_is_told_and_prepared() {
    let stack = Stack::shared();
    let mut examined = Examined::prepared(stack);
    let name = examined.pipeline.name.clone();
    // Nobody prepared anything.
    examined.says(
        1,
        &[
            &format!("fail source shop slot {name}__shop: it does not exist"),
            &format!("fail source shop publication {name}__shop: it does not exist"),
            "fail source shop table public.orders: the user of `SHOP_READER_USER` may not read it",
            &format!("fail source shop table milepost.{name}__shop__signals: it does not exist"),
            "control schema: there is none",
            "source: it does not exist",
        ],
    );
    examined.pipeline.begin().expect("it starts");
    examined.merged();
    examined.is_well();

    let reader = READER.0;
    let source = &mut examined.pipeline.source;
    source.run(&format!(
        "revoke select on orders from {reader}; alter publication {name}__shop drop table customers;
         alter table orders drop constraint orders_pkey"
    ));
    source.run("update customers set name = 'unseen' where id = 1");
    examined.says(
        1,
        &[
            "fail source shop table public.orders: the user of `SHOP_READER_USER` may not read it",
            "fail source shop table public.orders: it has no primary key",
            &format!("fail source shop publication {name}__shop: it lacks `public.customers`"),
        ],
    );
    examined
        .pipeline
        .source
        .run("alter table orders add primary key (id)");
    examined
        .pipeline
        .prepare()
        .expect("the source is prepared again");
    examined.says(
        0,
        &["warn source shop snapshots: nobody asked for `customers`"],
    );
    examined
        .pipeline
        .snapshot()
        .expect("the connector is asked");
    // What changed while nobody looked is read.
    examined
        .pipeline
        .wait_for(
            &format!("select count(*) from {name}_staging.shop__customers where name = 'unseen'"),
            "1",
            Duration::from_secs(60),
        )
        .expect("the table is read");
    examined.merged();
    examined.is_well();
}

#[test]
fn a_source_whose_slot_was_lost_takes_a_new_snapshot() {
    let stack = Stack::shared();
    // A bound on the log that slots keep holds for a whole server, so this one is the test's own.
    let cluster =
        Cluster::start(&["wal_level=logical", "wal_sender_timeout='10s'"]).expect("it starts");
    let pipeline = Pipeline::new(stack);
    let name = pipeline.name.clone();
    let source = other_source(&cluster);
    let text = model(
        &pipeline,
        &stack.connect.url(),
        cluster.port(),
        source.name(),
    );
    let mut examined = Examined::of(pipeline, &text);
    // The pipeline's own source is not used; its drop finds no slot there.
    examined.pipeline.source = source;
    examined.take(text);
    let prepared = cluster
        .program("psql")
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
        .arg(format!("--set=reader={}", READER.0))
        .arg("--file")
        .arg(examined.pipeline.folder().join("sources/shop/prepare.sql"))
        .arg(examined.pipeline.source.url())
        .output()
        .expect("psql stands beside postgres");
    assert!(
        prepared.status.success(),
        "{}",
        String::from_utf8_lossy(&prepared.stderr)
    );
    examined.pipeline.publish().expect("it is published");
    examined.pipeline.apply().expect("the connectors run");
    examined.merged();
    examined.is_well();

    let (rest, connector) = (stack.connect.rest(), examined.connector(".source"));
    rest.order(&connector, "stop").expect("it stops");
    rest.wait_until_stopped(&connector, Duration::from_secs(60))
        .expect("it stopped");
    let source = &mut examined.pipeline.source;
    source.run("alter system set max_slot_wal_keep_size = '1MB'");
    source.run("select pg_reload_conf()");
    for order in 1001..1004 {
        source.run(&format!(
            "select pg_switch_wal(); insert into orders values ({order}, 1)"
        ));
    }
    source.run("checkpoint");
    let lost = format!("fail source shop slot {name}__shop: the log is gone that it kept");
    examined.says(
        1,
        &[
            &lost,
            &format!("fail connector {connector}: somebody made it STOPPED"),
        ],
    );

    // Started, it waits half an hour for the slot to become what it was.
    rest.order(&connector, "resume").expect("it is resumed");
    let waits = format!("fail connector {connector}: it is RUNNING and has no task");
    examined.says(
        1,
        &[&lost, &waits, "a source waits for its replication slot"],
    );
    rest.order(&connector, "stop").expect("it stops");
    rest.wait_until_stopped(&connector, Duration::from_secs(60))
        .expect("it stopped");

    // The remedy is a new slot and a new snapshot.
    examined
        .pipeline
        .source
        .run("alter system reset max_slot_wal_keep_size");
    examined.pipeline.source.run("select pg_reload_conf()");
    examined
        .pipeline
        .source
        .run(&format!("select pg_drop_replication_slot('{name}__shop')"));
    rest.forget_offsets(&connector)
        .expect("its offsets are deleted");
    rest.order(&connector, "resume").expect("it goes on");
    // A new slot is confirmed before the snapshot is taken, so the snapshot's own row is waited for.
    examined
        .pipeline
        .wait_for(
            &format!("select count(*) from {name}_staging.shop__orders where id = 1003"),
            "1",
            Duration::from_secs(60),
        )
        .expect("the snapshot comes");
    examined.merged();
    examined.is_well();
}

#[test]
fn a_source_that_keeps_no_logical_log() {
    let stack = Stack::shared();
    let cluster = Cluster::start(&[]).expect("it starts");
    let pipeline = Pipeline::new(stack);
    let source = other_source(&cluster);
    let text = model(
        &pipeline,
        &stack.connect.url(),
        cluster.port(),
        source.name(),
    );
    let examined = Examined::of(pipeline, &text);
    let run = examined.says(
        1,
        &["fail source shop wal_level: replica, so nothing can be captured\n     remedy: `alter system set wal_level = logical`"],
    );
    assert!(run.stdout.contains("fail connector"), "{run}");
}
