//! The real stack: what a source commits arrives in merge tables, whole and in order.

use std::thread;

use acceptance::Database;
use acceptance::stack::{Audit, MariaDb, Pipeline, Stack};

const TABLES: &str = "
create table customers (id bigint primary key, name text not null, balance numeric(12,2), notes text, prefs jsonb);
create table orders (id bigint primary key, customer_id bigint, status text, placed_at timestamp(6), total numeric(14,4));
create table order_lines (order_id bigint, line_no integer, sku text, quantity integer, primary key (order_id, line_no));
alter table customers alter notes set storage external, alter prefs set storage external;
insert into customers select n, 'name ' || n, n, repeat('n', 3000), jsonb_build_object('n', n) from generate_series(1, 20) n;
";

const MODEL: &str = r#"
kind: Datastore
name: shop
team: europe/sales
ingestion:
  cdc:
    source: $SOURCE
    credential: {name: shop-reader, type: username-password}
    consistency: multi-dataset
datasets:
  - name: customers
    from: public.customers
    key: [id]
    columns:
      - {name: id, type: bigint}
      - {name: name, type: text}
      - {name: balance, type: "numeric(12,2)", nullable: true}
      - {name: notes, type: text, nullable: true}
      - {name: prefs, type: jsonb, nullable: true}
  - name: orders
    from: public.orders
    key: [id]
    columns:
      - {name: id, type: bigint}
      - {name: customer_id, type: bigint, nullable: true}
      - {name: status, type: text, nullable: true}
      - {name: placed_at, type: timestamp(6), nullable: true}
      - {name: total, type: "numeric(14,4)", nullable: true}
  - name: order_lines
    from: public.order_lines
    key: [order_id, line_no]
    columns:
      - {name: order_id, type: bigint}
      - {name: line_no, type: integer}
      - {name: sku, type: text, nullable: true}
      - {name: quantity, type: integer, nullable: true}
---
kind: Workspace
name: risk
team: europe/sales
groups:
  - name: exposure
    retention: {milestoned: {minimum: 365d}}
    latency: 5m
    sinks: [shop#customers, shop#orders, shop#order_lines]
---
kind: Assignment
platform: $PLATFORM
workspace: risk
group: exposure
"#;

/// One of several clients that change the same rows.
fn client(mut source: Database, number: u32) {
    for round in 0..60 {
        let order = number * 1000 + round;
        let customer = 1 + (number + round * 7) % 25;
        source.run(&format!(
            "begin;
             insert into customers values ({customer}, 'new', 0, repeat('x', 3000), '{{}}')
                 on conflict (id) do update set balance = customers.balance + 1, name = 'name ' || {order};
             insert into orders values ({order}, {customer}, 'open', clock_timestamp(), 1.5);
             insert into order_lines select {order}, n, 'sku', n from generate_series(1, 3) n;
             commit"
        ));
        match round % 6 {
            0 => source.run(&format!("delete from customers where id = {customer}")),
            1 => source.run(&format!("update orders set id = -id where id = {order}")),
            2 => source.run(&format!(
                "begin; delete from order_lines where order_id = {order};
                 insert into order_lines values ({order}, 1, 'again', 1); commit"
            )),
            3 => source.run(&format!(
                "begin; update orders set status = 'undone' where id = {order}; rollback"
            )),
            4 => source.run(&format!("update orders set status = status where id = {order}")),
            _ => source.run(&format!(
                "begin; delete from orders where id = {order}; delete from order_lines where order_id = {order}; commit"
            )),
        }
    }
}

#[test]
fn what_a_source_commits_arrives_whole_and_in_order() {
    let stack = Stack::shared();
    let mut pipeline = Pipeline::new(stack);
    pipeline.source.run(TABLES);
    pipeline.model(MODEL).expect("the model is sound");
    let audit = Audit::begin(&mut pipeline);
    pipeline.begin().expect("connectors run");
    thread::scope(|scope| {
        for number in 1..=4 {
            let source = pipeline.source.again();
            scope.spawn(move || client(source, number));
        }
    });
    pipeline.quiet().expect("changes arrive");
    pipeline.merge().expect("changes are merged");
    let compared = pipeline.compare().expect("live rows are the source's");
    assert_eq!(compared.len(), 3);
    audit.check(&mut pipeline).expect("the history is true");
}

#[test]
fn a_maria_db_keeps_a_binlog_of_rows_through_a_kill() {
    let mut server = MariaDb::start(&[]).expect("it starts");
    let format = "select @@log_bin, @@binlog_format, @@binlog_row_image";
    assert_eq!(server.run(format).expect("it answers"), "1\tROW\tFULL\n");
    let statements =
        "create database shop; create table shop.t (a text); insert into shop.t values ('漢字')";
    server.run(statements).expect("it writes");
    server.kill();
    assert!(server.run("select 1").is_err());
    server.start_again(&[]).expect("it comes back");
    assert_eq!(
        server.run("select a from shop.t").expect("it answers"),
        "漢字\n"
    );
}
