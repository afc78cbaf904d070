//! Results out of the merge tables, and what they must be.

use milepost_job_spec::{DatasetSpec, milestone};
use milepost_simulator::{Image, Key, copy};

use crate::{Database, Version};

/// Where this dataset's live rows are.
#[must_use]
pub fn live(dataset: &DatasetSpec) -> String {
    let mut from = dataset.merge.quoted();
    if dataset.strategy.is_milestoned() {
        from += &format!(" where {} is null", milestone::OUT);
    }
    from
}

fn columns(dataset: &DatasetSpec) -> String {
    let names: Vec<String> = dataset
        .columns
        .iter()
        .map(|column| column.name.quoted())
        .collect();
    names.join(", ")
}

fn key(dataset: &DatasetSpec) -> String {
    let names: Vec<String> = dataset.key.iter().map(|name| name.quoted()).collect();
    names.join(", ")
}

/// Loads a truth into the temporary table `truth`: CSV with `\N` for null, columns in the order of the spec.
pub fn load_truth(database: &mut Database, dataset: &DatasetSpec, csv: &str, header: bool) {
    let columns: Vec<String> = dataset
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name.quoted(), column.merge_type))
        .collect();
    database.run(&format!(
        "drop table if exists truth; create temporary table truth ({})",
        columns.join(", ")
    ));
    let options = format!("format csv, null '\\N', header {header}");
    database.copy_in(&format!("copy truth from stdin ({options})"), csv);
}

/// Takes the temporary table `truth` from another table with the dataset's columns.
pub fn copy_truth(database: &mut Database, dataset: &DatasetSpec, from: &str) {
    let columns = columns(dataset);
    database.run(&format!(
        "drop table if exists truth; create temporary table truth as select {columns} from {from}"
    ));
}

/// How many rows are live.
#[must_use]
pub fn live_count(database: &mut Database, dataset: &DatasetSpec) -> usize {
    let sql = format!("select count(*) from {}", live(dataset));
    database.value(&sql).parse().unwrap_or_default()
}

/// Demands that live rows are exactly these images: the same keys, the same stored values.
///
/// # Panics
/// If they are not; the message holds some of the rows that differ.
pub fn live_is_image<'a>(
    database: &mut Database,
    dataset: &DatasetSpec,
    images: impl IntoIterator<Item = &'a Image>,
    when: &str,
) {
    load_truth(database, dataset, &copy::images(images), false);
    live_is_truth(database, dataset, when);
}

/// Demands that live rows are exactly those of the table `truth`.
///
/// # Panics
/// If they are not.
pub fn live_is_truth(database: &mut Database, dataset: &DatasetSpec, when: &str) {
    rows_are_truth(database, dataset, &live(dataset), when);
}

/// Demands that the rows of `from` are exactly those of the table `truth`.
///
/// # Panics
/// If they are not.
pub fn rows_are_truth(database: &mut Database, dataset: &DatasetSpec, from: &str, when: &str) {
    if let Some(difference) = difference(database, dataset, from) {
        panic!("{when}: {difference}");
    }
}

/// How the rows of `from` differ from those of the table `truth`: some of the rows, or how many there are.
///
/// Record images are compared (`*=`), not values: `1.0` is not `1.00` and a null is a null.
#[must_use]
pub fn difference(database: &mut Database, dataset: &DatasetSpec, from: &str) -> Option<String> {
    let (columns, key) = (columns(dataset), key(dataset));
    let first = dataset
        .key
        .first()
        .map_or_else(String::new, |name| name.quoted());
    let differing = format!(
        "(select {columns} from truth) truth
           full join (select {columns} from {from}) merged using ({key})
          where truth.{first} is null or merged.{first} is null or not (truth *= merged)"
    );
    let rows = database.rows(&format!(
        "select coalesce(truth::text, 'no such row'), coalesce(merged::text, 'no such row')
           from {differing} order by {key} limit 3"
    ));
    if !rows.is_empty() {
        let count = database.value(&format!("select count(*) from {differing}"));
        let rows: Vec<String> = rows
            .into_iter()
            .map(|row| {
                let mut values = row.into_iter().flatten();
                let (truth, merged) = (values.next(), values.next());
                let (truth, merged) = (truth.unwrap_or_default(), merged.unwrap_or_default());
                format!("\n  source: {truth}\n  merged: {merged}")
            })
            .collect();
        return Some(format!(
            "{count} rows of `{}` differ from the truth:{}",
            dataset.name,
            rows.concat()
        ));
    }
    let counts = database.rows(&format!(
        "select (select count(*) from truth), (select count(*) from (select 1 from {from}) t)"
    ));
    let (truth, merged) = (&counts[0][0], &counts[0][1]);
    (truth != merged).then(|| {
        let count = |count: &Option<String>| count.clone().unwrap_or_default();
        format!(
            "`{}` has {} rows, the truth has {}",
            dataset.name,
            count(merged),
            count(truth)
        )
    })
}

