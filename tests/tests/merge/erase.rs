//! `merge-job erase`: every row of a key is removed from everywhere, and the stream goes on as if nothing had been.

mod identity;
mod interrupted;
mod places;
mod random;
mod refused;
mod together;

use acceptance::{Cluster, Database, Job, Run, publish, shop};
use milepost_job_spec::{OnResnapshot, Strategy, StreamSpec};

use crate::{ALL, LAST};

/// What must be nowhere afterwards: it is in the key, in the values and in the large values of a person.
pub(crate) const CANARY: &str = "Canary-Jane";

/// People, whose key is a name and a number that is staged as text: `1.0` and `1.00` are one. Names need quotes.
pub(crate) fn people(strategy: Strategy) -> StreamSpec {
    let mut spec = shop::single_streams(&shop::stream(strategy)).remove(0);
    let columns = [
        ("it's \"who\"", "text"),
        ("number", "numeric(6,2)"),
        ("mail", "character varying(60)?"),
        ("notes", "text?"),
        ("age", "integer?"),
    ];
    spec.stream.dataset = Some("people".to_owned());
    spec.datasets = vec![shop::dataset(
        "people",
        strategy,
        &["it's \"who\"", "number"],
        &columns,
    )];
    // A value that does not cast is told apart from one that does.
    for place in [1, 4] {
        spec.datasets[0].columns[place].staging_type = "text".to_owned();
    }
    spec.datasets[0].columns[0].placeholder = None;
    spec.datasets[0].policy.resnapshot = OnResnapshot::Heal;
    spec.datasets[0].policy.max_missing_percent = 100;
    spec
}

/// A message of the topic, with values as SQL.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    op: &'static str,
    who: String,
    number: &'static str,
    mail: String,
    notes: String,
    age: &'static str,
    /// Where it stands at the source.
    position: i64,
    /// Of a row of a snapshot.
    mark: Option<&'static str>,
}

pub(crate) const UNCHANGED: &str = "__debezium_unavailable_value";

impl Message {
    pub(crate) fn of(op: &'static str, who: &str, number: &'static str, position: i64) -> Self {
        Self {
            op,
            who: who.to_owned(),
            number,
            mail: format!("{who}@example.org"),
            notes: format!("{} {position} ", who).repeat(300),
            age: "30",
            position,
            mark: None,
        }
    }

    pub(crate) fn notes(mut self, notes: &str) -> Self {
        notes.clone_into(&mut self.notes);
        self
    }

    pub(crate) fn age(mut self, age: &'static str) -> Self {
        self.age = age;
        self
    }

    pub(crate) fn mark(mut self, mark: &'static str) -> Self {
        (self.op, self.mark) = ("r", Some(mark));
        self
    }
}

pub(crate) struct People {
    pub(crate) database: Database,
    pub(crate) spec: StreamSpec,
}

impl People {
    pub(crate) fn of(strategy: Strategy) -> Self {
        Self::with(people(strategy))
    }

    pub(crate) fn with(spec: StreamSpec) -> Self {
        let database = Cluster::shared().database();
        publish(&database, std::slice::from_ref(&spec));
        Self { database, spec }
    }

    /// Writes messages from this offset on as a sink does: what stands there is overwritten.
    pub(crate) fn deliver(&mut self, from: i64, messages: &[Message]) {
        for (offset, message) in (from..).zip(messages) {
            let Message {
                op,
                who,
                number,
                mail,
                notes,
                age,
                position: at,
                mark,
            } = message;
            let place = match mark {
                None => format!("'[\"{at}\",\"{at}\"]', {at}, '{at}:1', 1, {at}, 'false'"),
                Some(mark) => format!("null, {at}, null, null, {at}, '{mark}'"),
            };
            let columns = r#""it's ""who""", number, mail, notes, age, __op, __deleted, __sequence, __lsn, __transaction_id, __transaction_total_order, __source_ts_us, __snapshot"#;
            let new: Vec<String> = columns
                .split(", ")
                .map(|column| format!("{column} = excluded.{column}"))
                .collect();
            self.database.run(&format!(
                "insert into main_staging.shop__people ({columns}, __connect_topic, __connect_partition, __connect_offset)
                 values ('{who}', '{number}', '{mail}', '{notes}', '{age}', '{op}', '{deleted}', {place}, 't', 0, {offset})
                 on conflict (__connect_topic, __connect_partition, __connect_offset) do update set {new}",
                deleted = *op == "d",
                new = new.join(", ")
            ));
        }
    }

    pub(crate) fn merge(&self) -> Run {
        Job::merge(self.database.url(), &self.spec).run()
    }

    pub(crate) fn merged(&mut self) -> String {
        Job::merge(self.database.url(), &self.spec).succeed();
        self.live()
    }

    /// Who is live, with the numbers.
    pub(crate) fn live(&mut self) -> String {
        let only_live = if self.spec.datasets[0].strategy.is_milestoned() {
            "where dp_out is null"
        } else {
            ""
        };
        self.database.value(&format!(
            r#"select coalesce(string_agg("it's ""who""" || '=' || number, ',' order by 1), '')
                 from (select * from main.shop__people {only_live} order by 1, 2) p"#
        ))
    }

    /// Erases one key; `more` are further arguments.
    pub(crate) fn erase(&self, who: &str, number: &str, more: &[&str]) -> Run {
        let (who, number) = (format!("it's \"who\"={who}"), format!("number={number}"));
        Job::erase(self.database.url(), &self.spec, "people")
            .args(["--key", &who, "--key", &number])
            .args(more.iter().copied())
            .env("RUST_LOG", "debug")
            .run()
    }

    pub(crate) fn erased(&self, who: &str, number: &str) -> Run {
        let run = self.erase(who, number, &["--yes"]);
        assert_eq!(run.code, 0, "{run}");
        run
    }

    pub(crate) fn verified(&self) {
        Job::new(self.database.url())
            .args(["verify", "--platform", "main"])
            .succeed();
    }
}

/// Whatever is in the database: all rows of all tables, large values, statistics of columns among them.
pub(crate) fn everything(database: &mut Database) -> Vec<(String, String)> {
    let tables = database.rows(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.relkind in ('r', 'm') and n.nspname !~ '^pg_temp' and (n.nspname !~ '^pg_|^information_schema' or c.relname = 'pg_statistic')
          order by 1",
    );
    let mut all = Vec::new();
    for table in tables.into_iter().flatten().flatten() {
        let rows = database.rows(&format!("select t::text from {table} t"));
        for row in rows.into_iter().flatten().flatten() {
            all.push((table.clone(), row));
        }
    }
    all
}

/// The tables that have the canary somewhere.
pub(crate) fn places_of(database: &mut Database, canary: &str) -> Vec<String> {
    let mut places: Vec<String> = everything(database)
        .into_iter()
        .filter(|(_, row)| row.contains(canary))
        .map(|(table, _)| table)
        .collect();
    places.sort();
    places.dedup();
    places
}
