//! Does every value that is there stay what it is?
//!
//! A value stays if casting it there and back gives the same image. What control rows keep of it must be found by the new
//! value as by the old: keys as `jsonb`, and in staging, where a topic is recognised by them, as text.

use milepost_job_spec::{TableRef, milestone};

use crate::error::Error;
use crate::rebuild::found;
use crate::session::Session;
use crate::sql;
use crate::tables::{Conversion, Kept, Refusal, Retype};

use super::plan::Plan;

/// The settings of a transaction that casts: those of a batch, or a value would be checked by other rules than it is cast
/// by. Names of types are looked up as they were when the tables were made.
pub(super) fn settings() -> String {
    format!(
        "{}; set local search_path to default",
        crate::batch::SETTINGS
    )
}

/// What was found of a column.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The column and its types.
    pub retype: Retype,
    /// Rows of its table, counted.
    pub rows: i64,
    /// Bytes of its table with indexes and large values.
    pub bytes: i64,
    /// What its values are.
    pub values: Values,
}

/// What the values of a column are to its new type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// Each stays what it is.
    Survive,
    /// In so many rows it would be another one.
    Lost(i64),
    /// In so many rows it would not be found by what the control rows keep of it.
    NotFound(i64),
    /// What control rows keep of it would be of another kind.
    AnotherKind,
    /// At least one does not cast: the server's SQLSTATE.
    Refused(String),
}

impl Checked {
    /// What stands against the cast, for people; never a value.
    #[must_use]
    pub fn obstacle(&self) -> Option<Refusal> {
        let Retype {
            table,
            column,
            from,
            to,
            ..
        } = &self.retype;
        let keep = format!("give column `{column}` a type of the model that maps to {from} again");
        let anew = format!(
            "{keep}; its values are of the key, by which positions and quarantine entries are found"
        );
        let of = |count: i64| {
            if count == 1 {
                "in 1 row".to_owned()
            } else {
                format!("in {count} rows")
            }
        };
        let (difference, remedy) = match &self.values {
            Values::Survive => return None,
            Values::Lost(count) => (
                format!("{} the value would not be the same after it", of(*count)),
                format!("{keep}, or correct those rows at the source and merge them first"),
            ),
            Values::NotFound(count) => (
                format!(
                    "{} the key would be written otherwise than control rows keep it",
                    of(*count)
                ),
                anew,
            ),
            Values::AnotherKind => (
                "a key of one kind would not be found by one of the other".to_owned(),
                anew,
            ),
            Values::Refused(code) => (
                format!("a value does not cast (SQLSTATE {code})"),
                format!("{keep}, or correct those rows at the source and merge them first"),
            ),
        };
        Some(Refusal {
            object: crate::tables::Object::Table(table.clone()),
            difference: format!("column `{column}` cannot become {to} from {from}: {difference}"),
            remedy,
        })
    }
}

/// Checks every column of a plan, without a lock.
pub(super) async fn plan(session: &Session, plan: &mut Plan) -> Result<(), Error> {
    let begin = format!("begin read only; {}", settings());
    session.script("begin to check values", &begin).await?;
    for own in &plan.datasets {
        for retype in &own.retypes {
            plan.checked.push(column(session, retype).await?);
        }
        if let Some(conversion) = own.conversion {
            let depends = found::what_depends(session, &own.spec).await?;
            plan.refusals.extend(depends);
            let converted = converted(session, &own.spec.merge, conversion).await?;
            plan.converted.push(converted);
        }
    }
    session.script("end checking values", "rollback").await?;
    Ok(())
}

/// What a table has that changes its strategy.
#[derive(Debug, Clone)]
pub struct Converted {
    /// The table.
    pub table: TableRef,
    /// What becomes of it.
    pub conversion: Conversion,
    /// Its live rows, counted: they stay.
    pub live: i64,
    /// Its closed versions: they go.
    pub closed: i64,
}

async fn converted(
    session: &Session,
    table: &TableRef,
    conversion: Conversion,
) -> Result<Converted, Error> {
    let is_live = match conversion {
        Conversion::ToMilestoned => "true".to_owned(),
        Conversion::ToLiveOnly => format!("{} is null", milestone::OUT),
    };
    let sql = format!(
        "select count(*) filter (where {is_live}) as live, count(*) filter (where not ({is_live})) as closed from {}",
        table.quoted()
    );
    let rows = session.query("count what a table has", &sql, &[]).await?;
    let count = |name: &str| rows.first().map_or(0, |row| row.get::<_, i64>(name));
    Ok(Converted {
        table: table.clone(),
        conversion,
        live: count("live"),
        closed: count("closed"),
    })
}