/// All versions of a milestoned dataset by key and `dp_in`; the rows of a live-only one as versions without times, those of
/// a dataset without a key by `dp_in` and values, each with its operation as a last column.
#[must_use]
pub fn versions(database: &mut Database, dataset: &DatasetSpec) -> Vec<Version> {
    let mut columns = columns(dataset);
    let us = |column: &str| format!("(extract(epoch from {column}) * 1000000)::bigint");
    let times = if dataset.strategy.is_milestoned() {
        [milestone::IN, milestone::OUT, milestone::SOURCE_TS]
            .map(us)
            .join(", ")
    } else if dataset.key.is_empty() {
        columns += &format!(", {}", milestone::OP);
        format!("{}, null, null", us(milestone::IN))
    } else {
        "0, null, null".to_owned()
    };
    let sql = format!("select {times}, {columns} from {}", dataset.merge.quoted());
    let places: Vec<usize> = dataset
        .key
        .iter()
        .filter_map(|key| {
            dataset
                .columns
                .iter()
                .position(|column| column.name == *key)
        })
        .collect();
    let number = |text: &Option<String>| text.as_ref().map(|text| text.parse().expect("a bigint"));
    let mut versions: Vec<Version> = database
        .rows(&sql)
        .into_iter()
        .map(|mut row| {
            let image = row.split_off(3);
            let part = |&place: &usize| image[place].clone().expect("a key has no null");
            let key: Key = places.iter().map(part).collect();
            let (dp_out, dp_source_ts) = (number(&row[1]), number(&row[2]));
            Version {
                key,
                dp_in: number(&row[0]).unwrap_or_default(),
                dp_out,
                dp_source_ts,
                image,
            }
        })
        .collect();
    versions.sort();
    versions
}

/// Demands what is always true of a milestoned table: no overlap, at most one live version, `dp_in < dp_out`, and a gap
/// between two versions of a key only where it was deleted, which is `gaps` times.
///
/// # Panics
/// If one of them is not.
pub fn invariants_hold(versions: &[Version], when: &str) -> usize {
    let mut gaps = 0;
    for version in versions {
        assert!(
            version.dp_out.is_none_or(|out| version.dp_in < out),
            "{when}: empty: {version:?}"
        );
    }
    for pair in versions
        .windows(2)
        .filter(|pair| pair[0].key == pair[1].key)
    {
        let Some(out) = pair[0].dp_out else {
            panic!("{when}: a live version is not the last of its key: {pair:?}");
        };
        assert!(
            out <= pair[1].dp_in,
            "{when}: two versions overlap: {pair:?}"
        );
        gaps += usize::from(out < pair[1].dp_in);
        assert!(
            out < pair[1].dp_in || pair[0].image != pair[1].image,
            "{when}: a version that changes nothing: {pair:?}"
        );
    }
    gaps
}

#[cfg(test)]
mod tests {
    use milepost_job_spec::Strategy;
    use test_case::test_case;

    use super::*;
    use crate::{Cluster, shop};

    #[test_case("", None; "nothing")]
    #[test_case("delete from main.shop__order_lines where line_no = 2", Some("no such row"); "a lost row")]
    #[test_case("insert into main.shop__order_lines values (9, 9)", Some("no such row"); "a row too many")]
    #[test_case("update main.shop__order_lines set price = 2 where line_no = 1", Some("1 rows of"); "another value")]
    #[test_case("update main.shop__order_lines set sku = null where line_no = 1", Some("1 rows of"); "a lost value")]
    #[test_case("insert into main.shop__order_lines select * from main.shop__order_lines where line_no = 2", Some("has 3 rows, the truth has 2"); "a doubled row")]
    #[test_case("delete from main.shop__order_lines", Some("2 rows of"); "all rows lost")]
    fn whatever_is_wrong_with_rows_is_found(fault: &str, found: Option<&str>) {
        let spec = shop::stream(Strategy::LiveOnly);
        let mut datasets = spec.datasets.iter();
        let dataset = datasets
            .find(|dataset| dataset.name == "order_lines")
            .expect("the shop has it");
        let mut database = Cluster::shared().empty_database();
        let rows = "7,1,a,1,1.0\n7,2,b,1,\\N\n";
        load_truth(&mut database, dataset, rows, false);
        database
            .run("create schema main; create table main.shop__order_lines as select * from truth");
        database.run(fault);
        let from = live(dataset);
        let difference = difference(&mut database, dataset, &from);
        match found {
            None => assert_eq!(difference, None),
            Some(text) => assert!(
                difference.as_ref().is_some_and(|told| told.contains(text)),
                "{difference:?}"
            ),
        }
    }
}
