//! A table at the source: whether an image can be read from it, and how.

use milepost_job_spec::{ColumnSpec, DatasetSpec, TableRef};
use tokio_postgres::Row;

use crate::sql;

/// The query for what the source knows of the wanted columns. One element each: `$1` place of the dataset, `$2` schema,
/// `$3` table, `$4` column. Returns a row per element, in order.
pub(super) const LOOK_UP: &str = "
select w.place, c.relkind::text as kind, has_schema_privilege(n.oid, 'usage') as may_use, has_table_privilege(c.oid, 'select') as may_read,
       row_security_active(c.oid) as is_filtered, b.name as type
  from unnest($1::integer[], $2::text[], $3::text[], $4::text[]) with ordinality as w(place, schema, name, col, n)
  left join pg_namespace n on n.nspname = w.schema
  left join pg_class c on c.relnamespace = n.oid and c.relname = w.name
  left join pg_attribute a on a.attrelid = c.oid and a.attname = w.col and a.attnum > 0 and not a.attisdropped
  left join lateral (
       with recursive t(base, name) as (
         select typbasetype, typname from pg_type where oid = a.atttypid
         union all select p.typbasetype, p.typname from t join pg_type p on p.oid = t.base)
       select name::text from t where base = 0) b on true
 order by w.n";

/// What is wrong with a table, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Said of the source: `has no table …`.
    pub(super) what: String,
    pub(super) remedy: String,
}

/// A column as the source has it.
pub(super) struct Found {
    place: usize,
    /// `r` table, `p` partitioned table, `v` view, …; none where there is nothing of the name.
    kind: Option<String>,
    may_use: bool,
    may_read: bool,
    is_filtered: bool,
    /// The name of its type, below all domains; none where the table has no such column.
    data_type: Option<String>,
}

impl Found {
    pub(super) fn read(row: &Row) -> Self {
        let flag = |column: &str| row.get::<_, Option<bool>>(column).unwrap_or(false);
        Self {
            place: usize::try_from(row.get::<_, i32>("place")).unwrap_or(0),
            kind: row.get("kind"),
            may_use: flag("may_use"),
            may_read: flag("may_read"),
            is_filtered: flag("is_filtered"),
            data_type: row.get("type"),
        }
    }
}

/// The source's table of a dataset.
pub(super) fn of(dataset: &DatasetSpec) -> &TableRef {
    dataset
        .source_table
        .as_ref()
        .expect("a dataset that can be read names its table: `StreamSpec::from_json` checks it")
}

/// Everything that stands against images of these datasets; `found` is what [`LOOK_UP`] gave, a row per column.
pub(super) fn problems(datasets: &[DatasetSpec], found: &[Found]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (place, dataset) in datasets.iter().enumerate() {
        let own: Vec<&Found> = found.iter().filter(|found| found.place == place).collect();
        let Some(first) = own.first() else { continue };
        let columns = dataset.columns.iter().zip(own.iter().copied());
        match of_table(dataset, first) {
            Some(problem) => problems.push(problem),
            None => problems.extend(
                columns
                    .filter(|(_, found)| found.data_type.is_none())
                    .map(|(column, _)| of_column(dataset, column)),
            ),
        }
    }
    problems
}

fn of_table(dataset: &DatasetSpec, found: &Found) -> Option<Problem> {
    let table = of(dataset);
    let quoted = table.quoted();
    let problem = |what: String, remedy: String| Some(Problem { what, remedy });
    let kind = match found.kind.as_deref() {
        None => {
            return problem(
                format!(
                    "has no table `{table}`, which dataset `{}` is read from",
                    dataset.name
                ),
                "make the table, or correct `from` of the dataset and publish the plan".to_owned(),
            );
        }
        Some(kind) => kind,
    };
    let other = match kind {
        "r" | "p" | "v" => None,
        "m" => Some("a materialized view"),
        "f" => Some("a foreign table"),
        _ => Some("no table"),
    };
    if let Some(other) = other {
        return problem(
            format!("has `{table}` as {other}: its rows cannot be held still while they are read"),
            "name a table or a view in `from` of the dataset and publish the plan".to_owned(),
        );
    }
    if !found.may_use || !found.may_read {
        return problem(
            format!("does not let its reader read `{table}`"),
            format!(
                "there, for the role of the store's credential: `grant usage on schema {} to …; grant select on {quoted} to …`",
                table.schema.quoted()
            ),
        );
    }
    if found.is_filtered {
        return problem(
            format!(
                "hides rows of `{table}` from its reader by row-level security: they would pass for deleted ones"
            ),
            "there: `alter role … bypassrls` for the role of the store's credential, or read a view whose owner sees all rows"
                .to_owned(),
        );
    }
    None
}

fn of_column(dataset: &DatasetSpec, column: &ColumnSpec) -> Problem {
    Problem {
        what: format!("has no column `{}` in `{}`", column.staged_as, of(dataset)),
        remedy: format!(
            "add the column there, or take it out of dataset `{}` and publish the plan",
            dataset.name
        ),
    }
}

/// The values of a dataset's row `t`, each as the source prints it.
///
/// What is printed by the source's locale, or in the way of an extension, is asked for in the form in which the merge type
/// takes it.
pub(super) fn values(dataset: &DatasetSpec, place: usize, found: &[Found]) -> Vec<String> {
    let own = found.iter().filter(|found| found.place == place);
    let value = |(column, found): (&ColumnSpec, &Found)| {
        let name = column.staged_as.quoted();
        let cast = match found.data_type.as_deref() {
            Some("money") if column.merge_type.starts_with("numeric") => "::numeric",
            Some("hstore") if column.merge_type.starts_with("json") => "::json",
            _ => "",
        };
        format!("t.{name}{cast}")
    };
    dataset.columns.iter().zip(own).map(value).collect()
}