/// Checks one column; the transaction goes on whatever is found.
pub(super) async fn column(session: &Session, retype: &Retype) -> Result<Checked, Error> {
    session
        .script("set a savepoint", "savepoint mp_check")
        .await?;
    let (rows, bytes) = size(session, retype).await?;
    let values = if is_of_one_kind(retype) {
        match values(session, retype).await {
            Err(error) if error.sqlstate().is_some_and(is_of_values) => {
                Values::Refused(error.sqlstate().unwrap_or_default().to_owned())
            }
            values => values?,
        }
    } else {
        Values::AnotherKind
    };
    session
        .script("go back to a savepoint", "rollback to savepoint mp_check")
        .await?;
    Ok(Checked {
        retype: retype.clone(),
        rows,
        bytes,
        values,
    })
}

/// Data exceptions, values that a constraint refuses, and casts or types that there are not.
fn is_of_values(code: &str) -> bool {
    code.starts_with("22") || code.starts_with("23") || matches!(code, "42846" | "42704" | "42804")
}

async fn size(session: &Session, retype: &Retype) -> Result<(i64, i64), Error> {
    let sql = format!(
        "select (select count(*) from {}) as rows,\n       \
                (select coalesce(sum(pg_total_relation_size(t.relid))::bigint, pg_total_relation_size({own})) from pg_partition_tree({own}) t) as bytes",
        retype.table.quoted(),
        own = format_args!("{}::regclass", sql::literal(&retype.table.quoted()))
    );
    let found = session.query("measure a table", &sql, &[]).await?;
    Ok(found
        .first()
        .map_or((0, 0), |row| (row.get("rows"), row.get("bytes"))))
}

async fn values(session: &Session, retype: &Retype) -> Result<Values, Error> {
    let found = session
        .query("check the values of a column", &question(retype), &[])
        .await?;
    let count = |name: &str| found.first().map_or(0, |row| row.get::<_, i64>(name));
    Ok(match (count("lost"), count("other")) {
        (0, 0) => Values::Survive,
        (0, other) => Values::NotFound(other),
        (lost, _) => Values::Lost(lost),
    })
}

/// The statement that counts the rows whose value would not stay.
fn question(retype: &Retype) -> String {
    let Retype {
        table,
        column,
        from,
        to,
        kept,
    } = retype;
    let old = format!("t.{}", column.quoted());
    let other = match kept {
        Kept::Nowhere => "false".to_owned(),
        Kept::AsJson => format!("to_jsonb({old}) is distinct from to_jsonb(v.new)"),
        Kept::AsText => format!("{old}::text is distinct from v.new::text"),
    };
    // `offset 0` keeps the cast from being done thrice.
    format!(
        "select count(*) filter (where record_image_ne(row({old}), row(cast(v.new as {from})))) as lost,\n       \
                count(*) filter (where {other}) as other\n  \
           from {} t cross join lateral (select cast({old} as {to}) as new offset 0) v",
        table.quoted()
    )
}

/// Control rows may keep keys that no row has any more, so what no row speaks against may still be wrong: numbers stay
/// numbers, and texts texts.
fn is_of_one_kind(retype: &Retype) -> bool {
    retype.kept == Kept::Nowhere || kind(&retype.from) == kind(&retype.to)
}

fn kind(data_type: &str) -> &str {
    let name = data_type.split('(').next().unwrap_or_default().trim_end();
    match name {
        "smallint" | "integer" | "bigint" | "numeric" => "number",
        "text" | "character varying" => "text",
        _ if data_type.ends_with("without time zone") => "local time",
        _ if data_type.ends_with("with time zone") => "time",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retype(from: &str, to: &str, kept: Kept) -> Retype {
        Retype {
            table: milepost_job_spec::TableRef {
                schema: "main".parse().expect("a schema"),
                name: "shop__o".parse().expect("a table"),
            },
            column: "it\"s".parse().expect("a column"),
            from: from.to_owned(),
            to: to.to_owned(),
            kept,
        }
    }

    #[test]
    fn a_key_stays_of_its_kind() {
        for (from, to, stays) in [
            ("integer", "bigint", true),
            ("numeric(8,2)", "numeric(9,3)", true),
            ("text", "character varying(5)", true),
            ("text", "integer", false),
            ("character(3)", "text", false),
        ] {
            assert_eq!(
                is_of_one_kind(&retype(from, to, Kept::AsJson)),
                stays,
                "{from} {to}"
            );
            assert!(is_of_one_kind(&retype(from, to, Kept::Nowhere)));
        }
    }
}
