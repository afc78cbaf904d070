//! What streams is changed while it streams, by the commands of `docs/changing-streams.md` in their order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use acceptance::Database;
use acceptance::stack::{Audit, MariaDb, Pipeline, READER, Stack, Terraform};

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

#[test]
fn a_mariadb_is_asked_for_what_was_added() {
    let source = MariaDb::start(&[]).expect("MariaDB starts");
    source
        .run(
            "create database shop; use shop;
             create table orders (id bigint primary key, n int); insert into orders values (1, 0);
             create table `li``nes` (id bigint primary key, n int); insert into `li``nes` select seq, 0 from seq_1_to_3000;",
        )
        .expect("tables are made");
    let mut pipeline = Pipeline::new(Stack::shared());
    let maria = format!(
        "{{mariadb: {{host: 127.0.0.1, port: {}, database: shop, locations: [aws/eu/stockholm]}}}}",
        source.port()
    );
    let model = |datasets: &[&str]| store("shop", datasets).replace("$SOURCE", &maria);
    let script = |pipeline: &Pipeline<'_>, file: &str| {
        let file = pipeline.folder().join("sources/shop").join(file);
        let text = std::fs::read_to_string(file).expect("it is rendered");
        format!("set @reader = '''{}''@''%''';\n{text}", READER.0)
    };
    let orders = "
  - {name: orders, key: [id], columns: [{name: id, type: bigint}, {name: n, type: integer, nullable: true}]}";
    let lines = "
  - {name: lines, from: \"li`nes\", key: [id], columns: [{name: id, type: bigint}, {name: n, type: integer, nullable: true}]}";
    for datasets in [&[orders] as &[_], &[orders, lines]] {
        pipeline
            .model(&model(datasets))
            .expect("the model is sound");
        source
            .run(&script(&pipeline, "prepare.sql"))
            .expect("the source is prepared");
        pipeline.publish().expect("the plan is published");
        // It waits for a connector that knows the model.
        let snapshot = script(&pipeline, "snapshot.sql");
        let connectors = pipeline.connectors().into_iter();
        let changes: Vec<_> = connectors
            .map(|connector| {
                let mut config = connector.config.clone();
                config.insert("name".to_owned(), connector.name.clone());
                (connector.name.clone(), config)
            })
            .collect();
        let begin = Instant::now();
        let asked = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_secs(1));
                let rest = Stack::shared().connect.rest();
                for (name, config) in &changes {
                    rest.put(name, config).expect("Connect takes it");
                }
            });
            source.run(&snapshot).expect("the connector is asked")
        });
        let waited = begin.elapsed() > Duration::from_secs(1);
        assert!(waited || datasets.len() == 1, "it asked the old connector");
        pipeline.apply().expect("connectors run");
        assert_eq!(asked.contains("lines"), datasets.len() == 2, "{asked}");
        let arrived = format!(
            "select count(*) from {}_staging.shop__orders where id = 1",
            pipeline.name
        );
        pipeline
            .wait_for(&arrived, "1", ARRIVAL)
            .expect("the first snapshot is complete");
    }
    source
        .run("update shop.`li``nes` set n = 1 where id % 10 = 0; delete from shop.`li``nes` where id = 7")
        .expect("the source changes");
    let last = format!(
        "select count(*) || ' ' || coalesce(sum(n), 0) from (
             select distinct on (id) __op, n from {}_staging.shop__lines order by id, __connect_offset desc) s
          where __op <> 'd'",
        pipeline.name
    );
    pipeline
        .wait_for(&last, "2999 300", ARRIVAL)
        .expect("the table is read");
    pipeline.merge().expect("changes are merged");
    let merged = format!(
        "select count(*) || ' ' || sum(n) from {}.shop__lines__live",
        pipeline.name
    );
    assert_eq!(pipeline.platform.value(&merged), "2999 300");
    let told = source
        .run(&script(&pipeline, "snapshot.sql"))
        .expect("it may be run again");
    assert!(!told.contains("lines"), "it asks once: {told}");
}

/// Tables of a source that means harm; the first two are there from the beginning. No request can name the second.
fn hostile_tables() -> [String; 5] {
    [
        "select".to_owned(),
        "white  space über 漢😀; --".to_owned(),
        "Q\"uo'te\\$1${env:HOME}{{x}}%s".to_owned(),
        // Their datasets have names that are cut.
        "n".repeat(63),
        format!("{}m", "n".repeat(62)),
    ]
}

