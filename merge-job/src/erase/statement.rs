//! What is a key's, as SQL: temporary tables that say where it is, and statements that remove it from there.
//!
//! Equality is that of the merge key. Texts, be they given, staged, or kept as JSON, are cast as the merge casts them, by
//! functions that give null where a value does not cast: such a row is no row of any key. They are dropped with the transaction.
//!
//! Where nothing else is said, `$1` is the platform, `$2` the store, `$3` the dataset.

use milepost_job_spec::{ColumnSpec, DatasetSpec, SourcePosition, TableRef};

use crate::sql::{list, literal};
use crate::staging::events::typed;
use crate::staging::key_cast::{self, Origin};

/// The keys: columns `c0`, `c1`, … in key order, typed as in the merge table.
const KEYS: &str = "mp_erased";
/// The staged rows of the keys: topic, part, off, is it merged, does it stay without its values.
const STAGED: &str = "mp_erased_staged";
/// What stays of them.
const KEPT: &str = "mp_erased_kept";
/// The entries of the quarantine.
const ENTRIES: &str = "mp_erased_entries";
/// The topic partitions that remember a row of the keys.
const POSITIONS: &str = "mp_erased_positions";

/// A dataset, as its keys are erased.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The dataset.
    pub dataset: &'a DatasetSpec,
    /// Where the source position stands in staged rows.
    pub source: SourcePosition,
    /// Are staged rows merged? Those of a source whose tables are read are not.
    pub is_of_events: bool,
}

