use milepost_dsl::spec::SourceKind;
use milepost_job_spec::{StreamSpec, TableRef};

use super::{Fixture, LOST};
use crate::Database;

/// A topic on its way into staging: a table's, or that of the source's transactions.
#[derive(Debug, Clone)]
pub struct Topic {
    /// The dataset, or `control`.
    pub name: String,
    staging: TableRef,
    columns: String,
    /// The first offset that is not staged.
    next: i64,
}

impl Topic {
    /// Every topic of the stream, loaded into schema `delivered` of a database that has the staging tables.
    #[must_use]
    pub fn load(database: &mut Database, fixture: &Fixture, stream: &StreamSpec) -> Vec<Self> {
        database.run("create schema delivered");
        let tables = stream.datasets.iter().map(|d| (&d.name, &d.staging));
        let control = ("control".to_owned(), &stream.transactions);
        let control = control.1.as_ref().map(|table| (&control.0, table));
        tables
            .chain(control)
            .map(|(name, staging)| Self::of(database, fixture, name, staging))
            .collect()
    }

    fn of(database: &mut Database, fixture: &Fixture, name: &str, staging: &TableRef) -> Self {
        let delivered = fixture.unpack(&format!("staging-{name}.csv.gz"));
        let header = delivered.lines().next().unwrap_or_default();
        let columns = header.trim_end_matches(",checkpoint").to_owned();
        let table = format!("delivered.{name}");
        database.run(&format!(
            "create table {table} (like {}, checkpoint integer not null default {LOST})",
            staging.quoted()
        ));
        let options = "format csv, null '\\N', header true";
        database.copy_in(
            &format!("copy {table} ({header}) from stdin ({options})"),
            &delivered,
        );
        // `lost-rows` has rows of one table only, and no column `checkpoint`.
        if fixture.kind == SourceKind::Postgres && matches!(name, "control" | "order_lines") {
            database.copy_in(
                &format!("copy {table} ({columns}) from stdin ({options})"),
                &fixture.unpack(&format!("lost-rows/staging-{name}.csv.gz")),
            );
        }
        Self {
            name: name.to_owned(),
            staging: staging.clone(),
            columns,
            next: 0,
        }
    }

    /// How many rows arrived up to a checkpoint and are not staged yet.
    #[must_use]
    pub fn left(&self, database: &mut Database, checkpoint: u32) -> i64 {
        let sql = format!(
            "select count(*) from delivered.{} where checkpoint <= {checkpoint} and __connect_offset >= {}",
            self.name, self.next
        );
        database.value(&sql).parse().expect("a count")
    }

    /// Stages the next rows: offsets have no gaps in the fixture.
    pub fn stage(&mut self, database: &mut Database, rows: i64) {
        let (from, to) = (self.next, self.next + rows);
        let (columns, name) = (&self.columns, &self.name);
        database.run(&format!(
            "insert into {} ({columns}) select {columns} from delivered.{name}
              where __connect_offset >= {from} and __connect_offset < {to}",
            self.staging.quoted()
        ));
        self.next = to;
    }

    /// Stages what arrived up to a checkpoint.
    pub fn stage_until(&mut self, database: &mut Database, checkpoint: u32) {
        let left = self.left(database, checkpoint);
        self.stage(database, left);
    }
}
