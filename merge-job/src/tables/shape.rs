//! What the tables of a stream should be.

use milepost_job_spec::{
    DatasetSpec, PgIdent, SourcePosition, StreamSpec, TableRef, milestone, staging,
};

use super::mark::Mark;
use crate::sql;

/// Room on each page for new versions of its rows: with it, closing and updating are HOT updates (measured in
/// `reference/peer-merges.md`, section 1).
const LIVE_SETTINGS: &str = "fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05";
/// Staged, closed and appended rows only arrive; the visibility map and the statistics must follow (T57).
const APPENDED_SETTINGS: &str =
    "autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05";

/// A table as it should be, with its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    /// Where it is.
    pub table: TableRef,
    /// What it is for.
    pub purpose: Purpose,
    /// Its columns, in order.
    pub columns: Vec<ColumnShape>,
    /// How its rows are kept.
    pub layout: Layout,
}

/// What a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Change events arrive here.
    Staging,
    /// END events of the source's transactions arrive here.
    Transactions,
    /// Rows are merged here.
    Merge,
}

/// A column as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnShape {
    /// Its name.
    pub name: PgIdent,
    /// Its type, as `format_type` prints it.
    pub data_type: String,
    /// May it be null?
    pub nullable: bool,
}

/// How the rows of a table are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// In one heap with a primary key; without one where the key is empty.
    Plain(Heap),
    /// By list of `dp_out`: live rows (null) in one partition, closed ones in the other.
    ByEnd {
        /// Live rows: unique by key.
        live: Partition,
        /// Closed rows: unique by key and `dp_in`.
        closed: Partition,
    },
}

/// A heap: its primary key and storage settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heap {
    /// The primary key; empty for appended rows, which have none.
    pub key: Vec<PgIdent>,
    /// Storage settings at creation; later a matter of whoever tunes the server.
    pub settings: &'static str,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Where it is.
    pub table: TableRef,
    /// Its bound, as Postgres prints it.
    pub bound: &'static str,
    /// Its rows.
    pub heap: Heap,
}

/// The bound of live rows, as Postgres prints it.
pub(super) const LIVE_BOUND: &str = "FOR VALUES IN (NULL)";
/// The bound of closed rows, as Postgres prints it.
const CLOSED_BOUND: &str = "DEFAULT";

/// Every table of a stream, staging before merge tables.
#[must_use]
pub fn of_stream(spec: &StreamSpec) -> Vec<TableShape> {
    let transactions = spec.transactions.iter().map(of_transactions);
    let staging = spec
        .datasets
        .iter()
        .map(|dataset| of_staging(dataset, spec.source));
    let merge = spec.datasets.iter().map(of_merge);
    transactions.chain(staging).chain(merge).collect()
}

/// The table of END events.
#[must_use]
pub fn of_transactions(table: &TableRef) -> TableShape {
    let columns = vec![
        own(staging::TOPIC, "text", false),
        own(staging::PARTITION, "integer", false),
        own(staging::OFFSET, "bigint", false),
        own("payload", "text", true),
    ];
    TableShape {
        table: table.clone(),
        purpose: Purpose::Transactions,
        columns,
        layout: Layout::Plain(position_heap()),
    }
}

/// The staging table of a dataset: every column of the source is nullable, a delete row has the key alone.
#[must_use]
pub fn of_staging(dataset: &DatasetSpec, source: SourcePosition) -> TableShape {
    let sources = dataset.columns.iter().map(|column| ColumnShape {
        name: column.staged_as.clone(),
        data_type: column.staging_type.clone(),
        nullable: true,
    });
    let owns = source.staging_columns().into_iter().map(|column| {
        own(
            column.name,
            column.data_type,
            !POSITION.contains(&column.name),
        )
    });
    TableShape {
        table: dataset.staging.clone(),
        purpose: Purpose::Staging,
        columns: sources.chain(owns).collect(),
        layout: Layout::Plain(position_heap()),
    }
}