/// Columns beside the key.
fn hostile_columns() -> Vec<String> {
    let short = [
        "Select",
        "it's",
        "a\"b",
        "back\\slash",
        "${env:HOME}",
        "$1",
        "a,b",
        "a.b",
        "a:b",
        "ü漢😀",
        "100%",
        "semi;colon",
        "--",
        "/*",
        "null",
        "{{x}}",
        "c0",
    ];
    let long = ["a".repeat(63), format!("{}b", "a".repeat(62))];
    short.map(str::to_owned).into_iter().chain(long).collect()
}

/// A name as both Postgres and YAML take it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What a table or view holds, as text without names.
fn contents(database: &mut Database, from: &str) -> Vec<Vec<Option<String>>> {
    let columns = hostile_columns();
    let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    database.rows(&format!(
        "select \"k\"\"ey 1\", {} from {from} order by 1",
        columns.join(", ")
    ))
}

#[test]
fn hostile_names_arrive_in_the_workspace_unharmed() {
    let mut pipeline = Pipeline::new(Stack::shared());
    let columns = hostile_columns();
    let tables = hostile_tables();
    let text = |name: &str| serde_json::to_string(name).expect("a text is JSON");
    for table in &tables {
        let typed: Vec<String> = columns
            .iter()
            .map(|column| format!("{} text", quoted(column)))
            .collect();
        let table = quoted(table);
        pipeline.source.run(&format!(
            "create table {table} (\"k\"\"ey 1\" integer primary key, {})",
            typed.join(", ")
        ));
        let values: Vec<String> = columns
            .iter()
            .map(|column| format!("'{} ' || i", column.replace('\'', "''")))
            .collect();
        pipeline.source.run(&format!(
            "insert into {table} select i, {} from generate_series(1, 3) i",
            values.join(", ")
        ));
    }
    let listed: Vec<String> = columns
        .iter()
        .map(|column| format!("{{name: {}, type: text, nullable: true}}", text(column)))
        .collect();
    let datasets: Vec<String> = tables
        .iter()
        .map(|table| {
            // A dataset's name is longer than a table's may be.
            let dataset = format!("{table}{}", if table.len() == 63 { "n" } else { "" });
            format!(
                "\n  - {{name: {}, from: {}, key: [{key}], columns: [{{name: {key}, type: integer}}, {}]}}",
                text(&dataset),
                text(&format!("public.{table}")),
                listed.join(", "),
                key = text("k\"ey 1"),
            )
        })
        .collect();
    let model = |datasets: &[String]| {
        let sinks: Vec<String> = datasets
            .iter()
            .filter_map(|dataset| {
                let name = dataset.split("{name: ").nth(1)?.split(", from:").next()?;
                Some(name.replacen('"', "\"shop#", 1))
            })
            .collect();
        store("shop", &[""])
            .replace("datasets:", &format!("datasets:{}", datasets.concat()))
            .replace("sinks: []", &format!("sinks: [{}]", sinks.join(", ")))
    };
    add(&mut pipeline, &model(&datasets[..2]));
    add(&mut pipeline, &model(&datasets));
    for table in &tables {
        let sets: Vec<String> = columns
            .iter()
            .map(|column| format!("{} = {0} || ' again'", quoted(column)))
            .collect();
        let table = quoted(table);
        pipeline.source.run(&format!(
            "update {table} set {} where \"k\"\"ey 1\" = 1; delete from {table} where \"k\"\"ey 1\" = 2",
            sets.join(", ")
        ));
    }
    let specs: Vec<_> = pipeline
        .streams()
        .into_iter()
        .flat_map(|spec| spec.datasets.clone())
        .collect();
    assert_eq!(specs.len(), tables.len());
    for dataset in &specs {
        let staged = format!(
            "select count(distinct k) from (select to_jsonb(s)->>'{}' as k from {} s) s",
            dataset.columns[0].staged_as.as_str().replace('\'', "''"),
            dataset.staging.quoted()
        );
        pipeline
            .wait_for(&format!("select ({staged}) >= 2"), "t", ARRIVAL)
            .expect("the table is read");
    }
    pipeline.quiet().expect("changes arrive");
    pipeline.merge().expect("changes are merged");
    pipeline.platform.run("set role of_shop");
    for dataset in &specs {
        let table = dataset
            .source_name
            .strip_prefix("public.")
            .expect("they are all there");
        let expected = contents(&mut pipeline.source, &quoted(table));
        assert_eq!(expected.len(), 2);
        let view = &dataset.views[0];
        let view = format!("{}.{}", view.schema.quoted(), view.live.quoted());
        assert_eq!(contents(&mut pipeline.platform, &view), expected, "{table}");
    }
}
