//! A table that is kept aside: its name, and the comment that says whose it was, until when, and why.

use std::collections::BTreeSet;

use milepost_job_spec::{Digest, MAX_IDENT_BYTES, PgIdent, TableRef};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::session::Session;
use crate::sql;
use crate::tables::mark::PREFIX;

/// An underscore and eight digits of a hash: how a name that is cut stays its own.
const HASH_BYTES: usize = 9;

/// The name under which a table is kept: `shop__customers__until_8`, cut and hashed where that is too long, numbered where
/// somebody has it.
pub(crate) fn name(table: &PgIdent, number: i64, taken: &BTreeSet<String>) -> PgIdent {
    let with = |suffix: &str| format!("{}{suffix}", shortened(table.as_str(), suffix.len()));
    let first = std::iter::once(format!("__until_{number}"));
    let others = (2..).map(|n: u32| format!("__until_{number}_{n}"));
    first
        .chain(others)
        .map(|suffix| with(&suffix))
        .find(|name| !taken.contains(name))
        .and_then(|name| name.parse().ok())
        .expect("a cut name is legal, and one of them is free")
}

fn shortened(name: &str, room: usize) -> String {
    let most = MAX_IDENT_BYTES - room;
    if name.len() <= most {
        return name.to_owned();
    }
    let end = (0..=most - HASH_BYTES)
        .rev()
        .find(|&end| name.is_char_boundary(end))
        .unwrap_or_default();
    let hash = Digest::of(name.as_bytes());
    format!("{}_{}", &name[..end], &hash.as_str()[..HASH_BYTES - 1])
}

/// What the comment of a table says that is kept aside. Whoever looks for tables that nobody uses finds it by `kept`.
#[derive(Debug, Serialize)]
pub(crate) struct Mark<'a> {
    holds: String,
    columns: &'a BTreeSet<String>,
    kept: Kept<'a>,
}

#[derive(Debug, Serialize)]
struct Kept<'a> {
    /// The name that the table had.
    from: &'a TableRef,
    dataset: &'a str,
    batch: i64,
    /// Microseconds since 1970, as batch times are kept in control rows.
    until_us: i64,
    reason: &'a str,
}

impl<'a> Mark<'a> {
    pub(crate) fn new(
        from: &'a TableRef,
        dataset: &'a str,
        columns: &'a BTreeSet<String>,
        (batch, until_us): (i64, i64),
        reason: &'a str,
    ) -> Self {
        Self {
            holds: format!("what {from} held until batch {batch} made it anew"),
            columns,
            kept: Kept {
                from,
                dataset,
                batch,
                until_us,
                reason,
            },
        }
    }

    /// The statement that writes the comment.
    pub(crate) fn comment(&self, table: &TableRef) -> String {
        let json = serde_json::to_string(self).expect("a mark has only text keys");
        format!(
            "comment on table {} is {}",
            table.quoted(),
            sql::literal(&format!("{PREFIX}{json}"))
        )
    }
}

/// The tables that rebuilds kept aside of the one that has this name now; their partitions go with them.
pub(crate) async fn of(session: &Session, merge: &TableRef) -> Result<Vec<TableRef>, Error> {
    #[derive(Deserialize)]
    struct Marked {
        kept: From,
    }
    #[derive(Deserialize)]
    struct From {
        from: TableRef,
    }
    let rows = session
        .query(
            "look for tables that were kept aside",
            "select c.relname::text as name, substr(d.description, length($2) + 1) as mark\n  \
               from pg_class c join pg_namespace n on n.oid = c.relnamespace\n  \
               join pg_description d on d.objoid = c.oid and d.classoid = 'pg_class'::regclass and d.objsubid = 0\n \
              where n.nspname = $1 and c.relkind in ('r', 'p') and starts_with(d.description, $2)\n \
              order by c.relname",
            &[
                (&merge.schema.as_str(), Type::TEXT),
                (&PREFIX, Type::TEXT),
            ],
        )
        .await?;
    let kept = rows.iter().filter(|row| {
        let mark: Result<Marked, _> = serde_json::from_str(row.get("mark"));
        mark.is_ok_and(|marked| marked.kept.from == *merge)
    });
    Ok(kept
        .filter_map(|row| {
            Some(TableRef {
                schema: merge.schema.clone(),
                name: row.get::<_, &str>("name").parse().ok()?,
            })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(table: &str, number: i64, taken: &[&str]) -> String {
        let taken = taken.iter().map(|&name| name.to_owned()).collect();
        name(&table.parse().expect("a legal name"), number, &taken).to_string()
    }

    #[test]
    fn a_kept_table_says_what_it_was_and_until_which_batch() {
        assert_eq!(kept("shop__customers", 8, &[]), "shop__customers__until_8");
        assert_eq!(
            kept("shop__customers", 8, &["shop__customers__until_8"]),
            "shop__customers__until_8_2"
        );
    }

    #[test]
    fn a_long_name_is_cut_and_stays_its_own() {
        let long = "é".repeat(31);
        let (one, other) = (kept(&long, 7, &[]), kept(&format!("{long}x"), 7, &[]));
        assert!(one.len() <= MAX_IDENT_BYTES && other.len() <= MAX_IDENT_BYTES);
        assert!(one.ends_with("__until_7"), "{one}");
        assert_ne!(one, other);
        assert!(kept(&long, i64::MAX, &[]).len() <= MAX_IDENT_BYTES);
    }
}
