//! Rows of a source beside those of a merge table, typed as the merge types them, as SQL.

use milepost_job_spec::{ColumnSpec, DatasetSpec, TableRef};

use super::digest::hash;
use crate::sql;
use crate::staging::events::{decimals, typed};

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

/// The statements that drop those functions.
pub(super) fn drop_casts(dataset: &DatasetSpec) -> String {
    let drop = |place| format!("drop function {}", cast(place, "text"));
    let all: Vec<String> = (0..dataset.columns.len()).map(drop).collect();
    all.join("; ")
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

/// Is a text longer than a type of this length takes, or a number finer? Casts cut and round, and merges set the row aside.
fn is_cut(place: usize, merge_type: &str) -> Option<String> {
    if let Some(decimals) = decimals(merge_type) {
        // Digits that are not zero behind those that are kept; a regular expression counts up to 255.
        let decimals = u8::try_from(decimals).ok()?;
        return Some(format!("c{place} ~ '\\.[0-9]{{{decimals}}}[0-9]*[1-9]'"));
    }
    let (base, rest) = merge_type.split_once('(')?;
    let length: u32 = rest.strip_suffix(')')?.parse().ok()?;
    let (text, comparison) = match base {
        "character varying" | "bit varying" => (format!("c{place}"), ">"),
        // Its blanks at the end are none.
        "character" => (format!("rtrim(c{place}, ' ')"), ">"),
        "bit" => (format!("c{place}"), "<>"),
        _ => return None,
    };
    Some(format!("char_length({text}) {comparison} {length}"))
}

/// The query for the rows that differ, `limit` at most: `kind`, `key`, `source_key`, `merged`, `source`.
///
/// Equality is that of the merge, of the stored image. A row of the source is unfit where a value does not cast, is cut, or may
/// not be null, or where another row has its key: no merge would have it so.
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
    let value = |place: usize| match casting {
        Casting::Trusting => typed(&format!("c{place}"), &dataset.columns[place]),
        Casting::Careful => cast(place, &format!("c{place}")),
    };
    let is_unfit = columns.iter().filter_map(|&(place, column)| {
        let mut parts: Vec<String> = is_cut(place, &column.merge_type).into_iter().collect();
        if casting == Casting::Careful {
            parts.push(format!("c{place} is not null and {} is null", value(place)));
        }
        if !column.nullable {
            parts.push(format!("c{place} is null"));
        }
        (!parts.is_empty()).then(|| parts.join(" or "))
    });
    let is_unfit: Vec<String> = is_unfit.chain(["false".to_owned()]).collect();
    let raw: Vec<String> = columns
        .iter()
        .map(|(place, _)| format!("c{place}"))
        .collect();
    let stored: Vec<String> = columns
        .iter()
        .map(|(_, column)| format!("t.{}", column.name.quoted()))
        .collect();
    let live = dataset.live_table().quoted();
    let from = match among {
        Among::Where(condition) => format!("{live} t where {condition}"),
        Among::Keys => format!(
            "{} join {live} t on {}",
            bound(&key),
            same_as_bound(dataset)
        ),
    };
    let keys = |each: &dyn Fn(usize) -> String| sql::list(key.iter().map(|&place| each(place)));
    let same_key: Vec<String> = key
        .iter()
        .map(|place| format!("s.v{place} = l.v{place}"))
        .collect();
    let cut_keys = key
        .iter()
        .filter_map(|&place| is_cut(place, &dataset.columns[place].merge_type));
    let cut_keys: Vec<String> = cut_keys.chain(["false".to_owned()]).collect();
    // Values stand in a row of their own: a list of all columns on both sides would be too long for the server.
    format!(
        "with s as materialized (\n  \
           select *, x_bad or count(*) filter (where not ({key_is_cut})) over (partition by {own_key}) > 1 as x_unfit from (\n    \
             select {key_values}, {raw_key}, array[{raw_key}]::text[] as x_key, {hash_of_source} as x_hash, row({values}) as x_row, ({unfit}) as x_bad from {source}) c\n\
         ), l as materialized (\n  \
           select {stored_key}, {hash_of_live} as x_hash, row({stored}) as x_row from {from}\n\
         )\n\
         select case when s.x_unfit then 'unfit' when l.x_hash is null then 'missing' when s.x_hash is null then 'extra' else 'differs' end as kind,\n       \
                case when l.x_hash is null then array[{key_of_source}] else array[{key_of_live}] end as key,\n       \
                s.x_key as source_key, l.x_hash as merged, s.x_hash as source\n  \
           from s full join l on {same_key}\n \
          where s.x_hash is null or l.x_hash is null or s.x_unfit or not record_image_eq(s.x_row, l.x_row)\n \
          limit {limit}",
        key_is_cut = cut_keys.join(" or "),
        own_key = keys(&|place| format!("v{place}")),
        key_values = keys(&|place| format!("{} as v{place}", value(place))),
        raw_key = keys(&|place| format!("c{place}")),
        hash_of_source = hash(&raw),
        values = sql::list((0..columns.len()).map(value)),
        unfit = is_unfit.join(" or "),
        source = source_table(place).quoted(),
        stored_key = keys(&|place| format!("{} as v{place}", stored[place])),
        hash_of_live = hash(&stored),
        stored = sql::list(stored.iter().cloned()),
        key_of_source = keys(&|place| format!("s.v{place}::text")),
        key_of_live = keys(&|place| format!("l.v{place}::text")),
        same_key = same_key.join(" and "),
    )
}

/// The keys that are bound, an array for each column: `k(k0, k1)`.
fn bound(key: &[usize]) -> String {
    format!(
        "unnest({}) k({})",
        sql::list((1..=key.len()).map(|n| format!("${n}::text[]"))),
        sql::list((0..key.len()).map(|n| format!("k{n}")))
    )
}

fn same_as_bound(dataset: &DatasetSpec) -> String {
    let columns = dataset.key_columns().enumerate();
    let same = columns
        .map(|(n, column)| format!("t.{} = k.k{n}::{}", column.name.quoted(), column.merge_type));
    same.collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("character varying(6)" => Some("char_length(c3) > 6".to_owned()))]
    #[test_case("character(6)" => Some("char_length(rtrim(c3, ' ')) > 6".to_owned()))]
    #[test_case("bit(6)" => Some("char_length(c3) <> 6".to_owned()))]
    #[test_case("bit varying(6)" => Some("char_length(c3) > 6".to_owned()))]
    #[test_case("character varying" => None)]
    #[test_case("numeric(6,2)" => Some("c3 ~ '\\.[0-9]{2}[0-9]*[1-9]'".to_owned()))]
    #[test_case("numeric(6)" => Some("c3 ~ '\\.[0-9]{0}[0-9]*[1-9]'".to_owned()))]
    #[test_case("numeric(6,-2)" => None)]
    #[test_case("numeric" => None)]
    #[test_case("timestamp(6) without time zone" => None)]
    fn what_a_cast_cuts_is_told(merge_type: &str) -> Option<String> {
        is_cut(3, merge_type)
    }
}
