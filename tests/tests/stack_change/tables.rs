//! Tables whose shape changes at the source: a column gets another type, a table another key.

use acceptance::stack::{Pipeline, Stack};
use acceptance::{Job, Run};

use crate::{ARRIVAL, CUSTOMERS, TABLES, add, head, read_again, settle, store, while_others_write};

const WIDE: &str = "
  - {name: customers, from: public.customers, key: [id], columns: [{name: id, type: bigint}, {name: n, type: bigint}]}";
const REKEYED: &str = "
  - {name: customers, from: public.customers, key: [n, id], columns: [{name: id, type: bigint}, {name: n, type: integer}]}";

/// A stream of `customers` with everything merged.
fn begun() -> Pipeline<'static> {
    let mut pipeline = Pipeline::new(Stack::shared());
    pipeline.source.run(TABLES);
    add(&mut pipeline, &store("shop", &[CUSTOMERS]));
    read_again(&mut pipeline, "customers", "id", "-1");
    settle(&mut pipeline);
    pipeline
}

fn run(pipeline: &Pipeline<'_>, command: &str, more: &[&str]) -> Run {
    Job::new(&pipeline.url())
        .args([command, "--platform", &pipeline.name, "--store", "shop"])
        .args(more.iter().copied())
        .run()
}

/// Publishes a model whose table is not what the database has.
fn refused(pipeline: &mut Pipeline<'_>, model: &str, words: &str) {
    pipeline
        .model(&store("shop", &[model]))
        .expect("the model is sound");
    let told = pipeline.publish().expect_err("the table is another one");
    assert!(format!("{told:#}").contains(words), "{told:#}");
}

#[test]
fn a_column_gets_a_wider_type_while_it_streams() {
    let mut pipeline = begun();
    while_others_write(&mut pipeline, |pipeline| {
        refused(pipeline, WIDE, "merge-job migrate-tables");
        let plan = run(pipeline, "migrate-tables", &[]);
        assert_eq!(plan.code, 0, "{plan}");
        let mut words = plan.stdout.split_whitespace();
        words.find(|word| *word == "--execute");
        let digest = words.next().unwrap_or_else(|| panic!("{plan}"));
        let done = run(pipeline, "migrate-tables", &["--execute", digest]);
        assert_eq!(done.code, 0, "{done}");
        pipeline.publish().expect("the table is as the model says");
        pipeline.apply().expect("connectors run");
        pipeline.merge().expect("changes are merged");
        pipeline.source.run(
            "alter table customers alter column n type bigint; update customers set n = n + 5000000000 where id < 9",
        );
    });
    settle(&mut pipeline);
}

#[test]
fn a_key_that_changes_is_followed_by_a_rebuild() {
    let mut pipeline = begun();
    pipeline.source.run(
        "alter table customers drop constraint customers_pkey, add primary key (n, id);
         update customers set n = 7 where id < 5",
    );
    refused(&mut pipeline, REKEYED, "merge-job rebuild");
    let done = run(&pipeline, "rebuild", &["--from", "source", "--yes"]);
    assert_eq!(done.code, 0, "{done}");
    pipeline.publish().expect("the table is as the model says");
    pipeline.apply().expect("connectors run");
    pipeline.merge().expect("changes are merged");
    let status = "select string_agg(status, ' ') from milepost.stream_status";
    assert_eq!(pipeline.platform.value(status), "snapshot");

    // A new snapshot, as docs/operations.md has it.
    let after = head(&mut pipeline, "customers");
    let rest = pipeline.stack().connect.rest();
    let name = pipeline.connector(".source").name.clone();
    rest.order(&name, "stop").expect("it stops");
    rest.wait_until_stopped(&name, ARRIVAL).expect("it stops");
    let slot = format!("select pg_drop_replication_slot('{}__shop')", pipeline.name);
    pipeline.source.run(&slot);
    rest.forget_offsets(&name).expect("Connect forgets");
    rest.order(&name, "resume").expect("it resumes");
    read_again(&mut pipeline, "customers", "n, id", &after);
    settle(&mut pipeline);
    assert_eq!(pipeline.platform.value(status), "healthy");
    pipeline
        .source
        .run("update customers set n = n + 1 where id % 3 = 0; delete from customers where id = 2");
    settle(&mut pipeline);
}
