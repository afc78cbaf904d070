//! Connectors are made anew, and a slot is lost.

use std::thread;
use std::time::Duration;

use acceptance::stack::{Audit, Pipeline, Stack};

use crate::{
    ARRIVAL, CUSTOMERS, KEYS, LINES, ORDERS, TABLES, add, head, read_again, settle, store,
    while_others_write,
};

#[test]
fn connectors_are_made_anew_and_nothing_is_lost_or_doubled() {
    let mut pipeline = Pipeline::new(Stack::shared());
    pipeline.source.run(TABLES);
    let all = store("shop", &[CUSTOMERS, ORDERS, LINES]);
    pipeline.model(&all).expect("the model is sound");
    let audit = Audit::begin(&mut pipeline);
    add(&mut pipeline, &all);
    for (dataset, key) in KEYS {
        read_again(&mut pipeline, dataset, key, "-1");
    }
    settle(&mut pipeline);
    while_others_write(&mut pipeline, |pipeline| {
        for ending in [".source", ".sink", ".control"] {
            let name = pipeline.connector(ending).name.clone();
            thread::sleep(Duration::from_millis(300));
            pipeline
                .stack()
                .connect
                .rest()
                .delete(&name)
                .expect("it is deleted");
            thread::sleep(Duration::from_millis(300));
            pipeline.apply().expect("connectors run");
            pipeline.merge().expect("changes are merged");
        }
    });
    settle(&mut pipeline);
    audit
        .check(&mut pipeline)
        .expect("no version is false, lost or doubled");
}

#[test]
fn a_lost_slot_is_followed_by_a_complete_snapshot() {
    let stack = Stack::shared();
    let mut pipeline = Pipeline::new(stack);
    pipeline.source.run(TABLES);
    add(&mut pipeline, &store("shop", &[CUSTOMERS, ORDERS]));
    for (dataset, key) in &KEYS[..2] {
        read_again(&mut pipeline, dataset, key, "-1");
    }
    settle(&mut pipeline);
    let rest = stack.connect.rest();
    let name = pipeline.connector(".source").name.clone();
    let drop = format!("select pg_drop_replication_slot('{}__shop')", pipeline.name);
    let after = ["customers", "orders"].map(|dataset| head(&mut pipeline, dataset));
    rest.order(&name, "stop").expect("it stops");
    rest.wait_until_stopped(&name, ARRIVAL).expect("it stops");
    pipeline.source.run(&drop);
    pipeline
        .source
        .run("update orders set n = 7 where id < 5; insert into orders values (1001, 0)");
    rest.order(&name, "resume").expect("it resumes");
    let status = rest.wait_until_failed(&name, ARRIVAL).expect("it fails");
    assert!(
        status
            .to_string()
            .contains("no longer available on the server")
    );

    rest.order(&name, "stop").expect("it stops");
    rest.wait_until_stopped(&name, ARRIVAL).expect("it stops");
    rest.forget_offsets(&name).expect("Connect forgets");
    rest.order(&name, "resume").expect("it resumes");
    for (dataset, after) in ["customers", "orders"].iter().zip(&after) {
        read_again(&mut pipeline, dataset, "id", after);
    }
    settle(&mut pipeline);
    let versions = format!("select count(*) from {}.shop__orders", pipeline.name);
    assert_eq!(
        pipeline.platform.value(&versions),
        "305",
        "only what differs makes a version"
    );
}
