//! The events of a dataset in a batch: a temporary table, one row per staged row.
//!
//! Columns: `x_…` are ours, `c0`, `c1`, … the dataset's columns in order, typed as in the merge table, `u0`, `u1`, … say
//! that the value is unchanged at the source and unknown here (only for columns that have a placeholder). Names are ours
//! so that no column of a source can collide with them. Events of a dataset without a key have `x_number` too: see
//! [`crate::staging::delivery`].

use std::fmt::Write as _;

use milepost_job_spec::{ColumnSpec, DatasetSpec, Placeholder, SourcePosition};

use crate::staging::position::{self, Expressions};
use crate::staging::resumed;

/// A dataset of a batch, with the names of its temporary tables and columns.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// The dataset.
    pub dataset: &'a DatasetSpec,
    /// Its place in the stream.
    pub index: usize,
    /// Some events have a rank, which is not their offset's: [`crate::staging::taken`].
    pub is_ranked: bool,
}

/// `x_state` of an event that takes effect.
pub const STATE_VALID: i16 = 0;
/// `x_state` of a replay.
pub const STATE_REPLAY: i16 = 1;
/// `x_state` of a quarantined row.
pub const STATE_QUARANTINED: i16 = 2;
/// `x_state` of a truncate that has taken effect, or is ignored.
pub const STATE_TRUNCATE: i16 = 3;

impl<'a> Shape<'a> {
    /// The temporary table of events.
    #[must_use]
    pub fn events(&self) -> String {
        format!("mp_events_{}", self.index)
    }

    /// The temporary table of changes: what the merge statements apply.
    #[must_use]
    pub fn changes(&self) -> String {
        format!("mp_changes_{}", self.index)
    }

    /// The order of a key's events: `prefix.x_part, prefix.x_off`, or by rank where there is one.
    #[must_use]
    pub fn order(&self, prefix: &str) -> String {
        format!("{prefix}x_part, {}", self.rank(prefix))
    }

    /// What [`order`](Self::order) needs.
    #[must_use]
    pub fn places(&self, prefix: &str) -> String {
        let rank = if self.is_ranked {
            format!(", {prefix}x_rank")
        } else {
            String::new()
        };
        format!("{prefix}x_part, {prefix}x_off{rank}")
    }

    /// [`order`](Self::order) from the last one on.
    #[must_use]
    pub fn order_from_last(&self, prefix: &str) -> String {
        format!("{prefix}x_part desc, {} desc", self.rank(prefix))
    }

    /// Where an event stands among those of its key: twice its offset, or at its rank.
    #[must_use]
    pub fn rank(&self, prefix: &str) -> String {
        if self.is_ranked {
            format!("coalesce({prefix}x_rank, 2 * {prefix}x_off)")
        } else {
            format!("{prefix}x_off")
        }
    }

    /// Each column with its place.
    pub fn columns(&self) -> impl Iterator<Item = (usize, &'a ColumnSpec)> {
        self.dataset.columns.iter().enumerate()
    }

    /// The places of the key's columns, in key order.
    #[must_use]
    pub fn key(&self) -> Vec<usize> {
        self.dataset
            .key
            .iter()
            .filter_map(|key| {
                self.dataset
                    .columns
                    .iter()
                    .position(|column| column.name == *key)
            })
            .collect()
    }

    /// The places of columns that may hold a placeholder. A key never does: its value is always sent.
    #[must_use]
    pub fn fillable(&self) -> Vec<usize> {
        let key = self.key();
        self.columns()
            .filter(|(place, column)| column.placeholder.is_some() && !key.contains(place))
            .map(|(place, _)| place)
            .collect()
    }

    /// `prefix.c0, prefix.c1, …` over all columns.
    #[must_use]
    pub fn all(&self, prefix: &str) -> String {
        join(self.columns().map(|(place, _)| format!("{prefix}c{place}")))
    }

