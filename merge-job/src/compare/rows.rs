//! Rows of a source beside those of a merge table, typed as the merge types them, as SQL.

use milepost_job_spec::{ColumnSpec, DatasetSpec, TableRef};

use super::digest::hash;
use crate::sql;
use crate::staging::events::typed;

/// Where the rows of the source are put for the dataset at this place: columns `c0`, `c1`, …, as the source prints them.
pub(crate) fn source_table(place: usize) -> TableRef {
    let name = |text: &str| text.parse().expect("a name of ours is an identifier");
    TableRef {
        schema: name("pg_temp"),
        name: name(&format!("mp_source_{place}")),
    }
}

/// The statement that makes that table.
pub(super) fn create(dataset: &DatasetSpec, place: usize) -> String {
    let columns = (0..dataset.columns.len()).map(|column| format!("c{column} text"));
    format!(
        "create temp table {} ({}) on commit drop",
        source_table(place).quoted(),
        sql::list(columns)
    )
}

/// The statement that takes its rows in.
pub(super) fn copy_in(place: usize) -> String {
    format!("copy {} from stdin", source_table(place).quoted())
}

/// Which rows of the merge table are compared.
pub(super) enum Among {
    /// Those for which this is true of `t`.
    Where(String),
    /// Those of the keys of which the values are bound, an array per column.
    Keys,
}

/// How the source's values are cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Casting {
    /// Expecting that each does.
    Trusting,
    /// By functions that give null where one does not.
    Careful,
}

/// The statements that make those functions.
pub(super) fn create_casts(dataset: &DatasetSpec) -> String {
    let function = |(place, column): (usize, &ColumnSpec)| {
        let body = format!(
            "begin return {}; exception when data_exception or check_violation or not_null_violation then return null; end",
            typed("v", column)
        );
        format!(
            "create function {} returns {} language plpgsql stable strict as {}",
            cast(place, "v text"),
            column.merge_type,
            sql::literal(&body)
        )
    };
    let all: Vec<String> = dataset.columns.iter().enumerate().map(function).collect();
    all.join(";\n")
}

fn cast(place: usize, text: &str) -> String {
    format!("pg_temp.mp_read_{place}({text})")
}

/// The query for the rows that differ, `limit` at most: `kind`, `key`, `source_key`, `merged`, `source`.
///
/// Equality is that of the merge, of the stored image. A row of the source is unfit where a value does not cast or may
/// not be null: the merge sets it aside.
pub(super) fn differences(
    dataset: &DatasetSpec,
    place: usize,
    among: &Among,
    casting: Casting,
    limit: usize,
) -> String {
    let columns: Vec<(usize, &ColumnSpec)> = dataset.columns.iter().enumerate().collect();
    let key: Vec<usize> = dataset
        .key
        .iter()
        .filter_map(|name| dataset.columns.iter().position(|own| own.name == *name))
        .collect();
    let value = |&(place, column): &(usize, &ColumnSpec)| match casting {
        Casting::Trusting => typed(&format!("c{place}"), column),
        Casting::Careful => cast(place, &format!("c{place}")),
    };
    let values: Vec<String> = columns
        .iter()
        .map(|own| format!("{} as v{}", value(own), own.0))
        .collect();
    let is_unfit = columns.iter().map(|(place, column)| {
        if column.nullable {
            format!("c{place} is not null and v{place} is null")
        } else {
            format!("v{place} is null")
        }
    });
    let raw: Vec<String> = columns
        .iter()
        .map(|(place, _)| format!("c{place}"))
        .collect();
    let stored: Vec<String> = columns
        .iter()
        .map(|(_, column)| format!("t.{}", column.name.quoted()))
        .collect();
    let named = stored
        .iter()
        .enumerate()
        .map(|(place, stored)| format!("{stored} as v{place}"));
    let live = dataset.live_table().quoted();
    let from = match among {
        Among::Where(condition) => format!("{live} t where {condition}"),
        Among::Keys => {
            let names: Vec<String> = (0..key.len()).map(|n| format!("k{n}")).collect();
            let arrays = (1..=key.len()).map(|n| format!("${n}::text[]"));
            let joined = dataset.key_columns().enumerate().map(|(n, column)| {
                format!("t.{} = k.k{n}::{}", column.name.quoted(), column.merge_type)
            });
            format!(
                "unnest({}) k({}) join {live} t on {}",
                sql::list(arrays),
                sql::list(names),
                joined.collect::<Vec<_>>().join(" and ")
            )
        }
    };
    let same_key = key.iter().map(|place| format!("s.v{place} = l.v{place}"));
    let keys_of = |prefix: &str, letter: char| {
        sql::list(
            key.iter()
                .map(|place| format!("{prefix}{letter}{place}::text")),
        )
    };
    let all =
        |prefix: &str| sql::list(columns.iter().map(|(place, _)| format!("{prefix}v{place}")));
    format!(
        "with s as materialized (\n  \
           select *, ({unfit}) as x_unfit from (select *, {hash_of_source} as x_hash, {values} from {source}) s\n\
         ), l as materialized (\n  \
           select {hash_of_live} as x_hash, {named} from {from}\n\
         )\n\
         select case when s.x_unfit then 'unfit' when l.x_hash is null then 'missing' when s.x_hash is null then 'extra' else 'differs' end as kind,\n       \
                case when l.x_hash is null then array[{key_of_source}] else array[{key_of_live}] end as key,\n       \
                case when s.x_hash is not null then array[{source_key}] end as source_key, l.x_hash as merged, s.x_hash as source\n  \
           from s full join l on {same_key}\n \
          where s.x_hash is null or l.x_hash is null or s.x_unfit or not record_image_eq(row({of_source}), row({of_live}))\n \
          limit {limit}",
        unfit = is_unfit.collect::<Vec<_>>().join(" or "),
        hash_of_source = hash(&raw),
        values = values.join(", "),
        source = source_table(place).quoted(),
        hash_of_live = hash(&stored),
        named = sql::list(named),
        key_of_source = keys_of("s.", 'v'),
        key_of_live = keys_of("l.", 'v'),
        source_key = keys_of("s.", 'c'),
        same_key = same_key.collect::<Vec<_>>().join(" and "),
        of_source = all("s."),
        of_live = all("l."),
    )
}
