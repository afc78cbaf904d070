//! Merge tables that are made anew: kept aside, and filled again from the source or from staging.

use acceptance::{Cluster, Database, Job, Run, publish_model, shop};
use milepost_job_spec::{OnTruncate, PgIdent, Strategy, StreamSpec, ViewSpec};

use crate::{ALL, LAST, LIVE};

mod interrupted;
mod random;
mod refused;
mod source;
mod staging;
mod together;
mod views;

/// The columns of `people`; `notes` may be large, and `code` and `region` with `id` are as unique as `id`.
const COLUMNS: [(&str, &str); 5] = [
    ("id", "bigint"),
    ("region", "text"),
    ("code", "integer"),
    ("name", "text?"),
    ("notes", "text?"),
];

fn ident(name: &str) -> PgIdent {
    name.parse().expect("a name of ours is an identifier")
}

/// A stream of one dataset, `people`, that workspace `risk` reads.
fn people(strategy: Strategy, key: &[&str]) -> StreamSpec {
    let mut spec = shop::single_streams(&shop::stream(strategy)).remove(0);
    let mut dataset = shop::dataset("people", strategy, key, &COLUMNS);
    dataset.policy.truncate = OnTruncate::CloseAll;
    let live = dataset.merge.name.clone();
    let beside = |suffix| {
        let has_history = strategy.is_milestoned();
        has_history.then(|| ident(&format!("{live}{suffix}")))
    };
    dataset.views = vec![ViewSpec {
        schema: ident("risk"),
        role: ident("risk"),
        history: beside("__history"),
        as_of: beside("__as_of"),
        live: live.clone(),
    }];
    spec.stream.dataset = Some("people".to_owned());
    spec.datasets = vec![dataset];
    spec.limits.max_quarantined = 10;
    spec
}

/// An event: operation, id, name, notes and `__snapshot`. Notes of `-` are an unchanged large value.
type Event = (&'static str, u32, &'static str, &'static str, &'static str);

/// An event of the log.
const fn event(op: &'static str, id: u32, name: &'static str, notes: &'static str) -> Event {
    (op, id, name, notes, "false")
}

/// Three rows, read by a first snapshot.
const SNAPSHOT: [Event; 3] = [
    ("r", 1, "ann", "a1", "first"),
    ("r", 2, "bob", "b1", "true"),
    ("r", 3, "cid", "c1", "last"),
];

struct People {
    database: Database,
    spec: StreamSpec,
    /// The next offset of the topic; positions at the source follow it.
    next: i64,
    /// The number of the next model.
    model: u64,
}

impl People {
    fn of(strategy: Strategy, key: &[&str]) -> Self {
        let mut people = Self {
            database: Cluster::shared().database(),
            spec: people(strategy, key),
            next: 0,
            model: 1,
        };
        let run = people.publish();
        assert_eq!(run.code, 0, "{run}");
        people
    }

    fn publish(&mut self) -> Run {
        self.model += 1;
        publish_model(&self.database, std::slice::from_ref(&self.spec), self.model)
    }

