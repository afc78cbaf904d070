//! What streams is changed while it streams, by the commands of `docs/changing-streams.md` in their order.

mod compared;
mod connectors;
mod datasets;
mod hostile;
mod mariadb;
mod tables;
mod topics;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use acceptance::Database;
use acceptance::stack::Pipeline;

/// How long rows may take to arrive.
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

/// The tables with their keys.
const KEYS: [(&str, &str); 3] = [
    ("customers", "id"),
    ("orders", "id"),
    ("lines", "order_id, line"),
];

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
