//! What publish makes and changes by itself.

use acceptance::Cluster;
use milepost_job_spec::Strategy;
use test_case::test_case;

use crate::{COLUMNS, MILESTONED, files, fill, people, publish_ok, schema, type_of, with};

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(MILESTONED; "milestoned")]
#[test_case(Strategy::Append; "append")]
fn what_was_made_needs_no_second_change(strategy: Strategy) {
    let database = Cluster::shared().database();
    let spec = [people(strategy, &COLUMNS)];
    publish_ok(&database, &spec, 1);
    let before = schema(&database);
    let run = publish_ok(&database, &spec, 2);
    assert!(
        run.stdout.contains("0 changes of tables and views"),
        "{run}"
    );
    assert_eq!(schema(&database), before);
}

#[test]
fn live_rows_are_one_per_key_and_closed_rows_one_per_version() {
    let mut database = Cluster::shared().database();
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 1);
    let keys = database.rows(
        "select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint
          where contype = 'p' and connamespace = 'main'::regnamespace order by 1",
    );
    let row = |table: &str, key: &str| vec![Some(table.to_owned()), Some(key.to_owned())];
    assert_eq!(
        keys,
        [
            row("main.shop__people__closed", "PRIMARY KEY (id, dp_in)"),
            row("main.shop__people__live", "PRIMARY KEY (id)"),
        ]
    );
}

#[test]
fn the_live_partition_alone_is_read_for_live_rows() {
    let mut database = Cluster::shared().database();
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 1);
    let plan = |database: &mut acceptance::Database, sql: &str| {
        let lines = database.rows(&format!("explain (costs off) {sql}"));
        lines
            .into_iter()
            .flatten()
            .flatten()
            .collect::<Vec<_>>()
            .join("\n")
    };
    for sql in [
        "select * from main.shop__people where dp_out is null",
        "select * from risk.shop__people",
    ] {
        let plan = plan(&mut database, sql);
        assert!(plan.contains("shop__people__live"), "{plan}");
        assert!(!plan.contains("shop__people__closed"), "{plan}");
    }
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(MILESTONED; "milestoned")]
#[test_case(Strategy::Append; "append")]
fn a_new_column_is_added_and_older_rows_have_null(strategy: Strategy) {
    let mut database = Cluster::shared().database();
    let spec = people(strategy, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    fill(&mut database, &spec);

    let mut columns = COLUMNS.to_vec();
    // Not at the end, and not nullable: neither can hold for the rows that are there.
    columns.insert(1, ("country", "text"));
    let run = publish_ok(&database, &[people(strategy, &columns)], 2);
    assert!(run.stdout.contains("adds column `country` text"), "{run}");

    let nulls = "select count(*) from risk.shop__people where country is null";
    assert_eq!(database.value(nulls), "2");
    assert_eq!(
        type_of(&mut database, "main_staging.shop__people", "country"),
        "text"
    );
    let run = publish_ok(&database, &[people(strategy, &columns)], 3);
    assert!(
        run.stdout.contains("0 changes of tables and views"),
        "{run}"
    );
}

#[test]
fn a_column_that_the_spec_drops_stays_and_may_be_null() {
    let mut database = Cluster::shared().database();
    let spec = people(MILESTONED, &COLUMNS);
    publish_ok(&database, std::slice::from_ref(&spec), 1);
    fill(&mut database, &spec);

    publish_ok(&database, &[people(MILESTONED, &COLUMNS[..4])], 2);
    assert_eq!(
        database.value("select count(*) from main.shop__people where name = 'Ann'"),
        "3"
    );
    database.run("insert into main.shop__people (id, dp_in) values (9, '2026-01-02')");
    let seen = database.rows("select * from risk.shop__people where id = 9");
    assert_eq!(seen[0].len(), 4, "the view has only what the spec has");
}

#[test]
fn a_column_may_become_nullable() {
    let mut database = Cluster::shared().database();
    publish_ok(&database, &[people(MILESTONED, &COLUMNS)], 1);
    publish_ok(&database, &[people(MILESTONED, &with("name", "text?"))], 2);
    database.run("insert into main.shop__people (id, dp_in) values (9, '2026-01-02')");
    database.run(
        "insert into main.shop__people (id, dp_in, dp_out) values (9, '2026-01-01', '2026-01-02')",
    );
}

#[test_case("email", "character varying(40)?"; "more characters")]
#[test_case("email", "character varying?"; "any number of characters")]
#[test_case("email", "text?"; "text")]
#[test_case("balance", "numeric(12,2)?"; "more digits")]
#[test_case("balance", "numeric?"; "any number of digits")]
#[test_case("seen", "timestamp(6) without time zone?"; "microseconds")]
#[test_case("seen", "timestamp without time zone?"; "the finest time")]
fn a_widened_column_is_not_rewritten(column: &str, wider: &str) {
    for strategy in [Strategy::LiveOnly, MILESTONED] {
        let mut database = Cluster::shared().database();
        let spec = people(strategy, &COLUMNS);
        publish_ok(&database, std::slice::from_ref(&spec), 1);
        fill(&mut database, &spec);
        // An index on the column would be rewritten too, if the type's order changed.
        let heap = spec.datasets[0].live_table();
        database.run(&format!("create index on {heap} ({column})"));
        let (before, rows) = (
            files(&mut database),
            database.rows("select * from risk.shop__people"),
        );

        publish_ok(&database, &[people(strategy, &with(column, wider))], 2);

        let wanted = wider.trim_end_matches('?');
        for table in [
            "main.shop__people",
            "main_staging.shop__people",
            "risk.shop__people",
        ] {
            assert_eq!(type_of(&mut database, table, column), wanted, "{table}");
        }
        assert_eq!(files(&mut database), before, "nothing moved on disk");
        assert_eq!(
            database.rows("set role risk; select * from risk.shop__people"),
            rows
        );
        if strategy.is_milestoned() {
            let as_of = "select * from risk.shop__people__as_of('2026-02-20')";
            assert_eq!(
                database.rows(as_of),
                rows,
                "the function was made again with the views"
            );
        }
    }
}

#[test]
fn a_key_is_widened_with_its_indexes() {
    let mut database = Cluster::shared().database();
    let columns = |kind| vec![("id", kind), ("name", "text?")];
    publish_ok(
        &database,
        &[people(MILESTONED, &columns("character varying(4)"))],
        1,
    );
    database.run("insert into main.shop__people values ('abcd', null, '2026-01-01')");
    let before = files(&mut database);
    publish_ok(&database, &[people(MILESTONED, &columns("text"))], 2);
    assert_eq!(files(&mut database), before);
    assert_eq!(
        type_of(&mut database, "main.shop__people__live", "id"),
        "text"
    );
}
