//! Datasets, columns and stores come and go.

use std::thread;
use std::time::Duration;

use acceptance::stack::{Audit, Pipeline, Stack, Terraform};

use crate::{
    CUSTOMERS, GRADED, KEYS, LINES, ORDERS, TABLES, add, head, read_again, remove, settle, store,
    walsender, while_others_write,
};

/// The same additions, with Terraform.
fn add_with(terraform: &Terraform, pipeline: &mut Pipeline<'_>, model: &str) {
    pipeline.model(model).expect("the model is sound");
    pipeline.prepare().expect("the source is prepared");
    pipeline.publish().expect("the plan is published");
    apply(terraform, pipeline);
    pipeline.snapshot().expect("the connector is asked");
}

fn apply(terraform: &Terraform, pipeline: &Pipeline<'_>) {
    terraform
        .replace(&pipeline.folder().join("terraform"))
        .expect("the files are rendered");
    // Connect refuses while connectors of other tests come and go.
    for _ in 0..20 {
        let Err(error) = terraform.apply() else {
            return;
        };
        let told = format!("{error:#}");
        assert!(told.contains("rebalance"), "{told}");
        thread::sleep(Duration::from_millis(500));
    }
    panic!("Connect does not come to rest");
}

#[test]
fn datasets_and_stores_come_and_go_while_others_stream() {
    let stack = Stack::shared();
    let mut pipeline = Pipeline::new(stack);
    pipeline.source.run(TABLES);
    pipeline.source.run(
        "create table items (id bigint primary key, n integer); insert into items values (1, 1)",
    );
    let all = store("shop", &[CUSTOMERS, ORDERS, LINES]);
    pipeline.model(&all).expect("the model is sound");
    let audit = Audit::begin(&mut pipeline);
    let terraform = Terraform::of(&pipeline.folder().join("terraform"), &stack.connect.url())
        .expect("the files are rendered");
    add_with(
        &terraform,
        &mut pipeline,
        &store("shop", &[CUSTOMERS, ORDERS]),
    );

    // A dataset comes; its connector is restarted while it reads.
    while_others_write(&mut pipeline, |pipeline| {
        pipeline.merge().expect("changes are merged");
        add_with(&terraform, pipeline, &all);
        let name = &pipeline.connector("shop.source").name;
        stack.connect.rest().restart(name).expect("it restarts");
        thread::sleep(Duration::from_millis(500));
        pipeline.merge().expect("changes are merged");
    });
    read_again(&mut pipeline, "lines", "order_id, line", "-1");
    settle(&mut pipeline);
    audit
        .check_end(&mut pipeline)
        .expect("no version is false or lost");

    // A store comes; the other one is not disturbed.
    let before = walsender(&mut pipeline, "shop");
    let items = "
  - {name: items, from: public.items, key: [id], columns: [{name: id, type: bigint}, {name: n, type: integer, nullable: true}]}";
    let both = format!("{all}---\n{}", store("stock", &[items]));
    while_others_write(&mut pipeline, |pipeline| {
        add_with(&terraform, pipeline, &both);
    });
    settle(&mut pipeline);
    assert_eq!(walsender(&mut pipeline, "shop"), before);
    audit
        .check_end(&mut pipeline)
        .expect("no version is false or lost");

    // It goes; its tables stay, and its slot, which the owner drops.
    pipeline.model(&all).expect("the model is sound");
    apply(&terraform, &pipeline);
    pipeline.publish().expect("the plan is published");
    let names = stack.connect.rest().names().expect("Connect answers");
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with(&format!("{}.stock.", pipeline.name)))
    );
    let drop = format!(
        "select pg_drop_replication_slot('{}__stock')",
        pipeline.name
    );
    pipeline.source.run(&drop);
    assert_eq!(walsender(&mut pipeline, "shop"), before);
    let kept = format!("select count(*) from {}.stock__items", pipeline.name);
    assert_eq!(pipeline.platform.value(&kept), "1");
}