/// Can the source read the keys of a merge table, as that prints them?
pub(super) fn reads_keys(dataset: &DatasetSpec, place: usize, found: &[Found]) -> bool {
    let own = found.iter().filter(|found| found.place == place);
    let mut keys = dataset
        .columns
        .iter()
        .zip(own)
        .filter(|(column, _)| dataset.key.contains(&column.name));
    keys.all(|(column, found)| reads(found.data_type.as_deref(), &column.merge_type))
}

/// Is every text of the merge type one of the source's type? Types of the source by their name in the catalog.
fn reads(data_type: Option<&str>, merge_type: &str) -> bool {
    let base = merge_type.split('(').next().unwrap_or_default().trim();
    match data_type {
        Some("text" | "varchar" | "bpchar" | "name") => true,
        Some("int8") => matches!(base, "bigint" | "integer" | "smallint"),
        Some("int4") => matches!(base, "integer" | "smallint"),
        Some("int2") => base == "smallint",
        Some("numeric") => matches!(base, "numeric" | "bigint" | "integer" | "smallint"),
        Some("uuid" | "date" | "bytea") => data_type == Some(base),
        Some("bool") => base == "boolean",
        Some("timestamp" | "timestamptz") => base.starts_with("timestamp"),
        _ => false,
    }
}

/// The statement that sends a dataset's rows, those `t` of which the condition is true.
pub(super) fn copy_out(
    dataset: &DatasetSpec,
    place: usize,
    found: &[Found],
    condition: &str,
) -> String {
    format!(
        "copy (select {} from {} t where {condition}) to stdout",
        sql::list(values(dataset, place, found)),
        of(dataset).quoted()
    )
}

#[cfg(test)]
pub(super) mod tests {
    use milepost_job_spec::StreamSpec;
    use test_case::test_case;

    use super::*;

    /// A dataset whose names need quotes.
    pub(crate) fn dataset() -> DatasetSpec {
        let column = |name: &str, merge_type: &str| {
            format!(
                r#"{{"name": {name:?}, "staged_as": {name:?}, "merge_type": {merge_type:?}, "staging_type": "text", "nullable": {}}}"#,
                name != "Id"
            )
        };
        let text = format!(
            r#"{{
            "version": 2, "stream": {{"platform": "main", "store": "shop", "dataset": "lines"}}, "source": "postgres",
            "input": {{"image": {{"kind": "postgres", "host": "h", "port": 5432, "database": "d", "user_variable": "U", "password_variable": "P"}}}},
            "datasets": [{{
                "name": "lines", "source_name": "public.odd \"lines\"", "naming": 1,
                "staging": {{"schema": "main_staging", "name": "shop__lines"}}, "merge": {{"schema": "main", "name": "shop__lines"}},
                "source_table": {{"schema": "public", "name": "odd \"lines\""}},
                "strategy": "live-only", "key": ["Id"], "columns": [{}, {}, {}]
            }}],
            "limits": {{"max_rows": 1000, "max_quarantined": 10, "incomplete_transaction_seconds": 900}}
        }}"#,
            column("Id", "bigint"),
            column("it's \"odd\"", "jsonb"),
            column("sum", "numeric")
        );
        StreamSpec::from_json(&text)
            .expect("the spec is well formed")
            .datasets
            .remove(0)
    }

    fn found(data_type: Option<&str>) -> Found {
        Found {
            place: 0,
            kind: Some("r".to_owned()),
            may_use: true,
            may_read: true,
            is_filtered: false,
            data_type: data_type.map(str::to_owned),
        }
    }

    fn all(change: impl Fn(&mut Found)) -> Vec<Found> {
        let mut all = vec![
            found(Some("int8")),
            found(Some("hstore")),
            found(Some("money")),
        ];
        all.iter_mut().for_each(change);
        all
    }

    #[test]
    fn what_the_source_prints_in_its_own_way_is_asked_for_in_ours() {
        assert_eq!(
            copy_out(&dataset(), 0, &all(|_| {}), "true"),
            r#"copy (select t."Id", t."it's ""odd"""::json, t."sum"::numeric from "public"."odd ""lines""" t where true) to stdout"#
        );
    }

    #[test]
    fn another_type_is_sent_as_it_is_printed() {
        let mut dataset = dataset();
        for column in &mut dataset.columns {
            "text".clone_into(&mut column.merge_type);
        }
        assert!(!copy_out(&dataset, 0, &all(|_| {}), "true").contains("::"));
    }

    #[test_case(|own| own.kind = None => "has no table `public.odd \"lines\"`, which dataset `lines` is read from"; "missing")]
    #[test_case(|own| own.kind = Some("f".to_owned()) => "has `public.odd \"lines\"` as a foreign table: its rows cannot be held still while they are read"; "foreign")]
    #[test_case(|own| own.may_use = false => "does not let its reader read `public.odd \"lines\"`"; "no schema")]
    #[test_case(|own| own.may_read = false => "does not let its reader read `public.odd \"lines\"`"; "no rows")]
    #[test_case(|own| own.is_filtered = true => "hides rows of `public.odd \"lines\"` from its reader by row-level security: they would pass for deleted ones"; "some rows")]
    fn a_table_has_one_problem_at_a_time(change: fn(&mut Found)) -> String {
        let mut problems = problems(&[dataset()], &all(change));
        assert_eq!(problems.len(), 1);
        problems.remove(0).what
    }

    #[test]
    fn every_missing_column_is_a_problem() {
        let none = all(|own| own.data_type = None);
        assert_eq!(problems(&[dataset()], &none).len(), 3);
        assert_eq!(problems(&[dataset()], &all(|_| {})), []);
    }
}
