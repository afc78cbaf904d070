//! Verify finds what is broken, names it, and finds nothing where nothing is.

use acceptance::{Cluster, Database, Job, publish, stage};
use milepost_job_spec::{Strategy, StreamSpec};
use milepost_simulator::History;
use serde_json::Value;
use test_case::test_case;

use crate::{MILESTONED, people, verify};

const COLUMNS: [(&str, &str); 3] = [
    ("id", "bigint"),
    ("name", "text?"),
    ("balance", "numeric(8,2)?"),
];

/// A stream with three merged rounds of a simulated history.
fn merged(strategy: Strategy) -> (StreamSpec, Database) {
    let spec = people(strategy, &COLUMNS);
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let mut history = History::new(&spec, 11);
    for _ in 0..3 {
        stage::round(&mut database, &spec, &history.round(60));
        Job::merge(database.url(), &spec).succeed();
    }
    (spec, database)
}

/// The rules of the findings.
fn rules(database: &Database) -> Vec<String> {
    let run = verify(database, &["--format", "json"]);
    let report: Value = serde_json::from_str(&run.stdout).expect("the report is JSON");
    assert_eq!(report["version"], 1);
    let findings = report["diagnostics"]
        .as_array()
        .expect("findings are a list");
    assert_eq!(report["summary"]["errors"], findings.len());
    assert_eq!(run.code, i32::from(!findings.is_empty()), "{run}");
    let rule = |finding: &Value| finding["rule"].as_str().expect("a rule").to_owned();
    findings.iter().map(rule).collect()
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(MILESTONED; "milestoned")]
fn what_was_merged_keeps_its_invariants(strategy: Strategy) {
    let (_, mut database) = merged(strategy);
    assert_eq!(rules(&database), Vec::<String>::new());
    let rows = database.value("select count(*) from main.shop__people");
    assert_ne!(rows, "0");
    let run = verify(&database, &[]);
    assert!(
        run.stdout.contains(&format!(
            "1 stream, 1 table, {rows} rows verified: 0 findings"
        )),
        "{run}"
    );
}

/// A live row of each table, twice over.
const TWICE: &str = "alter table main.shop__people__live drop constraint shop__people__live_pkey;
    insert into main.shop__people select * from main.shop__people where dp_out is null limit 1;";

#[test_case("insert into main.shop__people values (-1, null, null, '2020-01-01', '2020-03-01'), (-1, null, null, '2020-02-01', '2020-04-01')", &["overlap"]; "versions that overlap")]
#[test_case("insert into main.shop__people values (-1, null, null, '2020-01-01', null), (-1, null, null, '2020-02-01', '2020-04-01')", &["overlap"]; "a version after the live one")]
#[test_case("insert into main.shop__people values (-1, null, null, '2020-03-01', '2020-03-01')", &["interval-order"]; "an empty version")]
#[test_case("insert into main.shop__people values (-1, null, null, '2220-01-01')", &["future-version"]; "a version of the future")]
#[test_case("insert into main.shop__people values (-1, null, null, '2020-01-01', '2220-01-01')", &["future-version"]; "an end in the future")]
#[test_case(TWICE, &["several-live", "overlap"]; "two live rows of a key")]
#[test_case("update milepost.positions set watermark = watermark + 1000", &["watermark"]; "a watermark above staging")]
#[test_case("delete from main_staging.shop__people", &["watermark"]; "an emptied staging table")]
#[test_case("update milepost.batch_datasets set rows_closed = rows_closed + 1", &["batch-counts"]; "counts that do not add up")]
#[test_case("delete from milepost.batch_datasets where batch_id = (select min(id) from milepost.batches)", &["batch-counts"]; "counts that are gone")]
#[test_case("update milepost.batches set batch_time = batch_time - interval '1 day' where batch_number = 2", &["batch-order"]; "a batch time that goes back")]
#[test_case("delete from milepost.batch_datasets where batch_id = (select id from milepost.batches where batch_number = 2); delete from milepost.batches where batch_number = 2", &["batch-order"]; "a batch that is gone")]
#[test_case("update milepost.streams set batch_number = 9", &["batch-last"]; "another batch number")]
fn what_is_broken_is_found(damage: &str, wanted: &[&str]) {
    let (_, mut database) = merged(MILESTONED);
    // The shape is another test's matter: a dropped key would be found there and hide its rows.
    let is_shape = damage == TWICE;
    database.run(damage);
    if is_shape {
        assert_eq!(rules(&database), ["table-shape"]);
        // A key whose index is broken looks like this to whoever asks the index only.
        database.run(
            "create index shop__people__live_pkey on main.shop__people__live (id);
             update pg_index set indisprimary = true, indisunique = true
              where indexrelid = 'main.shop__people__live_pkey'::regclass",
        );
    }
    assert_eq!(rules(&database), wanted);
}

#[test]
fn a_live_only_table_with_two_rows_of_a_key_is_found() {
    let (_, mut database) = merged(Strategy::LiveOnly);
    database.run(
        "alter table main.shop__people drop constraint shop__people_pkey;
         insert into main.shop__people select * from main.shop__people limit 1;
         create index shop__people_pkey on main.shop__people (id);
         update pg_index set indisprimary = true, indisunique = true where indexrelid = 'main.shop__people_pkey'::regclass",
    );
    assert_eq!(rules(&database), ["duplicate-key"]);
}

#[test]
fn keys_are_values_and_shown_on_demand_only() {
    let (_, mut database) = merged(MILESTONED);
    database.run(
        "insert into main.shop__people values (-987654321, null, null, '2020-03-01', '2020-03-01')",
    );
    let run = verify(&database, &[]);
    assert!(!run.to_string().contains("987654321"), "{run}");
    assert!(
        run.stdout
            .contains("error[interval-order]: shop#people: 1 key with"),
        "{run}"
    );
    let run = verify(&database, &["--show-keys"]);
    assert!(run.stdout.contains("keys: (-987654321)"), "{run}");
}

#[test]
fn a_scope_narrows_what_is_verified_and_an_empty_one_is_an_error() {
    let (_, mut database) = merged(MILESTONED);
    database
        .run("insert into main.shop__people values (-1, null, null, '2020-03-01', '2020-03-01')");
    assert_eq!(
        verify(&database, &["--store", "shop", "--dataset", "people"]).code,
        1
    );
    let run = verify(&database, &["--store", "shop", "--dataset", "pets"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("no stream `main/shop#pets`"), "{run}");
    assert_eq!(
        verify(&database, &["--dataset", "people"]).code,
        2,
        "a dataset is of a store"
    );
}

#[test]
fn verifying_changes_nothing() {
    let (_, database) = merged(MILESTONED);
    let before = Cluster::shared().dump(&database, &[]);
    assert_eq!(verify(&database, &[]).code, 0);
    assert_eq!(Cluster::shared().dump(&database, &[]), before);
}
