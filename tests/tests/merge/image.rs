//! Images: the merge job reads whole tables of a source, and the merge tables are what the source was.

use acceptance::{Cluster, Database, Job, Run, compare, publish, shop};
use milepost_job_spec::{
    DatasetSpec, Input, Outcome, SourceDatabase, SourceDatabaseKind, Strategy, StreamSpec, TableRef,
};
use test_case::test_case;

use crate::{ALL, LAST};

mod interrupted;
mod moment;
mod planned;
mod random;
mod rebuilt;
mod refused;
mod switched;
mod together;
mod values;

/// A stream whose tables are read from this database: each dataset from the table of its name in schema `public`.
pub(crate) fn stream(source: &Database, mut datasets: Vec<DatasetSpec>) -> StreamSpec {
    for dataset in &mut datasets {
        let name = |name: &str| name.parse().expect("an identifier");
        dataset.source_table = Some(TableRef {
            schema: name("public"),
            name: name(&dataset.name),
        });
        for column in &mut dataset.columns {
            column.placeholder = None;
        }
    }
    let mut spec = shop::stream(Strategy::LiveOnly);
    spec.input = Input::Image(SourceDatabase {
        kind: SourceDatabaseKind::Postgres,
        host: "127.0.0.1".to_owned(),
        port: Cluster::shared().port(),
        database: source.name().to_owned(),
        user_variable: "SHOP_READER_USER".to_owned(),
        password_variable: "SHOP_READER_PASSWORD".to_owned(),
    });
    if let [only] = datasets.as_slice() {
        spec.stream.dataset = Some(only.name.clone());
    }
    spec.datasets = datasets;
    spec
}

/// `items`: a number, and a text that may be null.
fn items(strategy: Strategy) -> DatasetSpec {
    shop::dataset(
        "items",
        strategy,
        &["id"],
        &[("id", "bigint"), ("v", "text?")],
    )
}

/// A source, and a platform where its tables are merged.
struct Pair {
    source: Database,
    platform: Database,
    spec: StreamSpec,
    /// What the source's tables held at each batch: its time, and a text per dataset.
    history: Vec<(String, Vec<String>)>,
    /// What a failure is told with.
    when: String,
}

impl Pair {
    /// Makes the source's tables and publishes the stream.
    fn of(datasets: Vec<DatasetSpec>, tables: &str) -> Self {
        let mut source = Cluster::shared().empty_database();
        source.run(tables);
        let platform = Cluster::shared().database();
        let spec = stream(&source, datasets);
        publish(&platform, std::slice::from_ref(&spec));
        Self {
            source,
            platform,
            spec,
            history: Vec::new(),
            when: "after an image".to_owned(),
        }
    }

    /// `items` of ten rows.
    fn of_items(strategy: Strategy) -> Self {
        Self::of(
            vec![items(strategy)],
            "create table items (id bigint primary key, v text);
             insert into items select i, 'v' || i from generate_series(1, 10) i",
        )
    }

    fn job(&self) -> Job {
        Job::merge(self.platform.url(), &self.spec).env("MILEPOST_SOURCE_URL", self.source.url())
    }

    /// Merges, and demands that the tables are the source's.
    fn merge(&mut self) -> Run {
        let run = self.job().run();
        assert_eq!(run.code, 0, "{run}");
        self.is_the_source();
        run
    }

    fn is_the_source(&mut self) {
        let texts: Vec<String> = self
            .spec
            .datasets
            .iter()
            .map(|dataset| table(&mut self.source, dataset))
            .collect();
        for (dataset, text) in self.spec.datasets.iter().zip(&texts) {
            compare::load_truth(&mut self.platform, dataset, text, false);
            compare::live_is_truth(&mut self.platform, dataset, &self.when);
        }
        let time = self.last("batch_time");
        self.history.push((time, texts));
    }

