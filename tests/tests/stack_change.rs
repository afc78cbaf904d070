//! What streams is changed while it streams, by the commands of `docs/changing-streams.md` in their order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use acceptance::Database;
use acceptance::stack::{Audit, Pipeline, Stack};

const ARRIVAL: Duration = Duration::from_secs(60);

const CUSTOMERS: &str = "
  - {name: customers, from: public.customers, key: [id], columns: [{name: id, type: bigint}, {name: n, type: integer}]}";
const GRADED: &str = "
  - {name: customers, from: public.customers, key: [id], columns: [{name: id, type: bigint}, {name: n, type: integer},
     {name: grade, type: text, nullable: true}]}";
const ORDERS: &str = "
  - {name: orders, from: public.orders, key: [id], columns: [{name: id, type: bigint}, {name: n, type: integer}]}";
const LINES: &str = "
  - {name: lines, from: public.lines, key: [order_id, line], columns: [{name: order_id, type: bigint},
     {name: line, type: integer}, {name: n, type: integer}]}";

/// Tables that hold rows before anybody reads them.
const TABLES: &str = "
create table customers (id bigint primary key, n integer not null);
create table orders (id bigint primary key, n integer not null);
create table lines (order_id bigint, line integer, n integer not null, primary key (order_id, line));
insert into customers select i, 0 from generate_series(1, 300) i;
insert into orders select i, 0 from generate_series(1, 300) i;
insert into lines select i % 100, i / 100, 0 from generate_series(0, 4999) i;
";

/// A store with these datasets, all of which a workspace keeps with their history.
fn store(name: &str, datasets: &[&str]) -> String {
    let sinks: Vec<String> = datasets
        .iter()
        .filter_map(|text| text.split("name: ").nth(1)?.split(',').next())
        .map(|dataset| format!("{name}#{dataset}"))
        .collect();
    format!(
        "kind: Datastore
name: {name}
team: europe/sales
ingestion:
  cdc:
    source: $SOURCE
    credential: {{name: shop-reader, type: username-password}}
    consistency: multi-dataset
datasets:{}
---
kind: Workspace
name: of-{name}
team: europe/sales
groups:
  - name: all
    retention: {{milestoned: {{minimum: 365d}}}}
    latency: 5m
    sinks: [{}]
---
kind: Assignment
platform: $PLATFORM
workspace: of-{name}
group: all
",
        datasets.concat(),
        sinks.join(", ")
    )
}

/// Changes rows of the tables, several in a transaction, until it is told to end.
fn write(mut source: Database, is_over: &AtomicBool) {
    let mut round = 0;
    while !is_over.load(Ordering::Relaxed) {
        round += 1;
        let (one, line) = (1 + round * 7 % 300, round * 13 % 50);
        source.run(&format!(
            "begin;
             update customers set n = n + 1 where id = {one};
             update orders set n = n + 1 where id = {one};
             update lines set n = n + 1 where order_id = {one} % 100 and line = {line};
             commit"
        ));
        if round % 10 == 0 {
            source.run(&format!(
                "begin; delete from lines where order_id = {one} % 100 and line = {line};
                 insert into lines select max(order_id) + 1, 1, 0 from lines; commit"
            ));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Does something while others write to the source.
fn while_others_write(pipeline: &mut Pipeline<'_>, act: impl FnOnce(&mut Pipeline<'_>)) {
    let is_over = AtomicBool::new(false);
    let source = pipeline.source.again();
    thread::scope(|scope| {
        scope.spawn(|| write(source, &is_over));
        // Writing ends even if the act fails.
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(pipeline)));
        is_over.store(true, Ordering::Relaxed);
        acted.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// The documented order of an addition.
fn add(pipeline: &mut Pipeline<'_>, model: &str) {
    pipeline.model(model).expect("the model is sound");
    pipeline.begin().expect("what was added streams");
}

/// The documented order of a removal.
fn remove(pipeline: &mut Pipeline<'_>, model: &str) {
    pipeline.model(model).expect("the model is sound");
    pipeline.apply().expect("connectors run");
    pipeline.publish().expect("the plan is published");
    pipeline.prepare().expect("the source forgets");
}

/// The offset of the last staged row of a dataset.
fn head(pipeline: &mut Pipeline<'_>, dataset: &str) -> String {
    pipeline.platform.value(&format!(
        "select coalesce(max(__connect_offset), -1) from {}_staging.shop__{dataset}",
        pipeline.name
    ))
}

/// Waits until every row that a source's table holds, and no other, has arrived after an offset. Nobody writes.
fn read_again(pipeline: &mut Pipeline<'_>, dataset: &str, key: &str, after: &str) {
    let rows = format!("select count(*) from {dataset}");
    let rows = pipeline.source.value(&rows);
    let arrived = format!(
        "select count(*) from (
             select distinct on ({key}) __op from {}_staging.shop__{dataset}
              where __connect_offset > {after} order by {key}, __connect_offset desc) last
          where __op <> 'd'",
        pipeline.name
    );
    pipeline
        .wait_for(&arrived, &rows, ARRIVAL)
        .expect("the table is read");
}

fn settle(pipeline: &mut Pipeline<'_>) {
    pipeline.quiet().expect("changes arrive");
    pipeline.merge().expect("changes are merged");
    let compared = pipeline.compare().expect("live rows are the source's");
    assert!(compared.values().all(|&rows| rows > 0), "{compared:?}");
}

/// Which process at the source serves a store's connector: another one after every restart.
fn walsender(pipeline: &mut Pipeline<'_>, store: &str) -> String {
    let slot = format!("{}__{store}", pipeline.name);
    pipeline.source.value(&format!(
        "select active_pid from pg_replication_slots where slot_name = '{slot}'"
    ))
}

#[test]
fn datasets_and_stores_come_and_go_while_others_stream() {
    let mut pipeline = Pipeline::new(Stack::shared());
    pipeline.source.run(TABLES);
    pipeline.source.run(
        "create table items (id bigint primary key, n integer); insert into items values (1, 1)",
    );
    let all = store("shop", &[CUSTOMERS, ORDERS, LINES]);
    pipeline.model(&all).expect("the model is sound");
    let audit = Audit::begin(&mut pipeline);
    add(&mut pipeline, &store("shop", &[CUSTOMERS, ORDERS]));

    // A dataset comes.
    while_others_write(&mut pipeline, |pipeline| {
        pipeline.merge().expect("changes are merged");
        add(pipeline, &all);
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
    while_others_write(&mut pipeline, |pipeline| add(pipeline, &both));
    settle(&mut pipeline);
    assert_eq!(walsender(&mut pipeline, "shop"), before);
    audit
        .check_end(&mut pipeline)
        .expect("no version is false or lost");
    // It goes; its tables stay.
    remove(&mut pipeline, &all);
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

    // The column goes: nothing is read again. It comes back: the table is.
    let after = head(&mut pipeline, "customers");
    remove(&mut pipeline, &store("shop", &[CUSTOMERS]));
    pipeline.snapshot().expect("there is nothing to ask for");
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
fn connectors_are_made_anew_and_nothing_is_lost_or_doubled() {
    let mut pipeline = Pipeline::new(Stack::shared());
    pipeline.source.run(TABLES);
    let all = store("shop", &[CUSTOMERS, ORDERS, LINES]);
    pipeline.model(&all).expect("the model is sound");
    let audit = Audit::begin(&mut pipeline);
    add(&mut pipeline, &all);
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