    /// Publishes the same dataset with another key, which is refused and names the remedy.
    fn change_key(&mut self, key: &[&str]) {
        self.spec = people(self.spec.datasets[0].strategy, key);
        let run = self.publish();
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains("`merge-job rebuild "), "{run}");
    }

    /// Stages events behind one another.
    fn stage(&mut self, events: &[Event]) {
        for &(op, id, name, notes, mark) in events {
            self.stage_at(self.next, 0, (op, id, name, notes, mark));
            self.next += 1;
        }
    }

    /// Writes an event as a sink does: what stands at its offset is overwritten.
    fn stage_at(&mut self, offset: i64, partition: i32, (op, id, name, notes, mark): Event) {
        let at = 1000 + offset;
        let place = if op == "r" {
            format!("null, {at}, null, null, {at}, '{mark}'")
        } else {
            format!("'[\"{at}\",\"{at}\"]', {at}, '{at}:1', 1, {at}, 'false'")
        };
        let notes = if notes == "-" {
            "__debezium_unavailable_value"
        } else {
            notes
        };
        let row = if op == "t" {
            "null, null, null, null, null".to_owned()
        } else {
            format!("{id}, 'r{}', {}, '{name}', '{notes}'", id % 2, 100 + id)
        };
        self.database.run(&format!(
            "insert into main_staging.shop__people (id, region, code, name, notes, __op, __sequence, __lsn, __transaction_id,
                 __transaction_total_order, __source_ts_us, __snapshot, __connect_topic, __connect_partition, __connect_offset)
             values ({row}, '{op}', {place}, 't', {partition}, {offset})
             on conflict (__connect_topic, __connect_partition, __connect_offset) do update set name = excluded.name"
        ));
    }

    fn merge(&self) -> Run {
        Job::merge(self.database.url(), &self.spec).run()
    }

    fn merged(&mut self) -> String {
        let run = self.merge();
        assert_eq!(run.code, 0, "{run}");
        self.live()
    }

    /// What readers see.
    fn live(&mut self) -> String {
        self.database.value(
            "select coalesce(string_agg(id || region || code || name || ':' || notes, ' ' order by id, region), '') from risk.shop__people",
        )
    }

    /// A rebuild, which tells its plan.
    fn job(&self, origin: &str) -> Job {
        Job::new(self.database.url())
            .args(["rebuild", "--platform", "main", "--store", "shop"])
            .args(["--dataset", "people", "--from", origin])
    }

    fn rebuild(&self, origin: &str, more: &[&str]) -> Run {
        self.job(origin).args(more.iter().copied()).run()
    }

    fn rebuilt(&self, origin: &str) -> Run {
        let run = self.rebuild(origin, &["--yes"]);
        assert_eq!(run.code, 0, "{run}");
        run
    }

    fn status(&mut self) -> String {
        self.database
            .value("select status from milepost.stream_status")
    }

    /// Invariants hold, and topics are those that were merged.
    fn is_clean(&self) {
        for command in [
            ["verify", "--platform", "main"].as_slice(),
            &["topics", "list", "--platform", "main"],
        ] {
            let run = Job::new(self.database.url())
                .args(command.iter().copied())
                .run();
            assert_eq!(run.code, 0, "{run}");
            assert!(
                !run.stdout.contains("missing") && !run.stdout.contains("recreated"),
                "{run}"
            );
        }
    }

    /// Everything of the database that a rebuild may change.
    fn state(&mut self) -> String {
        let rows = self.database.rows(
            "select 'relation', c.oid::text || c.relname || coalesce(obj_description(c.oid, 'pg_class'), '') || coalesce(c.relacl::text, '')
               from pg_class c join pg_namespace n on n.oid = c.relnamespace where nspname in ('main', 'main_staging', 'risk')
             union all select 'row', t::text from risk.shop__people t
             union all select 'staged', s::text from main_staging.shop__people s
             union all select 'batch', b::text from milepost.batches b where b.status = 'succeeded'
             union all select 'position', p::text from milepost.positions p
             union all select 'dataset', d::text from milepost.datasets d
             union all select 'entry', q::text from milepost.quarantine q order by 1, 2",
        );
        format!("{rows:?}")
    }

    /// The names of kept tables, without partitions.
    fn kept(&mut self) -> String {
        self.database.value(
            "select coalesce(string_agg(c.relname, ' ' order by c.relname), '') from pg_class c
              where c.relnamespace = 'main'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and c.relname like '%until%'",
        )
    }

    fn primary_key(&mut self) -> String {
        let table = self.spec.datasets[0].live_table().quoted();
        self.database.value(&format!(
            "select pg_get_constraintdef(oid) from pg_constraint where conrelid = '{table}'::regclass and contype = 'p'"
        ))
    }
}
