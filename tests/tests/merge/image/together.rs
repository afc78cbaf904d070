//! Tables of images that are converted, made anew, erased from and trimmed, one after another.

use acceptance::{Job, Run, publish_model};
use milepost_job_spec::Strategy;

use super::{ALL, Pair, items};

const LIVE: Strategy = Strategy::LiveOnly;

fn command(pair: &Pair, arguments: &[&str]) -> Run {
    Job::new(pair.platform.url())
        .args(arguments.iter().copied())
        .run()
}

fn done(pair: &Pair, arguments: &[&str]) -> Run {
    let run = command(pair, arguments);
    assert_eq!(run.code, 0, "{run}");
    run
}

const STORE: [&str; 4] = ["--platform", "main", "--store", "shop"];

fn migrated(pair: &Pair, more: &[&str]) {
    let plan = done(
        pair,
        &[&["migrate-tables"], STORE.as_slice(), more].concat(),
    );
    let digest = plan
        .stdout
        .split("--execute ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or_else(|| panic!("{plan}"));
    done(
        pair,
        &[
            &["migrate-tables"],
            STORE.as_slice(),
            more,
            &["--execute", digest],
        ]
        .concat(),
    );
}

fn verified(pair: &Pair) {
    done(pair, &["verify", "--platform", "main"]);
}

fn as_strategy(pair: &mut Pair, strategy: Strategy, order: u64, more: &[&str]) {
    for own in &mut pair.spec.datasets {
        let mut new = items(strategy);
        if own.name != "items" {
            new = other(strategy);
        }
        new.source_table = own.source_table.clone();
        for (column, old) in new.columns.iter_mut().zip(&own.columns) {
            column.placeholder = old.placeholder.clone();
        }
        *own = new;
    }
    let run = publish_model(&pair.platform, std::slice::from_ref(&pair.spec), order);
    assert_eq!(run.code, 1, "{run}");
    migrated(pair, more);
    let run = publish_model(&pair.platform, std::slice::from_ref(&pair.spec), order + 1);
    assert_eq!(run.code, 0, "{run}");
    verified(pair);
}

fn other(strategy: Strategy) -> milepost_job_spec::DatasetSpec {
    acceptance::shop::dataset(
        "others",
        strategy,
        &["id"],
        &[("id", "bigint"), ("v", "text?")],
    )
}

fn erase(pair: &Pair, dataset: &str, key: &str) -> Run {
    command(
        pair,
        &[
            &["erase"],
            STORE.as_slice(),
            &["--dataset", dataset, "--key", key, "--yes"],
        ]
        .concat(),
    )
}

fn status(pair: &mut Pair) -> String {
    pair.platform
        .value("select string_agg(status, ' ') from milepost.stream_status")
}

#[test]
fn one_table_of_images() {
    let mut pair = Pair::of_items(LIVE);
    pair.merge();
    as_strategy(&mut pair, ALL, 2, &[]);
    pair.merge();
    pair.source
        .run("update items set v = 'x' where id = 3; delete from items where id = 4");
    pair.merge();
    assert_eq!(erase(&pair, "items", "id=10").code, 0);
    pair.merge();
    done(
        &pair,
        &[
            &["rebuild"],
            STORE.as_slice(),
            &["--from", "source", "--yes"],
        ]
        .concat(),
    );
    assert_eq!(status(&mut pair), "snapshot");
    let run = erase(&pair, "items", "id=5");
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("drop table"), "{run}");
    pair.platform.run("drop table main.shop__items__until_7");
    let run = erase(&pair, "items", "id=5");
    assert!(run.stdout.contains("nothing was found"), "{run}");
    assert_eq!(status(&mut pair), "snapshot");
    as_strategy(&mut pair, LIVE, 4, &["--drop-history"]);
    assert_eq!(status(&mut pair), "snapshot");
    pair.merge();
    assert_eq!(status(&mut pair), "healthy");
    as_strategy(&mut pair, ALL, 6, &[]);
    done(&pair, &["trim-staging"]);
    done(&pair, &["trim-history"]);
    pair.merge();
    pair.source.run("update items set v = 'y' where id = 3");
    pair.merge();
    verified(&pair);
}

#[test]
fn two_tables_of_images_in_one_store() {
    let mut pair = Pair::of(
        vec![items(LIVE), other(LIVE)],
        "create table items (id bigint primary key, v text); create table others (id bigint primary key, v text);
         insert into items select i, 'v' || i from generate_series(1, 10) i; insert into others select i, 'v' || i from generate_series(1, 10) i",
    );
    pair.merge();
    as_strategy(&mut pair, ALL, 2, &[]);
    pair.merge();
    done(
        &pair,
        &[
            &["rebuild"],
            STORE.as_slice(),
            &["--dataset", "others", "--from", "source", "--yes"],
        ]
        .concat(),
    );
    assert_eq!(status(&mut pair), "snapshot");
    let run = erase(&pair, "items", "id=10");
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(status(&mut pair), "snapshot");
    pair.source.run("update items set v = 'x' where id = 3");
    pair.merge();
    assert_eq!(status(&mut pair), "healthy");
    as_strategy(&mut pair, LIVE, 4, &["--drop-history"]);
    done(
        &pair,
        &[
            &["rebuild"],
            STORE.as_slice(),
            &["--from", "source", "--yes"],
        ]
        .concat(),
    );
    verified(&pair);
    as_strategy(&mut pair, ALL, 6, &[]);
    pair.merge();
    assert_eq!(status(&mut pair), "healthy");
    verified(&pair);
}