#[test]
fn what_goes_and_comes_back_is_read_again() {
    let mut pipeline = Pipeline::new(Stack::shared());
    pipeline.source.run(TABLES);
    let all = store("shop", &[CUSTOMERS, ORDERS, LINES]);
    add(&mut pipeline, &all);
    for (dataset, key) in KEYS {
        read_again(&mut pipeline, dataset, key, "-1");
    }
    settle(&mut pipeline);

    // A dataset goes, and its table changes unseen.
    remove(&mut pipeline, &store("shop", &[CUSTOMERS, LINES]));
    let after = head(&mut pipeline, "orders");
    pipeline.source.run(
        "update orders set n = 100 where id <= 10; insert into orders values (1001, 0);
         delete from orders where id = 20",
    );
    settle(&mut pipeline);
    assert_eq!(head(&mut pipeline, "orders"), after);
    let view = "select count(*) from of_shop.shop__orders";
    assert_eq!(pipeline.platform.value(view), "300", "the view stays");
    let live = |pipeline: &mut Pipeline<'_>, id: u32| {
        let table = format!("{}.shop__orders__live", pipeline.name);
        let count = format!("select count(*) from {table} where id = {id}");
        pipeline.platform.value(&count)
    };
    // It comes back while others write.
    while_others_write(&mut pipeline, |pipeline| add(pipeline, &all));
    read_again(&mut pipeline, "orders", "id", &after);
    pipeline.quiet().expect("changes arrive");
    pipeline.merge().expect("changes are merged");
    assert_eq!(live(&mut pipeline, 1001), "1");
    // What was deleted meanwhile is not known to be: the row stays until its key is written again.
    assert_eq!(live(&mut pipeline, 20), "1");
    pipeline
        .source
        .run("insert into orders values (20, 0); delete from orders where id = 20");
    settle(&mut pipeline);
    // A version is written for what differs, and for nothing else.
    let doubled = format!(
        "select count(*) from (
             select n <= lag(n) over (partition by id order by dp_in) as is_doubled from {}.shop__orders where id <> 20) v
          where is_doubled",
        pipeline.name
    );
    assert_eq!(pipeline.platform.value(&doubled), "0");
}

#[test]
fn a_column_that_the_source_fills_without_an_event_is_read() {
    let mut pipeline = Pipeline::new(Stack::shared());
    pipeline.source.run(TABLES);
    add(&mut pipeline, &store("shop", &[CUSTOMERS]));
    read_again(&mut pipeline, "customers", "id", "-1");
    settle(&mut pipeline);
    let after = head(&mut pipeline, "customers");
    pipeline
        .source
        .run("alter table customers add column grade text default 'new'");
    // What the model does not name is not read, and disturbs nobody.
    pipeline
        .source
        .run("update customers set n = 5 where id = 1");
    settle(&mut pipeline);

    add(&mut pipeline, &store("shop", &[GRADED]));
    read_again(&mut pipeline, "customers", "id", &after);
    settle(&mut pipeline);
    let versions = |pipeline: &mut Pipeline<'_>| {
        let table = format!("{}.shop__customers", pipeline.name);
        pipeline.platform.value(&format!(
            "select string_agg(distinct versions, ' | ') from (
                 select string_agg(n || coalesce(grade, '?'), ' ' order by dp_in) as versions from {table} group by id) v"
        ))
    };
    assert_eq!(versions(&mut pipeline), "0? 0new | 0? 5? 5new");

    // Nobody knows when the source filled it.
    let filled = format!(
        "select count(dp_source_ts) from {}.shop__customers where grade is not null",
        pipeline.name
    );
    assert_eq!(pipeline.platform.value(&filled), "0");

    // The column goes: nothing is read again. It comes back: the table is.
    let after = head(&mut pipeline, "customers");
    remove(&mut pipeline, &store("shop", &[CUSTOMERS]));
    pipeline.snapshot().expect("there is nothing to ask for");
    let visible = "select count(*) from information_schema.columns
                    where table_schema = 'of_shop' and table_name = 'shop__customers' and column_name = 'grade'";
    assert_eq!(pipeline.platform.value(visible), "0");
    pipeline.source.run("update customers set grade = 'old'");
    pipeline.quiet().expect("changes arrive");
    pipeline.merge().expect("changes are merged");
    let read = format!(
        "select count(*) from {}_staging.shop__customers where __op = 'r' and __connect_offset > {after}",
        pipeline.name
    );
    assert_eq!(pipeline.platform.value(&read), "0");
    let after = head(&mut pipeline, "customers");
    add(&mut pipeline, &store("shop", &[GRADED]));
    read_again(&mut pipeline, "customers", "id", &after);
    settle(&mut pipeline);
}

#[test]
fn changes_of_partitions_are_those_of_their_table() {
    let mut pipeline = Pipeline::new(Stack::shared());
    pipeline.source.run(TABLES);
    pipeline.source.run(
        "create table visits (id bigint, day integer, n integer not null, primary key (id, day)) partition by range (day);
         create table visits_1 partition of visits for values from (0) to (10);
         create table visits_2 partition of visits for values from (10) to (20);
         insert into visits select i, i % 20, 0 from generate_series(1, 3000) i",
    );
    let visits = "
  - {name: visits, from: public.visits, key: [id, day], columns: [{name: id, type: bigint}, {name: day, type: integer},
     {name: n, type: integer}]}";
    add(&mut pipeline, &store("shop", &[CUSTOMERS]));
    add(&mut pipeline, &store("shop", &[CUSTOMERS, visits]));
    read_again(&mut pipeline, "visits", "id, day", "-1");
    pipeline.source.run(
        "update visits set n = 1 where id % 10 = 1; delete from visits where id % 10 = 2;
         update visits set day = day + 10 where day < 5 and id % 10 = 3; insert into visits values (0, 15, 1)",
    );
    settle(&mut pipeline);
}
