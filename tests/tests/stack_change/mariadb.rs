//! A dataset is added to a MariaDB.

use std::thread;
use std::time::{Duration, Instant};

use acceptance::stack::{MariaDb, Pipeline, READER, Stack};

use crate::{ARRIVAL, store};

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
        let refused = source
            .run(&script(&pipeline, "snapshot.sql"))
            .expect_err("the source does not know what was added");
        let told = refused.to_string();
        assert!(
            datasets.len() == 1 || told.contains("prepare.sql OF THIS RENDER WAS NOT RUN"),
            "{told}"
        );
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
                // It beats at least once as it was, and is not asked.
                thread::sleep(Duration::from_secs(12));
                let rest = Stack::shared().connect.rest();
                for (name, config) in &changes {
                    rest.put(name, config).expect("Connect takes it");
                }
            });
            source.run(&snapshot).expect("the connector is asked")
        });
        let waited = begin.elapsed() > Duration::from_secs(12);
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
