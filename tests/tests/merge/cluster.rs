//! The private cluster and the rows that go into it: what the other tests stand on.

use acceptance::{Cluster, Database, compare, stage};
use milepost_job_spec::{DatasetSpec, SourcePosition, Strategy, staging};
use milepost_simulator::{History, Image, StagedRow};

/// The staging table of a dataset, made by hand.
fn make_staging(database: &mut Database, dataset: &DatasetSpec) {
    let own = dataset
        .columns
        .iter()
        .map(|column| format!("{} {}", column.staged_as.quoted(), column.staging_type));
    let position = SourcePosition::Postgres
        .staging_columns()
        .into_iter()
        .map(|column| format!("{} {}", column.name, column.data_type));
    let columns: Vec<String> = own.chain(position).collect();
    database.run(&format!(
        "create schema if not exists main_staging; create table {} ({}, primary key ({}, {}, {}))",
        dataset.staging.quoted(),
        columns.join(", "),
        staging::TOPIC,
        staging::PARTITION,
        staging::OFFSET
    ));
}

#[test]
fn databases_are_apart() {
    let mut one = Cluster::shared().empty_database();
    let mut other = Cluster::shared().empty_database();
    one.run("create table t (id integer)");
    assert_eq!(other.value("select to_regclass('t') is null"), "t");
    assert_eq!(
        one.value("select current_setting('data_directory') like '%milepost-test-%'"),
        "t"
    );
}

#[test]
fn simulated_values_are_what_postgres_prints() {
    let spec = crate::random::spec_of_types(Strategy::LiveOnly);
    let mut database = Cluster::shared().empty_database();
    let round = History::new(&spec, 1).round(150);
    let rows: Vec<&StagedRow> = round.rows.iter().collect();
    for (place, dataset) in spec.datasets.iter().enumerate() {
        make_staging(&mut database, dataset);
        let images: Vec<&Image> = round.truth.tables[place].values().collect();
        let names: Vec<String> = dataset
            .columns
            .iter()
            .map(|column| column.name.quoted())
            .collect();
        compare::load_truth(
            &mut database,
            dataset,
            &milepost_simulator::copy::images(images.iter().copied()),
            false,
        );
        let mut printed = database.rows(&format!("select {} from truth", names.join(", ")));
        let mut simulated: Vec<Image> = images.into_iter().cloned().collect();
        printed.sort();
        simulated.sort();
        assert_eq!(printed, simulated, "`{}`", dataset.name);
    }
    stage::rows(&mut database, &spec, &rows);
    let staged: usize = spec
        .datasets
        .iter()
        .map(|dataset| {
            let sql = format!("select count(*) from {}", dataset.staging.quoted());
            database.value(&sql).parse::<usize>().expect("a count")
        })
        .sum();
    assert_eq!(staged, rows.len());
}
