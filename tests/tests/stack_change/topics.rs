//! A topic that is deleted in Kafka and made again by its connector (T50).

use acceptance::Job;
use acceptance::stack::{Pipeline, Stack};

use crate::{ARRIVAL, CUSTOMERS, TABLES, add, read_again, settle, store};

#[test]
fn a_topic_that_was_made_again_loses_no_change() {
    let stack = Stack::shared();
    let mut pipeline = Pipeline::new(stack);
    pipeline.source.run(TABLES);
    add(&mut pipeline, &store("shop", &[CUSTOMERS]));
    read_again(&mut pipeline, "customers", "id", "-1");
    pipeline
        .source
        .run("update customers set n = 1; update customers set n = 2 where id < 10");
    settle(&mut pipeline);

    // The topic goes, and a new snapshot of the source fills it again, shorter than it was.
    let rest = stack.connect.rest();
    let source = pipeline.connector(".source").name.clone();
    let sink = pipeline.connector(".sink").name.clone();
    let topic = pipeline.platform.value(&format!(
        "select distinct __connect_topic from {}_staging.shop__customers",
        pipeline.name
    ));
    for name in [&source, &sink] {
        rest.order(name, "stop").expect("it stops");
        rest.wait_until_stopped(name, ARRIVAL).expect("it stops");
    }
    pipeline
        .source
        .run("update customers set n = 3 where id < 50");
    // The sink calls it as the table.
    let written = pipeline.connector(".sink").config["topics"].clone();
    stack
        .kafka
        .delete_topic(&written)
        .expect("the topic is deleted");
    pipeline.source.run(&format!(
        "select pg_drop_replication_slot('{}__shop')",
        pipeline.name
    ));
    rest.forget_offsets(&source).expect("Connect forgets");
    for name in [&source, &sink] {
        rest.order(name, "resume").expect("it resumes");
        rest.wait_until_running(name, ARRIVAL).expect("it runs");
    }
    let rewritten = format!(
        "select count(*) from {}_staging.shop__customers where __connect_offset = 299 and __source_ts_us >
             (select max(__source_ts_us) from {0}_staging.shop__customers where __connect_offset > 600)",
        pipeline.name
    );
    pipeline
        .wait_for(&rewritten, "1", ARRIVAL)
        .expect("the sink overwrites what it wrote");

    // Without a word nothing is merged; what was staged of the old topic would be, by a watermark alone.
    let spec = pipeline.streams()[0].clone();
    let run = pipeline.merge_stream(&spec);
    assert_eq!(run.code, 1, "{run}");
    let words = format!(
        "topic `{topic}`, partition 0, of dataset `customers` is not the one that was merged"
    );
    assert!(run.stderr.contains(&words), "{run}");
    assert!(run.stderr.contains("--as recreated"), "{run}");

    rest.order(&sink, "stop").expect("it stops");
    rest.wait_until_stopped(&sink, ARRIVAL).expect("it stops");
    Job::new(&pipeline.url())
        .args([
            "topics",
            "accept",
            "--platform",
            &pipeline.name,
            "--store",
            "shop",
            "--dataset",
            "customers",
        ])
        .args([
            "--topic",
            &topic,
            "--partition",
            "0",
            "--as",
            "recreated",
            "--yes",
        ])
        .succeed();
    rest.forget_offsets(&sink).expect("Connect forgets");
    rest.order(&sink, "resume").expect("it resumes");
    rest.wait_until_running(&sink, ARRIVAL).expect("it runs");
    pipeline
        .source
        .run("update customers set n = 4 where id < 20; delete from customers where id = 300");
    settle(&mut pipeline);
}