    /// As of every batch, a milestoned table is what the source was then.
    fn every_batch_is_its_image(&mut self) {
        for (time, texts) in &self.history {
            for (dataset, text) in self.spec.datasets.iter().zip(texts) {
                let from = format!(
                    "{} where dp_in <= '{time}' and (dp_out is null or dp_out > '{time}')",
                    dataset.merge.quoted()
                );
                compare::load_truth(&mut self.platform, dataset, text, false);
                let when = format!("{}, as of {time}", self.when);
                compare::rows_are_truth(&mut self.platform, dataset, &from, &when);
            }
        }
        for dataset in &self.spec.datasets {
            let versions = compare::versions(&mut self.platform, dataset);
            compare::invariants_hold(&versions, &self.when);
        }
    }

    /// A column of the last batch that succeeded.
    fn last(&mut self, column: &str) -> String {
        self.platform.value(&format!(
            "select {column} from milepost.batches where status = 'succeeded' order by id desc limit 1"
        ))
    }

    /// The counts of the last batch: staged, inserted, updated, unchanged, quarantined; closed and healed.
    fn counts(&mut self) -> String {
        self.last(
            "concat_ws(' ', rows_staged, rows_inserted, rows_updated, rows_unchanged, rows_quarantined) || '; '
             || concat_ws(' ', rows_closed, rows_healed)",
        )
    }

    fn batches(&mut self) -> String {
        self.platform
            .value("select count(*) from milepost.batches where status = 'succeeded'")
    }

    fn live(&mut self) -> usize {
        compare::live_count(&mut self.platform, &self.spec.datasets[0])
    }

    /// The status of every entry of the quarantine.
    fn quarantine(&mut self) -> String {
        self.platform.value(
            "select coalesce(string_agg(status, ' ' order by id), '') from milepost.quarantine",
        )
    }
}

/// All rows of a dataset's table at the source, as `compare::load_truth` takes them.
fn table(source: &mut Database, dataset: &DatasetSpec) -> String {
    let names: Vec<String> = dataset
        .columns
        .iter()
        .map(|column| column.staged_as.quoted())
        .collect();
    let table = dataset.source_table.as_ref().expect("it is of an image");
    source.copy_out(&format!(
        "copy (select {} from {}) to stdout (format csv, null '\\N')",
        names.join(", "),
        table.quoted()
    ))
}