    /// `prefix.c0, …` over the key.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> String {
        join(
            self.key()
                .into_iter()
                .map(|place| format!("{prefix}c{place}")),
        )
    }

    /// The merge table's column names, quoted, each with a prefix.
    #[must_use]
    pub fn names(&self, prefix: &str) -> String {
        join(
            self.columns()
                .map(|(_, column)| format!("{prefix}{}", column.name.quoted())),
        )
    }

    /// `left.c0 = right.c0 and …` over the key.
    #[must_use]
    pub fn same_key(&self, left: &str, right: &str) -> String {
        self.key()
            .into_iter()
            .map(|place| format!("{left}c{place} = {right}c{place}"))
            .collect::<Vec<_>>()
            .join(" and ")
    }

    /// `live.key = event.c0 and …`; with a guard the event's side is null where the guard is false, so that the index is
    /// not searched.
    #[must_use]
    pub fn live_key(&self, live: &str, event: &str, guard: Option<&str>) -> String {
        self.key()
            .into_iter()
            .map(|place| {
                let name = self.dataset.columns[place].name.quoted();
                match guard {
                    None => format!("{live}{name} = {event}c{place}"),
                    Some(guard) => {
                        format!("{live}{name} = case when {guard} then {event}c{place} end")
                    }
                }
            })
            .collect::<Vec<_>>()
            .join(" and ")
    }

    /// The key of an event as jsonb.
    #[must_use]
    pub fn key_json(&self, event: &str) -> String {
        let pairs = join(self.key().into_iter().map(|place| {
            let name = self.dataset.columns[place]
                .name
                .as_str()
                .replace('\'', "''");
            format!("'{name}', {event}c{place}")
        }));
        format!("jsonb_build_object({pairs})")
    }

    /// Is anything of this event unknown?
    #[must_use]
    pub fn any_unknown(&self, event: &str) -> String {
        let unknown: Vec<_> = self
            .fillable()
            .into_iter()
            .map(|place| format!("{event}u{place}"))
            .collect();
        if unknown.is_empty() {
            "false".to_owned()
        } else {
            format!("({})", unknown.join(" or "))
        }
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// How many values the statement of [`create`] takes for each partition.
///
/// `$1` topic, `$2` partition, `$3` offset above which, `$4` offset up to which, `$5` offsets whose values do not cast,
/// `$6` those among them whose key does not; then the same for the next slice.
pub const VALUES_PER_SLICE: usize = 6;

/// The statement that reads the staged rows of `slices` partitions into the temporary table of events.
#[must_use]
pub fn create(shape: &Shape<'_>, source: SourcePosition, slices: usize) -> String {
    let parts = (0..slices)
        .map(|slice| select(shape, source, slice))
        .collect::<Vec<_>>();
    format!(
        "create temp table {} on commit drop as\n{}",
        shape.events(),
        parts.join("\nunion all\n")
    )
}

fn select(shape: &Shape<'_>, source: SourcePosition, slice: usize) -> String {
    let value = |n: usize| format!("${}", slice * VALUES_PER_SLICE + n);
    let Expressions { commit, row, order } = position::of(source);
    let transaction = position::transaction_of(source, "s");
    let key = shape.key();
    let fillable = shape.fillable();
    let uncast = format!("s.__connect_offset = any({}::bigint[])", value(5));
    let keyless = format!("s.__connect_offset = any({}::bigint[])", value(6));
    let mut list = format!(
        "s.__connect_topic as x_topic, s.__connect_partition as x_part, s.__connect_offset as x_off,\n       \
         s.__op as x_op, {commit} as x_commit, {row} as x_row, {order} as x_order,\n       \
         s.__source_ts_us as x_ts, {transaction} as x_tx, s.__snapshot as x_snapshot,\n       \
         {STATE_VALID}::smallint as x_state, false as x_doubt, {} as x_refused",
        refused(shape, &uncast)
    );
    list.push_str(if shape.dataset.strategy.is_append() {
        ", null::bigint as x_number"
    } else {
        ", null::bigint as x_rank"
    });
    for (place, column) in shape.columns() {
        let staged = format!("s.{}", column.staged_as.quoted());
        let cast = column.staging_type != column.merge_type;
        let typed = typed(&staged, column);
        let absent = match &column.placeholder {
            Some(placeholder) if fillable.contains(&place) => {
                let unknown = is_placeholder(&staged, placeholder);
                let _ = write!(
                    list,
                    ",\n       coalesce(s.__op <> 'd' and {unknown}, false) as u{place}"
                );
                Some(unknown)
            }
            _ => None,
        };
        // On a delete row only the key is to be trusted: its other values need not even cast. Where there is no key they
        // are all that tells what was deleted.
        let mut no_value = Vec::new();
        if cast {
            if key.contains(&place) {
                no_value.push(keyless.clone());
                // Rounded or cut, it would be the key of another row.
                if let Some(rounds) = rounds(&staged, &column.merge_type) {
                    no_value.push(format!("case when {keyless} then false else {rounds} end"));
                }
                no_value.extend(cuts(&staged, &column.merge_type));
            } else {
                no_value.push(uncast.clone());
                if !shape.dataset.strategy.is_append() {
                    no_value.push("s.__op = 'd'".to_owned());
                }
            }
        }
        no_value.extend(absent);
        if no_value.is_empty() {
            let _ = write!(list, ",\n       {typed} as c{place}");
        } else {
            let _ = write!(
                list,
                ",\n       case when {} then null else {typed} end as c{place}",
                no_value.join(" or ")
            );
        }
    }
    format!(
        "(select {list}\n  \
         from {table} s\n \
         where s.__connect_topic = {topic}::text and s.__connect_partition = {partition}::integer\n   \
         and s.__connect_offset > {low}::bigint and s.__connect_offset <= {high}::bigint\n \
         order by s.__connect_offset)",
        table = shape.dataset.staging.quoted(),
        topic = value(1),
        partition = value(2),
        low = value(3),
        high = value(4),
    )
}

/// The query that casts the key of one staged row, to see whether it does: `$1` topic, `$2` partition, `$3` offset.
#[must_use]
pub fn cast_key(shape: &Shape<'_>) -> String {
    let casts = shape.dataset.key_columns().map(|column| {
        let staged = format!("s.{}", column.staged_as.quoted());
        format!("({})::text", cast_of(&staged, column))
    });
    format!(
        "select {} from {} s where s.__connect_topic = $1 and s.__connect_partition = $2 and s.__connect_offset = $3",
        join(casts),
        shape.dataset.staging.quoted()
    )
}

/// What Debezium makes of `infinity` in a timestamp without time zone: 25.2 s, less digits in a column of less precision
/// (docs/decisions/0001).
const CONNECTOR_INFINITY: &str =
    "between timestamp '294247-01-10 04:00:25' and timestamp '294247-01-10 04:00:25.999999'";

fn is_timestamp(merge_type: &str) -> bool {
    merge_type.starts_with("timestamp") && merge_type.ends_with("without time zone")
}

/// A staged value as the merge table has it.
pub(crate) fn typed(staged: &str, column: &ColumnSpec) -> String {
    if column.staging_type != column.merge_type {
        cast_of(staged, column)
    } else if is_timestamp(&column.merge_type) {
        format!("case when {staged} {CONNECTOR_INFINITY} then 'infinity' else {staged} end")
    } else {
        staged.to_owned()
    }
}

fn cast_of(staged: &str, column: &ColumnSpec) -> String {
    let merge_type = &column.merge_type;
    if merge_type.starts_with("numeric") {
        return numeric(staged, merge_type);
    }
    // Times of MySQL, in microseconds. By way of their text, a length of time that is no time of a day does not become one.
    if column.staging_type == "bigint" && merge_type == "interval" {
        return format!("({staged} * interval '1 microsecond')");
    }
    if column.staging_type == "bigint" && merge_type.starts_with("time") {
        return format!("({staged} * interval '1 microsecond')::text::{merge_type}");
    }
    format!("{staged}::{merge_type}")
}

/// A text as a number; Debezium has words of its own for what Postgres calls Infinity (decimal.handling.mode=string).
fn numeric(staged: &str, numeric_type: &str) -> String {
    format!(
        "case {staged} when 'POSITIVE_INFINITY' then 'Infinity' when 'NEGATIVE_INFINITY' then '-Infinity' \
         else {staged} end::{numeric_type}"
    )
}

fn is_placeholder(staged: &str, placeholder: &Placeholder) -> String {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    match placeholder {
        Placeholder::Text(text) => format!("{staged} = {}", literal(text)),
        Placeholder::Bytes(text) => {
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!("{staged} = '\\x{hex}'::bytea")
        }
        Placeholder::AnyText(texts) => {
            let list = texts
                .iter()
                .map(|text| literal(text))
                .collect::<Vec<_>>()
                .join(", ");
            format!("{staged} in ({list})")
        }
    }
}

/// Why the merge table would refuse the row, found without trying: null for a row that it takes.
fn refused(shape: &Shape<'_>, uncast: &str) -> String {
    let key = shape.key();
    let mut cases = format!(
        "case when s.__op = 't' then null when {uncast} then 'a value does not cast to its merge type'"
    );
    for (place, column) in shape.columns() {
        let staged = format!("s.{}", column.staged_as.quoted());
        let in_key = key.contains(&place);
        let name = column.name.as_str().replace('\'', "''");
        let is_append = shape.dataset.strategy.is_append();
        let when = if in_key || is_append {
            ""
        } else {
            "s.__op <> 'd' and "
        };
        if in_key {
            let _ = write!(
                cases,
                " when {staged} is null then 'the key column `{name}` is null'"
            );
        } else if !column.nullable && !is_append {
            let _ = write!(
                cases,
                " when {when}{staged} is null then 'column `{name}` is null and not nullable'"
            );
        }
        if column.staging_type != column.merge_type {
            // A cast would round the number silently (T36), and an explicit one cut the text.
            let unknown = column
                .placeholder
                .as_ref()
                .map_or_else(|| "false".to_owned(), |p| is_placeholder(&staged, p));
            if let Some(rounds) = rounds(&staged, &column.merge_type) {
                // What need not cast is not tried to.
                let no_value = if when.is_empty() {
                    unknown.clone()
                } else {
                    format!("s.__op = 'd' or {unknown}")
                };
                let _ = write!(
                    cases,
                    " when case when {no_value} then false else {rounds} end \
                     then 'column `{name}` has more decimals than {} keeps'",
                    column.merge_type
                );
            }
            if let Some((length, cuts)) =
                length_limit(&column.merge_type).zip(cuts(&staged, &column.merge_type))
            {
                let _ = write!(
                    cases,
                    " when {when}not ({unknown}) and {cuts} \
                     then 'column `{name}` is longer than {length} characters'"
                );
            }
        }
    }
    let long: Vec<String> = shape
        .dataset
        .key_columns()
        .filter(|column| !is_short(&column.merge_type))
        .map(|column| format!("octet_length(s.{}::text)", column.staged_as.quoted()))
        .collect();
    if !long.is_empty() {
        let _ = write!(
            cases,
            " when {} > {MAX_KEY_BYTES} then 'the key has more than {MAX_KEY_BYTES} bytes'",
            long.join(" + ")
        );
    }
    cases.push_str(" end");
    cases
}

/// The longest key that surely fits an index entry: a third of a page (2704 bytes) less `dp_in` and the short columns.
const MAX_KEY_BYTES: usize = 2000;

/// Are values of this type so short that a few of them fit an index entry anyway?
fn is_short(merge_type: &str) -> bool {
    const FIXED: [&str; 12] = [
        "smallint",
        "integer",
        "bigint",
        "real",
        "double precision",
        "boolean",
        "date",
        "uuid",
        "interval",
        "oid",
        "money",
        "macaddr",
    ];
    FIXED.contains(&merge_type)
        || merge_type.starts_with("time")
        || merge_type.starts_with("numeric(")
        || length_limit(merge_type).is_some_and(|length| length <= 64)
}

/// Does a cast of a text to this type round it? Nothing for a type that rounds nothing.
fn rounds(staged: &str, merge_type: &str) -> Option<String> {
    let decimals = decimals(merge_type)?;
    let number = numeric(staged, "numeric");
    Some(format!("round({number}, {decimals}) <> {number}"))
}

/// Does a cast of a text to this type cut it? Nothing for a type without a length.
fn cuts(staged: &str, merge_type: &str) -> Option<String> {
    let length = length_limit(merge_type)?;
    Some(format!("char_length({staged}) > {length}"))
}

/// How many decimals `numeric(p,s)` or `numeric(p)` keeps.
pub(crate) fn decimals(merge_type: &str) -> Option<i32> {
    let arguments = merge_type.strip_prefix("numeric(")?.strip_suffix(')')?;
    match arguments.split_once(',') {
        Some((_, scale)) => scale.trim().parse().ok(),
        None => Some(0),
    }
}

/// The n of `character varying(n)` or `character(n)`.
fn length_limit(merge_type: &str) -> Option<usize> {
    let rest = merge_type
        .strip_prefix("character varying(")
        .or_else(|| merge_type.strip_prefix("character("))?;
    rest.strip_suffix(')')?.parse().ok()
}

/// How many values [`survey`] takes for each partition: topic, partition, and the fence's commit position, row position
/// and order (−1 where there is none), and transaction.
pub const SURVEY_VALUES_PER_SLICE: usize = 6;

/// The statement that says, per dataset, what there is to do before the merge. One row each, in order.
///
/// Each shape comes with the number of its slices. `$1`: the last offsets of the slices; then the values of each slice.
/// `back` has two counts per slice: rows that do not stand strictly above their predecessor or the fence, which may be
/// replays, or whose transaction was sent with several commit positions or with another's ([`resumed`]), and creates right
/// behind a delete at one place, which are new halves of key changes. The window
/// goes over narrow columns of rows that lie in offset order already, which is why it is here and not where rows are read.
#[must_use]
pub fn survey(shapes: &[(Shape<'_>, usize)], source: SourcePosition) -> String {
    let mut before = 0;
    let mut parts = Vec::new();
    for (shape, slices) in shapes {
        let events = shape.events();
        let back = (before..before + slices).map(|slice| {
            let value = |n: usize| format!("${}", 1 + slice * SURVEY_VALUES_PER_SLICE + n);
            // Without a key rows that share a position are told apart by their number; with one, a delete at the place of the
            // row before is of a key change that came already.
            let whose = if shape.dataset.strategy.is_append() {
                "true"
            } else {
                "x_op = 'd'"
            };
            let shared = format!(
                " or {whose} and (x_commit, x_row) = (lag(x_commit, 1, {}::bigint) over w, lag(x_row, 1, {}::bigint) over w)",
                value(3),
                value(4)
            );
            let resumed = if resumed::may_be(source) {
                format!(
                    "\n             \
                       or (x_tx = lag(x_tx, 1, {}::text) over w) <> (x_commit = lag(x_commit, 1, {}::bigint) over w)",
                    value(6),
                    value(3)
                )
            } else {
                // Bound all the same.
                format!(" or {}::text is null and false", value(6))
            };
            // The texts are compared only where there is a choice: that doubles the cost. The values are bound all the same.
            let here = format!(
                "{} or (x_topic = {}::text and x_part = {}::integer)",
                *slices == 1,
                value(1),
                value(2)
            );
            format!(
                "(select array[count(*) filter (where back), count(*) filter (where took)] from (\n    \
                   select x_op <> 'r' and x_commit is not null and coalesce((x_commit, x_row, x_order) <=\n           \
                          (lag(x_commit, 1, {}::bigint) over w, lag(x_row, 1, {}::bigint) over w, lag(x_order, 1, {}::bigint) over w), true){shared}{resumed} as back,\n           \
                          x_op = 'c' and lag(x_op, 1, 'd') over w = 'd' and lag(x_commit, 1, {}::bigint) over w = x_commit\n             \
                            and coalesce(lag(x_row, 1, {}::bigint) over w, -1) = coalesce(x_row, -1) as took\n      \
                     from {events} where {here} window w as (order by x_off)) q where back or took)",
                value(3),
                value(4),
                value(5),
                value(3),
                value(4)
            )
        });
        parts.push(format!(
            "select {index} as i, count(*) as staged,\n  {back} as back,\n       \
             count(*) filter (where x_refused is not null) as refused,\n       \
             count(*) filter (where {unknown}) as unknown,\n       \
             count(*) filter (where x_op = 't') as truncates,\n       \
             count(*) filter (where x_op = 'd' and x_off = any($1::bigint[])) as last_deletes,\n       \
             count(*) filter (where x_op = 'r' and x_snapshot is distinct from 'incremental') as taken,\n       \
             count(*) filter (where x_op is null or x_op not in ('c', 'u', 'd', 'r', 't')) as strange\n  \
             from {events}",
            index = shape.index,
            back = back.collect::<Vec<_>>().join("\n  || "),
            unknown = shape.any_unknown(""),
        ));
        before += slices;
    }
    format!("{}\norder by i", parts.join("\nunion all\n"))
}
