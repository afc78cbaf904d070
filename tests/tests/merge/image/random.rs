//! Random images: after each run the table is the image, and as of every earlier batch it is the image of then.

use std::time::Instant;

use acceptance::{shop, tally};
use milepost_job_spec::{DatasetSpec, Strategy};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{ALL, LAST, Pair};

/// How long each strategy is tried; `MILEPOST_TEST_SECONDS` overrides it.
const SECONDS: u64 = 10;

fn datasets(strategy: Strategy) -> Vec<DatasetSpec> {
    vec![
        shop::dataset(
            "pairs",
            strategy,
            &["b", "a"],
            &[
                ("a", "integer"),
                ("b", "text"),
                ("v", "numeric?"),
                ("w", "jsonb?"),
            ],
        ),
        shop::dataset(
            "singles",
            strategy,
            &["id"],
            &[
                ("id", "bigint"),
                ("v", "text?"),
                ("at", "timestamp with time zone?"),
            ],
        ),
    ]
}

const TABLES: &str =
    "create table pairs (a integer, b text, v numeric, w jsonb, primary key (a, b));
    create table singles (id bigint primary key, v text, at timestamptz)";

/// A statement that changes a table in a way that an image shows, or does not.
fn change(rng: &mut StdRng) -> String {
    let (n, other, few) = (
        rng.random_range(0..60),
        rng.random_range(0..60),
        rng.random_range(1..20),
    );
    match rng.random_range(0..12) {
        0 => format!(
            "insert into singles select i, 'new' || i, now() from generate_series({n}, {n} + {few}) i on conflict do nothing"
        ),
        1 => format!(
            "update singles set v = case when id % 2 = 0 then v end where id between {n} and {n} + {few}"
        ),
        2 => format!("update singles set v = v || '' where id > {n}"),
        3 => format!("delete from singles where id between {n} and {n} + {few}"),
        4 => format!(
            "update singles set id = {other} + 1000 where id = {n} and not exists (select from singles where id = {other} + 1000)"
        ),
        5 => format!(
            "insert into pairs select i, 'b' || {few}, i / 4.0, jsonb_build_object('i', i) from generate_series({n}, {n} + {few}) i on conflict do nothing"
        ),
        // Equal as a number, another image.
        6 => format!("update pairs set v = v + 0.00 where a = {n}"),
        7 => format!(
            "update pairs set w = w || '{{\"x\": {other}}}' where a between {n} and {n} + {few}"
        ),
        8 => format!("delete from pairs where b = 'b{few}'"),
        9 => format!("update pairs set v = null, w = 'null' where a = {n}"),
        10 => "truncate singles".to_owned(),
        _ => "truncate pairs; vacuum full pairs".to_owned(),
    }
}

#[test]
fn a_live_only_table_is_the_last_image() {
    images_are_followed(Strategy::LiveOnly);
}

#[test]
fn all_versions_are_all_images() {
    images_are_followed(ALL);
}

#[test]
fn the_last_versions_per_batch_are_all_images() {
    images_are_followed(LAST);
}

fn images_are_followed(strategy: Strategy) {
    let seed = crate::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let budget = crate::budget(SECONDS);
    let begun = Instant::now();
    let mut pair = Pair::of(datasets(strategy), TABLES);
    pair.when = format!("MILEPOST_SEED={seed}");
    let mut runs = 0;
    while runs < 5 || begun.elapsed() < budget {
        for _ in 0..rng.random_range(0..8) {
            for statement in change(&mut rng).split("; ") {
                pair.source.run(statement);
            }
        }
        let run = pair.job().args(["--allow-missing"]).run();
        assert_eq!(run.code, 0, "{}: {run}", pair.when);
        pair.is_the_source();
        runs += 1;
    }
    if strategy.is_milestoned() {
        pair.every_batch_is_its_image();
    }
    tally::count("images", runs);
    tally::keep();
}
