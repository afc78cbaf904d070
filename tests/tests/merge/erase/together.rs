//! Keys of a stream that is merged as one transaction, and of a store whose tables are read.

use acceptance::{Cluster, Job, Mirror, publish, shop};
use milepost_job_spec::{Input, StreamSpec, TableRef};
use milepost_simulator::{History, Settings, StagedRow, copy};

use super::{ALL, CANARY, places_of};

/// Orders and their lines, with the ends of transactions.
fn shop_with_ends() -> StreamSpec {
    let mut spec = shop::stream(ALL);
    spec.datasets
        .retain(|dataset| ["orders", "order_lines"].contains(&dataset.name.as_str()));
    spec.transactions = Some(TableRef {
        schema: "main_staging".parse().expect("an identifier"),
        name: "shop__control".parse().expect("an identifier"),
    });
    spec
}

#[test]
fn transactions_stay_whole_and_exact_around_an_erasure() {
    let spec = shop_with_ends();
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let mut history = History::with(&spec, crate::seed(), Settings::default());
    let mut mirror = Mirror::new(&spec);
    let table = spec.transactions.clone().expect("it has one");
    for _ in 0..4 {
        let round = history.round(25);
        database.run(&copy::insert_ends(&table, &round.ends));
        let rows: Vec<&StagedRow> = round.rows.iter().collect();
        mirror.stage(&mut database, &rows);
        Job::merge(database.url(), &spec).succeed();
        mirror.follow(&mut database);
        mirror.transactions_are_whole();
        for place in 0..spec.datasets.len() {
            let Some(key) = mirror.known_keys(place).into_iter().next() else {
                continue;
            };
            let dataset = &spec.datasets[place];
            let pairs: Vec<String> = dataset
                .key
                .iter()
                .zip(&key)
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let arguments = pairs.iter().flat_map(|pair| ["--key", pair]);
            Job::erase(database.url(), &spec, &dataset.name)
                .args(arguments)
                .args(["--yes"])
                .succeed();
            mirror.follow_erase(&mut database, place, &[key]);
        }
    }
    assert!(mirror.is_caught_up());
    assert_eq!(
        database.value(
            "select count(*) from milepost.batches where rows_staged > 0 and alignment <> 'exact'"
        ),
        "0"
    );
    Job::new(database.url())
        .args(["verify", "--platform", "main"])
        .succeed();
}

#[test]
fn a_stream_that_failed_stays_failed() {
    let spec = shop_with_ends();
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let mut history = History::with(&spec, 5, Settings::default());
    let round = history.round(10);
    acceptance::stage::round(&mut database, &spec, &round);
    Job::merge(database.url(), &spec).succeed();
    database.run(
        "update milepost.streams set consecutive_failures = 3, blocked_on = '7', blocked_since = now() - interval '5 minutes'",
    );
    let key = database.value("select id from main.shop__orders__live limit 1");
    Job::erase(database.url(), &spec, "orders")
        .args(["--key", &format!("id={key}"), "--yes"])
        .succeed();
    assert_eq!(
        database.value("select status || ' ' || consecutive_failures || ' ' || blocked_on from milepost.stream_status"),
        "failed 3 7"
    );
}

#[test]
fn a_row_of_an_image_is_erased_until_the_source_has_it_again() {
    let mut source = Cluster::shared().empty_database();
    source.run(&format!(
        "create table items (id bigint primary key, v text);
         insert into items values (1, 'a'), (2, '{CANARY}');"
    ));
    let columns = [("id", "bigint"), ("v", "text?")];
    let spec = crate::image::stream(
        &source,
        vec![shop::dataset("items", ALL, &["id"], &columns)],
    );
    assert!(matches!(spec.input, Input::Image(_)));
    let database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let source_url = source.url().to_owned();
    let merge = || {
        Job::merge(database.url(), &spec)
            .env("MILEPOST_SOURCE_URL", &source_url)
            .succeed();
    };
    merge();
    source.run(&format!("update items set v = '{CANARY} 2' where id = 2"));
    merge();
    let erase = || {
        let job = Job::erase(database.url(), &spec, "items");
        job.args(["--key", "id=2", "--yes"]).run()
    };
    let run = erase();
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("1 live row"), "{run}");
    let mut look = database.again();
    assert_eq!(places_of(&mut look, CANARY), Vec::<String>::new());
    let kept = "select count(*) from milepost.positions where watermark_row ? 'key'";
    assert_eq!(look.value(kept), "0", "it was the last row of the image");

    merge();
    let live = "select count(*) from main.shop__items__live";
    assert_eq!(look.value(live), "2", "the source has it still");
    source.run("delete from items where id = 2");
    assert_eq!(erase().code, 0);
    merge();
    assert_eq!(places_of(&mut look, CANARY), Vec::<String>::new());
    Job::new(database.url())
        .args(["verify", "--platform", "main"])
        .succeed();
}