impl Place<'_> {
    fn columns(&self) -> impl Iterator<Item = (usize, &ColumnSpec)> {
        self.dataset.key_columns().enumerate()
    }

    /// `c0, c1, …`, each with a prefix.
    fn keys(&self, prefix: &str) -> String {
        list(self.columns().map(|(place, _)| format!("{prefix}c{place}")))
    }

    /// The names of what connector and sink write beside a row, as an array of texts.
    fn own_names(&self) -> String {
        let own = self.source.staging_columns();
        format!(
            "array[{}]",
            list(own.iter().map(|column| literal(column.name)))
        )
    }

    /// The statements that make the functions.
    #[must_use]
    pub fn create_casts(&self) -> String {
        key_cast::create(self.dataset)
    }

    /// The statements that drop them: they would outlive the transaction, and behind PgBouncer the connection.
    #[must_use]
    pub fn drop_casts(&self) -> String {
        key_cast::drop(self.dataset)
    }

    /// The query for the first value of each column that is no value of its type: `$1`, `$2`, … the values of the columns.
    /// Returns a number of the key for each column, from 1, or null.
    #[must_use]
    pub fn uncast(&self) -> String {
        let parts = self.columns().map(|(place, _)| {
            format!(
                "(select min(n) from unnest(${}::text[]) with ordinality as g(v, n) where {} is null)",
                place + 1,
                Origin::Given.cast(place, "v")
            )
        });
        format!("select {}", list(parts))
    }

    /// The statement that makes the table of keys, each once: `$1`, `$2`, … the values of the columns.
    #[must_use]
    pub fn create_keys(&self) -> String {
        let values = self
            .columns()
            .map(|(place, _)| format!("${}::text[]", place + 1));
        let names = self.columns().map(|(place, _)| format!("v{place}"));
        let casts = self.columns().map(|(place, _)| {
            format!(
                "{} as c{place}",
                Origin::Given.cast(place, &format!("v{place}"))
            )
        });
        format!(
            "create temp table {KEYS} on commit drop as\n\
             select distinct {} from unnest({}) as g({})",
            list(casts),
            list(values),
            list(names)
        )
    }

    /// `(x.k0, x.k1) in (select … from the keys)`
    fn is_key(&self, prefix: &str) -> String {
        let own = list(self.columns().map(|(place, _)| format!("{prefix}{place}")));
        format!("({own}) in (select {} from {KEYS})", self.keys(""))
    }

    /// The key's columns of the JSON `row`, by their names in the merge table, as `k0`, `k1`, …
    fn of_merged_json(&self, row: &str, name: &str) -> String {
        list(self.columns().map(|(place, column)| {
            let text = format!("{row} ->> {}", literal(column.name.as_str()));
            format!("{} as {name}{place}", Origin::Merged.cast(place, &text))
        }))
    }

    /// The same by their names in staging.
    fn of_staged_json(&self, row: &str, name: &str) -> String {
        list(self.columns().map(|(place, column)| {
            let text = format!("{row} ->> {}", literal(column.staged_as.as_str()));
            format!("{} as {name}{place}", Origin::Staged.cast(place, &text))
        }))
    }

    /// The statement that finds the entries of the keys in quarantine: by the key that was read, or by the payload, which
    /// may have been mended since.
    #[must_use]
    pub fn find_entries(&self) -> String {
        format!(
            "create temp table {ENTRIES} on commit drop as\n\
             select q.id, q.topic, q.partition as part, q.\"offset\" as off, q.status = 'open' as is_open\n  \
               from (select q.id, q.topic, q.partition, q.\"offset\", q.status, {merged}, {staged}\n          \
                       from milepost.quarantine q where q.platform = $1 and q.store = $2 and q.dataset = $3 offset 0) q\n \
              where {by_key} or {by_payload}",
            merged = self.of_merged_json("q.key", "k"),
            staged = self.of_staged_json("q.payload", "p"),
            by_key = self.is_key("q.k"),
            by_payload = self.is_key("q.p"),
        )
    }

    /// The statement that finds the staged rows of the keys, and those that their entries of the quarantine are of.
    ///
    /// What a topic or a snapshot is recognised by stays, without its values: the row at the watermark, the lowest row, and
    /// the rows at which a snapshot begins and ends.
    #[must_use]
    pub fn find_staged(&self) -> String {
        let key = list(self.columns().map(|(place, column)| {
            let staged = format!("s.{}", column.staged_as.quoted());
            let value = if column.staging_type == column.merge_type {
                typed(&staged, column)
            } else {
                Origin::Staged.cast(place, &format!("{staged}::text"))
            };
            format!("{value} as k{place}")
        }));
        let same = |alias: &str| {
            format!("{alias}.topic = s.topic and {alias}.part = s.part and {alias}.off = s.off")
        };
        format!(
            "create temp table {STAGED} on commit drop as\n\
             select s.topic, s.part, s.off, {merged} as is_merged,\n       \
                    s.is_mark or coalesce(s.off = p.watermark or s.off = p.lowest_offset, false) as stays\n  \
               from (select s.__connect_topic as topic, s.__connect_partition as part, s.__connect_offset as off,\n               \
                            coalesce(s.__op = 'r' and s.__snapshot in ('first', 'first_in_data_collection', 'last', 'last_in_data_collection'), false)\n                 \
                              as is_mark, {key}\n          \
                       from {staging} s offset 0) s\n  \
               left join milepost.positions p on p.platform = $1 and p.store = $2 and p.dataset = $3\n    \
                 and p.topic = s.topic and p.partition = s.part\n \
              where {is_key} or exists (select from {ENTRIES} q where {of_entry})",
            merged = if self.is_of_events {
                "s.off <= coalesce(p.watermark, -1)"
            } else {
                "true"
            },
            staging = self.dataset.staging.quoted(),
            is_key = self.is_key("s.k"),
            of_entry = same("q"),
        )
    }

    /// The statement that finds the topic partitions whose control row remembers a row of the keys.
    #[must_use]
    pub fn find_positions(&self) -> String {
        let here = |offset: &str| {
            format!(
                "exists (select from {STAGED} s where s.topic = p.topic and s.part = p.partition and s.off = p.{offset})"
            )
        };
        format!(
            "create temp table {POSITIONS} on commit drop as\n\
             select * from (\n  \
               select p.topic, p.partition as part, {key} or {staged} or {at_watermark} as at_watermark, {lowest} or {at_lowest} as at_lowest\n    \
                 from (select p.*, {of_key}, {of_staged}, {of_lowest}\n            \
                         from milepost.positions p where p.platform = $1 and p.store = $2 and p.dataset = $3 offset 0) p) p\n \
              where at_watermark or at_lowest",
            key = none_is_false(&self.is_key("p.k")),
            staged = none_is_false(&self.is_key("p.s")),
            lowest = none_is_false(&self.is_key("p.l")),
            at_watermark = here("watermark"),
            at_lowest = here("lowest_offset"),
            of_key = self.of_merged_json("(p.watermark_row -> 'key')", "k"),
            of_staged = self.of_staged_json("(p.watermark_row -> 'staged')", "s"),
            of_lowest = self.of_staged_json("p.lowest_row", "l"),
        )
    }

    /// The tables of the merged rows: the live ones first, then those of the history where there is one.
    fn merged(&self) -> (&TableRef, Option<&TableRef>) {
        (self.dataset.live_table(), self.dataset.closed.as_ref())
    }

    fn joined(&self, alias: &str) -> String {
        let same = self
            .columns()
            .map(|(place, column)| format!("{alias}.{} = k.c{place}", column.name.quoted()));
        same.collect::<Vec<_>>().join(" and ")
    }

    /// The query for how much is found where. Takes no values.
    #[must_use]
    pub fn count(&self) -> String {
        let (live, history) = self.merged();
        let rows = |table: &TableRef| {
            format!(
                "(select count(*) from {KEYS} k join {} t on {})",
                table.quoted(),
                self.joined("t")
            )
        };
        format!(
            "select (select count(*) from {KEYS}) as keys, {live} as live, {history} as history,\n       \
                    s.staged, s.redacted, s.unmerged, q.open, q.closed, (select count(*) from {POSITIONS}) as positions\n  \
               from (select count(*) filter (where is_merged and not stays) as staged, count(*) filter (where is_merged and stays) as redacted,\n               \
                            count(*) filter (where not is_merged) as unmerged from {STAGED}) s\n  \
              cross join (select count(*) filter (where is_open) as open, count(*) filter (where not is_open) as closed from {ENTRIES}) q",
            live = rows(live),
            history = history.map_or_else(|| "0::bigint".to_owned(), rows),
        )
    }

    /// The statements that remove the merged rows.
    #[must_use]
    pub fn remove_merged(&self) -> String {
        let (live, history) = self.merged();
        let remove = |table: &TableRef| {
            format!(
                "delete from {} t using {KEYS} k where {}",
                table.quoted(),
                self.joined("t")
            )
        };
        let tables = std::iter::once(live).chain(history);
        tables.map(remove).collect::<Vec<_>>().join(";\n")
    }

    /// The statements that remove the staged rows. What stays is written anew with the columns of the sink alone, so that
    /// columns which the spec does not have any more are empty too.
    #[must_use]
    pub fn remove_staged(&self) -> String {
        let own = self.source.staging_columns();
        let columns = |prefix: &str| list(own.iter().map(|own| format!("{prefix}{}", own.name)));
        let staging = self.dataset.staging.quoted();
        let same = "s.__connect_topic = f.topic and s.__connect_partition = f.part and s.__connect_offset = f.off";
        format!(
            "create temp table {KEPT} on commit drop as\n  \
               select {own} from {staging} s join {STAGED} f on {same} where f.stays;\n\
             delete from {staging} s using {STAGED} f where {same};\n\
             insert into {staging} ({names}) select {names} from {KEPT}",
            own = columns("s."),
            names = columns(""),
        )
    }

    /// The statement that removes the entries of the quarantine.
    #[must_use]
    pub fn remove_entries(&self) -> String {
        format!("delete from milepost.quarantine q using {ENTRIES} e where q.id = e.id")
    }

    /// The statement that has the control rows forget the values of the keys' rows. What the connector and the sink wrote
    /// beside them stays, and is what a topic is recognised by from then on: a column that only one side states says nothing
    /// ([`crate::staging::generation`]), so the row may be there with its values, when it is delivered again, or without.
    #[must_use]
    pub fn forget(&self) -> String {
        let names = self.own_names();
        let own = |row: &str| {
            format!(
                "(select coalesce(jsonb_object_agg(e.key, e.value), '{{}}') from jsonb_each({row}) e where e.key = any({names}))"
            )
        };
        format!(
            "update milepost.positions p\n   \
                set watermark_row = case when e.at_watermark then p.watermark_row - '{{key,image,staged}}'::text[]\n           \
                      || case when jsonb_typeof(p.watermark_row -> 'staged') = 'object'\n                \
                              then jsonb_build_object('staged', {staged}) else '{{}}' end\n         \
                    else p.watermark_row end,\n       \
                    lowest_row = case when e.at_lowest and jsonb_typeof(p.lowest_row) = 'object' then {lowest} else p.lowest_row end\n  \
               from {POSITIONS} e\n \
              where p.platform = $1 and p.store = $2 and p.dataset = $3 and p.topic = e.topic and p.partition = e.part",
            staged = own("p.watermark_row -> 'staged'"),
            lowest = own("p.lowest_row"),
        )
    }
}

/// A row of nulls is no key.
fn none_is_false(condition: &str) -> String {
    format!("coalesce({condition}, false)")
}
