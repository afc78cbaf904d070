//! Names that mean harm, from the source to the workspace.

use acceptance::Database;
use acceptance::stack::{Pipeline, Stack};

use crate::{ARRIVAL, ORDERS, add, store};

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

#[test]
fn a_table_is_read_by_the_case_of_its_name() {
    let mut pipeline = Pipeline::new(Stack::shared());
    // Nobody asked for the second, and the connector may not read it.
    pipeline.source.run(
        "create table orders (id bigint primary key, n integer not null);
         create table \"Orders\" (id bigint primary key, n integer not null);
         insert into orders values (1, 1);
         insert into \"Orders\" values (1, 2)",
    );
    add(&mut pipeline, &store("shop", &[ORDERS]));
    pipeline
        .source
        .run("update orders set n = n + 10; update \"Orders\" set n = n + 10");
    pipeline.quiet().expect("changes arrive");
    pipeline.merge().expect("changes are merged");
    let live = format!(
        "select string_agg(n::text, ' ') from {}.shop__orders where dp_out is null",
        pipeline.name
    );
    assert_eq!(pipeline.platform.value(&live), "11");
    let source = &pipeline.connector(".source").name;
    let topics = Stack::shared()
        .connect
        .rest()
        .get(&format!("connectors/{source}/topics"))
        .expect("the worker knows them");
    assert!(!topics.to_string().contains("Orders"), "{topics}");
}
