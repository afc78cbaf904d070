//! How the rows of a table are kept: whether it is a table of the right kind, with its partitions and keys; and how a live-only
//! table becomes a milestoned one, or the other way round, without a row that is copied.

use milepost_job_spec::{PgIdent, milestone};

use super::{Findings, REBUILD};
use crate::sql;
use crate::tables::catalog::{Catalog, Column, Relation};
use crate::tables::change::{BATCH_TIME, Conversion};
use crate::tables::shape::{Heap, Layout, Partition, Purpose};

impl Findings<'_> {
    /// Is it a table of the right layout? If not, comparing columns says nothing.
    pub(super) fn check_kind(&mut self, relation: &Relation, catalog: &Catalog) -> bool {
        if self.shape.purpose == Purpose::Merge && self.refuse_append(relation) {
            return false;
        }
        match (&self.shape.layout, relation.kind.as_str()) {
            (Layout::Plain(_), "r") | (Layout::ByEnd { .. }, "p") => {}
            (Layout::Plain(_), "p") if self.shape.purpose == Purpose::Merge => {
                self.drop_history(relation);
            }
            (Layout::ByEnd { live, closed }, "r") => {
                self.begin_history(relation, live, closed, catalog);
            }
            (_, kind) => {
                self.refuse(
                    format!("it is {}", kind_name(kind)),
                    "move that object away: the name belongs to the platform".to_owned(),
                );
                return false;
            }
        }
        if relation.persistence != "p" {
            self.refuse(
                "it is unlogged, so a crash of the server would empty it".to_owned(),
                format!("`alter table {} set logged`", self.shape.table.quoted()),
            );
        }
        if self.conversion != Some(Conversion::ToMilestoned)
            && let Layout::ByEnd { .. } = self.shape.layout
            && relation.partitioned_by.as_deref() != Some("LIST (dp_out)")
        {
            let found = relation.partitioned_by.clone().unwrap_or_default();
            self.refuse(
                format!("it is partitioned by `{found}`, not by `LIST (dp_out)`"),
                "restore the table as merge-job made it".to_owned(),
            );
        }
        true
    }

    /// Events are no rows by key and rows by key are no events: neither becomes the other. True where one would have to.
    fn refuse_append(&mut self, relation: &Relation) -> bool {
        let has_op = |column: &Column| column.name.as_str() == milestone::OP;
        let has_keys = !relation.key.is_empty() || relation.kind == "p";
        let (found, wanted) = match (self.shape.is_append(), relation.columns.iter().any(has_op)) {
            (true, false) if has_keys => ("rows by key", "is `append`"),
            (false, true) if !has_keys => ("appended rows", "has a key"),
            _ => return false,
        };
        self.refuse(
            format!("it holds {found}, its spec {wanted}"),
            "a dataset does not get or lose its key: keep it as it was, or give the dataset another name; to begin anew, drop the table with its positions and snapshot the dataset again"
                .to_owned(),
        );
        true
    }

    /// Makes the table the partition of live rows of a new one: it is renamed, and its rows begin with the batch that does it.
    fn begin_history(
        &mut self,
        relation: &Relation,
        live: &Partition,
        closed: &Partition,
        catalog: &Catalog,
    ) {
        for partition in [live, closed] {
            if catalog.has(&partition.table) {
                self.refuse(
                    format!(
                        "its partition would be `{}`, which is there",
                        partition.table
                    ),
                    "move that object away: the name belongs to the platform".to_owned(),
                );
            }
        }
        let (table, part) = (self.shape.table.quoted(), live.table.quoted());
        let [start, end, source] = [milestone::IN, milestone::OUT, milestone::SOURCE_TS];
        self.convert(
            Conversion::ToMilestoned,
            [
                format!("alter table {table} rename to {}", live.table.name.quoted()),
                format!(
                    "alter table {part} add column {start} timestamptz not null default {BATCH_TIME}, \
                     add column {end} timestamptz, add column {source} timestamptz"
                ),
                format!("alter table {part} alter column {start} drop default"),
                format!("create table {table} (like {part}) partition by list ({end})"),
                format!(
                    "alter table {table} attach partition {part} {}",
                    live.bound.to_lowercase()
                ),
                format!("comment on table {part} is null"),
            ],
        );
        self.statements
            .extend(closed.create_in_steps(&self.shape.table));
        self.grant(relation);
    }

    /// Makes the partition of live rows a table of its own, without the columns of history; the rest is dropped.
    fn drop_history(&mut self, relation: &Relation) {
        let live = relation.partitions.iter().find(|own| own.is_live());
        let Some(live) = live.filter(|_| relation.partitions.len() == 2) else {
            self.refuse(
                "it is milestoned, its spec is live-only, and its partitions are not those that merge-job makes"
                    .to_owned(),
                format!("restore them, or have the table made anew: {REBUILD}"),
            );
            return;
        };
        let (table, part) = (self.shape.table.quoted(), live.table.quoted());
        let [start, end, source] = [milestone::IN, milestone::OUT, milestone::SOURCE_TS];
        self.convert(
            Conversion::ToLiveOnly,
            [
                format!("alter table {table} detach partition {part}"),
                format!("drop table {table}"),
                format!(
                    "alter table {part} drop column {start}, drop column {end}, drop column {source}"
                ),
                format!("alter table {part} rename to {}", self.shape.table.name.quoted()),
            ],
        );
        self.grant(relation);
    }

    fn convert(&mut self, conversion: Conversion, statements: impl IntoIterator<Item = String>) {
        self.what.push(conversion.what().to_owned());
        self.statements.extend(statements);
        self.conversion = Some(conversion);
    }

    /// Whoever was let read the table by its name may read what has the name now.
    fn grant(&mut self, relation: &Relation) {
        for reader in &relation.readers {
            self.statements.push(format!(
                "grant select on {} to {}",
                self.shape.table.quoted(),
                reader.quoted()
            ));
        }
    }

    /// The table as it is once it is converted.
    pub(super) fn converted(&self, relation: &Relation) -> Relation {
        let mut converted = relation.clone();
        let own = [milestone::IN, milestone::OUT, milestone::SOURCE_TS];
        match self.conversion {
            None => {}
            Some(Conversion::ToMilestoned) => {
                let names: Vec<PgIdent> = (self.shape.columns.iter())
                    .map(|column| column.name.clone())
                    .filter(|name| own.contains(&name.as_str()))
                    .collect();
                converted
                    .columns
                    .extend(names.into_iter().map(|name| Column {
                        not_null: name.as_str() == milestone::IN,
                        name,
                        data_type: "timestamp with time zone".to_owned(),
                        filled: false,
                        generated: false,
                        pinned: false,
                    }));
            }
            Some(Conversion::ToLiveOnly) => {
                converted
                    .columns
                    .retain(|column| !own.contains(&column.name.as_str()));
                let columns = converted.columns.iter_mut();
                columns.for_each(|column| column.pinned = false);
                if let Some(live) = relation.partitions.iter().find(|own| own.is_live()) {
                    converted.key.clone_from(&live.key);
                }
            }
        }
        converted
    }

    pub(super) fn check_heaps(&mut self, relation: &Relation, catalog: &Catalog) {
        match &self.shape.layout {
            Layout::Plain(heap)
            | Layout::ByEnd {
                live: Partition { heap, .. },
                ..
            } if relation.kind == "r" || self.conversion.is_some() => {
                let table = self.shape.table.quoted();
                self.check_key(heap, relation, &table);
            }
            Layout::Plain(_) => {}
            Layout::ByEnd { live, closed } => {
                for partition in [live, closed] {
                    self.check_partition(partition, catalog);
                }
            }
        }
    }

    fn check_partition(&mut self, partition: &Partition, catalog: &Catalog) {
        let Partition { table, bound, heap } = partition;
        let Some(relation) = catalog.relations.get(table) else {
            self.refuse(
                format!("its partition `{table}` is gone"),
                "restore or attach the partition: its rows are part of the history".to_owned(),
            );
            return;
        };
        let attached = relation.parent.as_ref() == Some(&self.shape.table)
            && relation.bound.as_deref() == Some(bound);
        if !attached {
            self.refuse(
                format!("`{table}` is not its partition {bound}"),
                format!(
                    "`alter table {} attach partition {} {bound}`",
                    self.shape.table.quoted(),
                    table.quoted()
                ),
            );
            return;
        }
        if relation.persistence != "p" {
            self.refuse(
                format!(
                    "its partition `{table}` is unlogged, so a crash of the server would empty it"
                ),
                format!("`alter table {} set logged`", table.quoted()),
            );
        }
        for wanted in self.shape.columns.iter().filter(|wanted| wanted.nullable) {
            if relation
                .columns
                .iter()
                .any(|column| column.name == wanted.name && column.not_null)
            {
                self.what.push(format!(
                    "lets column `{}` of `{table}` be null",
                    wanted.name
                ));
                self.statements.push(format!(
                    "alter table {} alter column {} drop not null",
                    table.quoted(),
                    wanted.name.quoted()
                ));
            }
        }
        self.check_key(heap, relation, &table.quoted());
    }

    fn check_key(&mut self, heap: &Heap, relation: &Relation, table: &str) {
        if relation.key == heap.key {
            return;
        }
        let wanted = sql::names(&heap.key);
        if heap.key.is_empty() {
            let found = sql::names(&relation.key);
            self.refuse(
                format!("{table} has a primary key ({found}), its spec has none"),
                format!("its rows are events, and equal ones may come: `alter table {table} drop constraint <its primary key>`"),
            );
            return;
        }
        let lost = format!(
            "where the table lost its own, `alter table {table} add primary key ({wanted})`"
        );
        let remedy = match self.dataset {
            Some(_) if self.shape.purpose == Purpose::Merge => format!(
                "keep the key of the model; or make the table anew with the other: `{} --from staging`, or `--from source`; {lost}",
                self.command.replacen("migrate-tables", "rebuild", 1)
            ),
            _ => format!("keep the key of the model; {lost}"),
        };
        if relation.key.is_empty() {
            self.refuse(
                format!("{table} has no primary key, its spec says ({wanted})"),
                remedy,
            );
        } else {
            let found = sql::names(&relation.key);
            self.refuse(
                format!("the primary key of {table} is ({found}), its spec says ({wanted})"),
                remedy,
            );
        }
    }
}

fn kind_name(kind: &str) -> &'static str {
    match kind {
        "v" => "a view",
        "m" => "a materialized view",
        "f" => "a foreign table",
        "r" => "an ordinary table",
        "p" => "a partitioned table",
        "S" => "a sequence",
        "i" | "I" => "an index",
        _ => "of another kind",
    }
}
