//! What is under way between a source and its tables, and what was lost.

use std::thread;
use std::time::Duration;

use acceptance::stack::{Pipeline, Stack};
use acceptance::{Job, Run};

use crate::{
    ARRIVAL, KEYS, LINES, ORDERS, TABLES, add, read_again, settle, store, while_others_write,
};

/// A store with everything merged.
fn begun() -> Pipeline<'static> {
    let mut pipeline = Pipeline::new(Stack::shared());
    pipeline.source.run(TABLES);
    add(&mut pipeline, &store("shop", &[ORDERS, LINES]));
    for (dataset, key) in &KEYS[1..] {
        read_again(&mut pipeline, dataset, key, "-1");
    }
    settle(&mut pipeline);
    pipeline
}

fn resync(pipeline: &Pipeline<'_>, more: &[&str]) -> Run {
    Job::new(&pipeline.url())
        .args(["resync", "--platform", &pipeline.name, "--store", "shop"])
        .args(["--settle", "2"])
        .args(more.iter().copied())
        .env("MILEPOST_SOURCE_URL", pipeline.source.url())
        .run()
}

#[test]
fn what_is_under_way_is_no_loss() {
    let mut pipeline = begun();
    while_others_write(&mut pipeline, |pipeline| {
        let running = pipeline.verify_with_source("shop", "15").start();
        for _ in 0..15 {
            thread::sleep(Duration::from_secs(1));
            pipeline.merge().expect("changes are merged");
        }
        let run = running.wait();
        assert_eq!(run.code, 0, "{run}");
    });
    settle(&mut pipeline);
    // A connector that stands still has not delivered what the source has.
    let rest = pipeline.stack().connect.rest();
    let name = pipeline.connector(".source").name.clone();
    rest.order(&name, "stop").expect("it stops");
    rest.wait_until_stopped(&name, ARRIVAL).expect("it stops");
    pipeline
        .source
        .run("update orders set n = n + 1 where id < 4; delete from orders where id = 9");
    let run = pipeline.verify_with_source("shop", "2").run();
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout.contains("warning[source-lag]: shop#orders: 4 rows may be under way still: 4 not delivered by the connector, 0 written meanwhile"),
        "{run}"
    );
    let plan = resync(&pipeline, &[]);
    assert!(!plan.stdout.contains("repair plan"), "{plan}");
    rest.order(&name, "resume").expect("it resumes");
    settle(&mut pipeline);
}

#[test]
fn what_was_lost_is_found_and_repaired_while_others_write() {
    let mut pipeline = begun();
    // As if no event of these had ever come.
    let name = pipeline.name.clone();
    pipeline.platform.run(&format!(
        "update {name}.shop__orders__live set n = -1 where id in (290, 291);
         delete from {name}.shop__lines__live where order_id = 99 and line = 49;
         insert into {name}.shop__orders__live (id, n, dp_in) select 100000, 1, max(last_batch_time) from milepost.datasets"
    ));
    let run = pipeline.verify_with_source("shop", "2").run();
    assert_eq!(run.code, 1, "{run}");
    let digest = run.stdout.split("--execute ").nth(1);
    let digest = digest
        .and_then(|rest| rest.split('`').next())
        .unwrap_or_else(|| panic!("{run}"));
    let run = resync(&pipeline, &["--execute", digest]);
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout
            .contains(" inserted 1 row, updated 2, closed 1\n"),
        "{run}"
    );
    settle(&mut pipeline);
    pipeline
        .source
        .run("update orders set n = n + 1 where id > 280; delete from lines where order_id = 99");
    settle(&mut pipeline);
}
