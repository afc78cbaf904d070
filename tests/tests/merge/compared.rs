//! Rows that are compared with their source, and made equal to it.

use std::time::{Duration, Instant};

use acceptance::{Cluster, Database, Job, Run, publish, shop};
use milepost_job_spec::{
    DatasetSpec, Origin, SourceDatabase, SourceDatabaseKind, Strategy, StreamSpec, TableRef,
};

use crate::{ALL, LAST};

mod found;
mod interrupted;
mod random;
mod refused;
mod repaired;
mod wary;

/// A stream whose events come from this database: each dataset from the table of its name in schema `public`.
fn stream(source: &Database, mut datasets: Vec<DatasetSpec>) -> StreamSpec {
    for dataset in &mut datasets {
        let name = |name: &str| name.parse().expect("an identifier");
        dataset.source_table = Some(TableRef {
            schema: name("public"),
            name: name(&dataset.name),
        });
    }
    let mut spec = shop::stream(Strategy::LiveOnly);
    spec.origin = Some(Origin {
        database: SourceDatabase {
            kind: SourceDatabaseKind::Postgres,
            host: "127.0.0.1".to_owned(),
            port: Cluster::shared().port(),
            database: source.name().to_owned(),
            user_variable: "SHOP_READER_USER".to_owned(),
            password_variable: "SHOP_READER_PASSWORD".to_owned(),
        },
        slot: "milepost_main_shop".to_owned(),
    });
    if let [only] = datasets.as_slice() {
        spec.stream.dataset = Some(only.name.clone());
    }
    spec.datasets = datasets;
    spec
}

/// `items`: a number, a text and a price, which may be null.
fn items(strategy: Strategy) -> DatasetSpec {
    shop::dataset(
        "items",
        strategy,
        &["id"],
        &[
            ("id", "bigint"),
            ("v", "text?"),
            ("price", "numeric(10,2)?"),
        ],
    )
}

/// A source of ten items, and a platform where they are merged.
struct Pair {
    source: Database,
    platform: Database,
    spec: StreamSpec,
    /// The next offset of the topic; positions at the source follow it.
    next: i64,
}

impl Pair {
    fn of(strategy: Strategy) -> Self {
        let mut source = Cluster::shared().empty_database();
        source.run("create table items (id bigint primary key, v text, price numeric(10,2))");
        let platform = Cluster::shared().database();
        let spec = stream(&source, vec![items(strategy)]);
        publish(&platform, std::slice::from_ref(&spec));
        let mut pair = Self {
            source,
            platform,
            spec,
            next: 0,
        };
        for id in 1..=10 {
            pair.write(id, "old");
            pair.stage("c", id, "old");
        }
        pair.merged();
        pair
    }

    /// A row at the source, of which nobody tells.
    fn write(&mut self, id: i64, v: &str) {
        self.source.run(&format!(
            "insert into items values ({id}, '{v}', {id}) on conflict (id) do update set v = excluded.v"
        ));
    }

    fn delete(&mut self, id: i64) {
        self.source
            .run(&format!("delete from items where id = {id}"));
    }

    /// An event, of which the source need not know.
    fn stage(&mut self, op: &str, id: i64, v: &str) {
        let (offset, at) = (self.next, 1000 + self.next);
        self.platform.run(&format!(
            "insert into main_staging.shop__items (id, v, price, __op, __sequence, __lsn, __transaction_id,
                 __transaction_total_order, __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
             values ({id}, '{v}', {id}, '{op}', '[\"{at}\",\"{at}\"]', {at}, '{at}:1', 1, {at}, 'false', 't', 0, {offset})"
        ));
        self.next += 1;
    }

    fn merged(&mut self) -> Run {
        let run = Job::merge(self.platform.url(), &self.spec).run();
        assert_eq!(run.code, 0, "{run}");
        run
    }

    fn job(&self, command: &str) -> Job {
        let job = Job::new(self.platform.url())
            .args([command, "--platform", "main", "--store", "shop"])
            .env("MILEPOST_SOURCE_URL", self.source.url());
        match command {
            "verify" => job.args(["--source"]),
            _ => job,
        }
    }

    /// A comparison that waits for nothing.
    fn verify(&self) -> Run {
        self.job("verify").args(["--settle", "0"]).run()
    }

    fn resync(&self, more: &[&str]) -> Run {
        self.job("resync")
            .args(["--settle", "0"])
            .args(more.iter().copied())
            .run()
    }

    /// The digest of the plan that a run printed.
    fn digest(run: &Run) -> String {
        let digest = run.stdout.split("--execute ").nth(1);
        let digest = digest.and_then(|rest| rest.split(['`', '"']).next());
        digest
            .unwrap_or_else(|| panic!("no plan: {run}"))
            .to_owned()
    }

    /// Plans and executes.
    fn repaired(&self) -> Run {
        let digest = Self::digest(&self.resync(&[]));
        let run = self.resync(&["--execute", &digest]);
        assert_eq!(run.code, 0, "{run}");
        run
    }

    /// A comparison waits once it has looked, and asked the source how far its log is written.
    fn until_it_waits(&mut self) {
        let begun = Instant::now();
        let asked = "select count(*) from pg_stat_activity where application_name = 'milepost merge-job' and state = 'idle'
                        and datname = current_database() and query like '%pg_current_wal_lsn()%'";
        while self.source.value(asked) != "1" {
            assert!(begun.elapsed() < Duration::from_secs(60), "it never waited");
        }
    }

    /// The table has the source's rows, and whoever compares says so.
    fn is_equal(&mut self) {
        let rows = "select coalesce(string_agg(t::text, ' ' order by id), '') from (select id, v, price from";
        let there = self.source.value(&format!("{rows} items) t"));
        let live = self.spec.datasets[0].live_table().quoted();
        assert_eq!(self.platform.value(&format!("{rows} {live}) t")), there);
        let run = self.verify();
        assert_eq!(run.code, 0, "{run}");
        assert!(
            run.stdout.contains("compared with the source: equal"),
            "{run}"
        );
    }
}