/// The run ended so, said all of this, and showed no secret.
fn says(run: &Run, outcome: Outcome, words: &[&str]) {
    assert_eq!(run.code, i32::from(outcome.code()), "{run}");
    for word in words {
        assert!(
            run.stderr.contains(word),
            "the message lacks {word:?}: {run}"
        );
    }
    assert!(!run.stderr.contains("panicked"), "{run}");
    assert!(!run.stderr.contains("c4nary"), "a secret is shown: {run}");
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(ALL; "all versions")]
#[test_case(LAST; "last version per batch")]
fn a_table_becomes_what_each_image_says(strategy: Strategy) {
    let mut pair = Pair::of_items(strategy);
    let run = pair.merge();
    assert!(
        run.stdout.contains("1 batch, 10 staged: 10 inserted"),
        "{run}"
    );
    assert_eq!(pair.counts(), "10 10 0 0 0; 0 0");
    pair.source.run(
        "insert into items values (11, null); update items set v = 'new' where id in (2, 3); delete from items where id = 10",
    );
    pair.merge();
    assert_eq!(pair.counts(), "10 1 2 7 0; 1 1");
    // A batch that changes nothing is a batch, and writes no row of the table.
    let rows = "select string_agg(ctid::text || xmin::text, ' ' order by id) from main.shop__items";
    let before = pair.platform.value(rows);
    pair.merge();
    assert_eq!(pair.counts(), "10 0 0 10 0; 0 0");
    assert_eq!(pair.platform.value(rows), before);
    pair.source.run("insert into items values (10, 'again')");
    pair.merge();
    assert_eq!(pair.counts(), "11 1 0 10 0; 0 0");
    assert_eq!(pair.batches(), "4");
    if strategy.is_milestoned() {
        pair.every_batch_is_its_image();
    }
    assert_eq!(
        pair.platform.value(
            "select status || ' ' || batch_number || ' ' || (newest_source_time between now() - interval '1 minute' and now())
               from milepost.stream_status"
        ),
        "healthy 4 true"
    );
    assert_eq!(
        pair.platform
            .value("select count(*) from main_staging.shop__items"),
        "0",
        "nothing is staged"
    );
    assert_eq!(
        pair.platform.value(
            "select string_agg(distinct alignment, ' ') || ' ' || (select count(*) from milepost.events) from milepost.batches"
        ),
        "exact 0"
    );
    let run = Job::new(pair.platform.url())
        .args(["verify", "--platform", "main"])
        .run();
    assert_eq!(run.code, 0, "{run}");
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(ALL; "all versions")]
fn an_image_that_lacks_too_much_is_refused_unless_allowed(strategy: Strategy) {
    let mut pair = Pair::of_items(strategy);
    pair.merge();
    pair.source
        .run("delete from items where id > 8; update items set v = 'new'");
    let run = pair.job().run();
    let command = "merge-job merge --platform main --store shop --dataset items --allow-missing";
    says(
        &run,
        Outcome::Findings,
        &[
            "the image of dataset `items` does not have 2 of its 10 live rows, more than 10 percent",
            command,
        ],
    );
    assert_eq!(
        (pair.batches(), pair.live()),
        ("1".to_owned(), 10),
        "nothing moved"
    );
    assert_eq!(
        pair.platform
            .value("select status || ' ' || last_hint from milepost.stream_status"),
        format!("failed compare with the source; if the rows are gone there, run `{command}`")
    );
    let run = pair.job().args(["--allow-missing"]).run();
    assert_eq!(run.code, 0, "{run}");
    pair.is_the_source();
    assert_eq!(pair.counts(), "8 0 8 0 0; 2 2");
    // It is within the limit again: one row of eight would not be.
    pair.merge();
    assert_eq!(pair.live(), 8);
}

#[test]
fn an_empty_image_is_refused_where_rows_are_live() {
    let mut pair = Pair::of_items(ALL);
    pair.source
        .run("create table kept as table items; delete from items");
    // Of an empty table: there is nothing to lose.
    pair.merge();
    assert_eq!(pair.counts(), "0 0 0 0 0; 0 0");
    pair.source.run("insert into items table kept");
    pair.merge();
    assert_eq!(pair.counts(), "10 10 0 0 0; 0 0");
    pair.source.run("delete from items");
    let run = pair.job().run();
    says(
        &run,
        Outcome::Findings,
        &["does not have 10 of its 10 live rows", "--allow-missing"],
    );
    assert_eq!(pair.live(), 10);
    let run = pair.job().args(["--allow-missing"]).run();
    assert_eq!(run.code, 0, "{run}");
    pair.is_the_source();
    assert_eq!(pair.counts(), "0 0 0 0 0; 10 10");
    pair.source.run("insert into items table kept");
    pair.merge();
    assert_eq!(pair.counts(), "10 10 0 0 0; 0 0");
    pair.every_batch_is_its_image();
}

#[test]
fn the_limit_is_the_datasets_own() {
    let mut pair = Pair::of_items(Strategy::LiveOnly);
    pair.spec.datasets[0].policy.max_missing_percent = 30;
    publish_again(&pair, 2);
    pair.merge();
    pair.source.run("delete from items where id > 7");
    pair.merge();
    pair.spec.datasets[0].policy.max_missing_percent = 0;
    publish_again(&pair, 3);
    pair.source.run("delete from items where id = 1");
    let run = pair.job().run();
    says(
        &run,
        Outcome::Findings,
        &["1 of its 7 live rows, more than 0 percent"],
    );
}

fn publish_again(pair: &Pair, order: u64) {
    let run = acceptance::publish_model(&pair.platform, std::slice::from_ref(&pair.spec), order);
    assert_eq!(run.code, 0, "{run}");
}