fn strategies(spec: &mut StreamSpec, strategy: milepost_job_spec::Strategy) {
    let mut other = shop::stream(strategy);
    for own in &mut spec.datasets {
        let place = other
            .datasets
            .iter()
            .position(|one| one.name == own.name)
            .expect("it is there");
        *own = other.datasets.swap_remove(place);
    }
}

#[test]
fn a_store_with_ends_is_migrated_made_anew_and_trimmed() {
    let mut spec = shop_with_ends();
    strategies(&mut spec, crate::LIVE);
    let twin_spec = spec.clone();
    let mut database = Cluster::shared().database();
    let mut twin = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    publish(&twin, std::slice::from_ref(&spec));
    let mut history = History::with(&spec, crate::seed(), Settings::default());
    let store = ["--platform", "main", "--store", "shop"];
    let mut order = 1;
    for round in 0..6 {
        let events = history.round(25);
        for one in [&mut database, &mut twin] {
            acceptance::stage::round(one, &spec, &events);
        }
        if round > 0 {
            let strategy = if round % 2 == 1 { ALL } else { crate::LIVE };
            strategies(&mut spec, strategy);
            order += 1;
            let run = acceptance::publish_model(&database, std::slice::from_ref(&spec), order);
            assert_eq!(run.code, 1, "{run}");
            let more: &[&str] = if round % 2 == 1 {
                &[]
            } else {
                &["--drop-history"]
            };
            let plan = Job::new(database.url())
                .args(["migrate-tables"])
                .args(store)
                .args(more.iter().copied())
                .run();
            assert_eq!(plan.code, 0, "{plan}");
            let digest = plan
                .stdout
                .split("--execute ")
                .nth(1)
                .and_then(|rest| rest.split_whitespace().next())
                .unwrap_or_else(|| panic!("{plan}"))
                .to_owned();
            Job::new(database.url())
                .args(["migrate-tables"])
                .args(store)
                .args(more.iter().copied())
                .args(["--execute", &digest])
                .succeed();
            order += 1;
            let run = acceptance::publish_model(&database, std::slice::from_ref(&spec), order);
            assert_eq!(run.code, 0, "{run}");
        }
        Job::merge(database.url(), &spec).succeed();
        Job::merge(twin.url(), &twin_spec).succeed();
        for dataset in &spec.datasets {
            let columns: Vec<String> = dataset
                .columns
                .iter()
                .map(|column| column.name.quoted())
                .collect();
            let only_live = if dataset.strategy.is_milestoned() {
                "where dp_out is null"
            } else {
                ""
            };
            let rows = |filter: &str| {
                format!(
                    "select coalesce(string_agg(t::text, ' ' order by t::text), '') from (select {} from {} {filter}) t",
                    columns.join(", "),
                    dataset.merge.quoted()
                )
            };
            assert_eq!(
                database.value(&rows(only_live)),
                twin.value(&rows("")),
                "{round}"
            );
        }
        if round % 2 == 1 {
            crate::trim::age(&mut database);
            let run = crate::trim::trim(&database, &[]);
            assert_eq!(run.code, 0, "{run}");
            assert!(run.stdout.contains("order_lines"), "{run}");
        }
        Job::new(database.url())
            .args(["verify", "--platform", "main"])
            .succeed();
    }
    assert_eq!(
        database.value(
            "select count(*) from milepost.batches where rows_staged > 0 and alignment <> 'exact'"
        ),
        "0"
    );
    Job::new(database.url())
        .args(["rebuild"])
        .args(store)
        .args(["--dataset", "orders", "--from", "source", "--yes"])
        .succeed();
    let events = history.round(25);
    acceptance::stage::round(&mut database, &spec, &events);
    Job::merge(database.url(), &spec).succeed();
    Job::new(database.url())
        .args(["verify", "--platform", "main"])
        .succeed();
    assert_eq!(
        database.value("select status from milepost.stream_status"),
        "snapshot"
    );
    let run = crate::trim::trim(&database, &[]);
    assert_eq!(run.code, 0, "{run}");
    crate::trim::age(&mut database);
    let run = crate::trim::trim(&database, &[]);
    assert_eq!(run.code, 0, "{run}");
    let run = Job::new(database.url())
        .args(["topics", "list", "--platform", "main"])
        .run();
    assert!(!run.stdout.contains("recreated"), "{run}");
}