/// The merge table of a dataset.
#[must_use]
pub fn of_merge(dataset: &DatasetSpec) -> TableShape {
    let mut columns: Vec<ColumnShape> = dataset
        .columns
        .iter()
        .map(|column| ColumnShape {
            name: column.name.clone(),
            data_type: column.merge_type.clone(),
            // Of a deleted row without a key only that is kept which the source tells.
            nullable: column.nullable || dataset.strategy.is_append(),
        })
        .collect();
    let live = Heap {
        key: dataset.key.clone(),
        settings: if dataset.strategy.is_append() {
            APPENDED_SETTINGS
        } else {
            LIVE_SETTINGS
        },
    };
    if dataset.strategy.is_append() {
        columns.extend([
            own(milestone::IN, TIMESTAMPTZ, false),
            own(milestone::OP, "text", false),
        ]);
    }
    let layout = match (&dataset.live, &dataset.closed) {
        (Some(live_table), Some(closed_table)) if dataset.strategy.is_milestoned() => {
            columns.extend([
                own(milestone::IN, TIMESTAMPTZ, false),
                own(milestone::OUT, TIMESTAMPTZ, true),
                own(milestone::SOURCE_TS, TIMESTAMPTZ, true),
            ]);
            let mut closed_key = dataset.key.clone();
            closed_key.push(ident(milestone::IN));
            let closed = Heap {
                key: closed_key,
                settings: APPENDED_SETTINGS,
            };
            Layout::ByEnd {
                live: Partition {
                    table: live_table.clone(),
                    bound: LIVE_BOUND,
                    heap: live,
                },
                closed: Partition {
                    table: closed_table.clone(),
                    bound: CLOSED_BOUND,
                    heap: closed,
                },
            }
        }
        _ => Layout::Plain(live),
    };
    TableShape {
        table: dataset.merge.clone(),
        purpose: Purpose::Merge,
        columns,
        layout,
    }
}

const TIMESTAMPTZ: &str = "timestamp with time zone";
/// A row's position: the primary key of staging, so that a redelivered record overwrites itself.
const POSITION: [&str; 3] = [staging::TOPIC, staging::PARTITION, staging::OFFSET];

fn position_heap() -> Heap {
    Heap {
        key: POSITION.map(ident).to_vec(),
        settings: APPENDED_SETTINGS,
    }
}

fn own(name: &str, data_type: &str, nullable: bool) -> ColumnShape {
    ColumnShape {
        name: ident(name),
        data_type: data_type.to_owned(),
        nullable,
    }
}

fn ident(name: &str) -> PgIdent {
    name.parse().expect("our own column names are legal")
}

impl TableShape {
    /// The heaps that hold the rows: the table itself, or its partitions.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &Partition> {
        match &self.layout {
            Layout::Plain(_) => [None, None],
            Layout::ByEnd { live, closed } => [Some(live), Some(closed)],
        }
        .into_iter()
        .flatten()
    }

    /// Does it hold every event as a row?
    pub(super) fn is_append(&self) -> bool {
        self.purpose == Purpose::Merge
            && self
                .columns
                .iter()
                .any(|column| column.name.as_str() == milestone::OP)
    }

    /// Is this column part of a primary key, or one of those that the engine cannot do without?
    pub(super) fn is_essential(&self, column: &PgIdent) -> bool {
        match &self.layout {
            Layout::Plain(heap) => {
                heap.key.contains(column)
                    || self.is_append() && [milestone::IN, milestone::OP].contains(&column.as_str())
            }
            Layout::ByEnd { closed, .. } => {
                closed.heap.key.contains(column) || column.as_str() == milestone::OUT
            }
        }
    }

    /// The statements that make the table, its partitions and its mark.
    #[must_use]
    pub fn create(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let null = if column.nullable { "" } else { " not null" };
                format!("    {} {}{null}", column.name.quoted(), column.data_type)
            })
            .collect();
        let end = match &self.layout {
            Layout::Plain(heap) => {
                if !heap.key.is_empty() {
                    lines.push(format!("    {}", heap.primary_key()));
                }
                format!(") with ({})", heap.settings)
            }
            Layout::ByEnd { .. } => format!(") partition by list ({})", milestone::OUT),
        };
        let table = self.table.quoted();
        let mut statements = vec![format!(
            "create table if not exists {table} (\n{}\n{end}",
            lines.join(",\n")
        )];
        let partitions = self.partitions();
        statements.extend(partitions.map(|partition| partition.create(&self.table)));
        statements.push(Mark::of(self).comment(&self.table));
        statements
    }
}

impl Partition {
    /// The statement that makes it.
    pub(super) fn create(&self, of: &TableRef) -> String {
        let Self { table, bound, heap } = self;
        format!(
            "create table if not exists {} partition of {} ({})\n    {} with ({})",
            table.quoted(),
            of.quoted(),
            heap.primary_key(),
            bound.to_lowercase(),
            heap.settings
        )
    }
}

impl Partition {
    /// The statements that make it beside a partition that was attached: with the key afterwards, which then rests on the
    /// constraints of the table and brings none under names of its own (see [`super::catalog::Column`]).
    pub(super) fn create_in_steps(&self, of: &TableRef) -> [String; 2] {
        let Self { table, bound, heap } = self;
        let (table, bound) = (table.quoted(), bound.to_lowercase());
        [
            format!(
                "create table {table} partition of {}\n    {bound} with ({})",
                of.quoted(),
                heap.settings
            ),
            format!("alter table {table} add {}", heap.primary_key()),
        ]
    }
}

impl Heap {
    fn primary_key(&self) -> String {
        format!("primary key ({})", sql::names(&self.key))
    }
}
