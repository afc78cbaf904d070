//! Names in Postgres: at most 63 bytes, unique in the database (schemas, roles) or in their schema (tables, views).

use milepost_dsl::scalar::ColumnName;
use milepost_job_spec::{CONTROL_SCHEMA, Digest, MAX_IDENT_BYTES, PgIdent, TableRef};

use super::{SEPARATOR, fold, join, shorten};

/// Schemas and roles that are not ours to make, or that every database has.
const RESERVED: [&str; 6] = [
    CONTROL_SCHEMA,
    "public",
    "information_schema",
    "none",
    "postgres",
    "current_user",
];

/// The schema of a platform's merge tables.
#[must_use]
pub fn merge_schema(platform: &str) -> PgIdent {
    ident(fold(platform))
}

/// The schema that connectors write to.
#[must_use]
pub fn staging_schema(platform: &str) -> PgIdent {
    ident(format!("{}_staging", fold(platform)))
}

/// Where events of a dataset arrive.
#[must_use]
pub fn staging_table(platform: &str, store: &str, dataset: &str) -> TableRef {
    TableRef {
        schema: staging_schema(platform),
        name: ident(join(&[store, dataset])),
    }
}

/// Where END events of a store's transactions arrive.
#[must_use]
pub fn control_table(platform: &str, store: &str) -> TableRef {
    TableRef {
        schema: staging_schema(platform),
        name: ident(join(&[store, "control"])),
    }
}

/// Where rows of a dataset are merged.
#[must_use]
pub fn merge_table(platform: &str, store: &str, dataset: &str) -> TableRef {
    in_merge_schema(platform, join(&[store, dataset]))
}

/// The partition of live rows of a milestoned table.
#[must_use]
pub fn live_partition(platform: &str, store: &str, dataset: &str) -> TableRef {
    in_merge_schema(platform, join(&[store, dataset, "live"]))
}

/// The partition of closed rows of a milestoned table.
#[must_use]
pub fn closed_partition(platform: &str, store: &str, dataset: &str) -> TableRef {
    in_merge_schema(platform, join(&[store, dataset, "closed"]))
}

/// The schema of a workspace, and the role that may read it.
#[must_use]
pub fn workspace(name: &str) -> PgIdent {
    ident(fold(name))
}

/// What a dataset's tables and views would be called if names had no bound.
#[must_use]
pub fn full_name(store: &str, dataset: &str) -> String {
    join(&[store, dataset])
}

/// A workspace's view of the live rows of a dataset.
#[must_use]
pub fn live_view(store: &str, dataset: &str) -> PgIdent {
    ident(join(&[store, dataset]))
}

/// A workspace's view of all versions of a dataset.
#[must_use]
pub fn history_view(store: &str, dataset: &str) -> PgIdent {
    ident(join(&[store, dataset, "history"]))
}

/// A workspace's function of the rows of a dataset as of a moment.
#[must_use]
pub fn as_of_function(store: &str, dataset: &str) -> PgIdent {
    ident(join(&[store, dataset, "as_of"]))
}

/// A column: the source's own name as it is, cut only where Postgres would cut it.
#[must_use]
pub fn column(name: &ColumnName) -> PgIdent {
    shorten(name.to_string(), MAX_IDENT_BYTES)
        .parse()
        .expect("a column's name is not empty and holds no NUL")
}

/// Why this schema or role cannot be made, if it cannot.
#[must_use]
pub fn reserved(name: &PgIdent) -> Option<&'static str> {
    let name = name.as_str();
    if name.starts_with("pg_") {
        Some("Postgres keeps names that begin with `pg_` for itself")
    } else if name == CONTROL_SCHEMA {
        Some("it is the schema of Milepost's control tables")
    } else if RESERVED.contains(&name) {
        Some("Postgres has a schema or role of that name already")
    } else {
        None
    }
}

/// A column in staging: as [`column()`], but without the quotation mark that the sink does not know to double in a name.
#[must_use]
pub fn staged_column(name: &ColumnName) -> PgIdent {
    if !name.as_str().contains('"') {
        return column(name);
    }
    let hash = Digest::of(name.as_str().as_bytes());
    ident(format!("{}_{}", fold(name.as_str()), &hash.as_str()[..8]))
}

fn in_merge_schema(platform: &str, name: String) -> TableRef {
    TableRef {
        schema: merge_schema(platform),
        name: ident(name),
    }
}

/// Cuts a folded name to what Postgres takes.
fn ident(name: String) -> PgIdent {
    let name = if name.is_empty() {
        SEPARATOR.to_owned()
    } else {
        name
    };
    shorten(name, MAX_IDENT_BYTES)
        .parse()
        .expect("a folded and cut name is 1 to 63 bytes of [a-z0-9_]")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::own_name;
    use super::*;

    fn legal(name: &PgIdent) -> bool {
        let name = name.as_str();
        !name.is_empty()
            && name.len() <= 63
            && name
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    }

    proptest! {
        #[test]
        fn every_name_is_legal(platform in own_name(), store in own_name(), dataset in ".{0,80}") {
            let tables = [
                staging_table(&platform, &store, &dataset),
                control_table(&platform, &store),
                merge_table(&platform, &store, &dataset),
                live_partition(&platform, &store, &dataset),
                closed_partition(&platform, &store, &dataset),
            ];
            for table in &tables {
                prop_assert!(legal(&table.schema) && legal(&table.name), "{table}");
            }
            for name in [
                live_view(&store, &dataset),
                history_view(&store, &dataset),
                as_of_function(&store, &dataset),
                workspace(&store),
            ] {
                prop_assert!(legal(&name), "{name}");
            }
        }

        #[test]
        fn the_tables_of_a_dataset_are_distinct(platform in own_name(), store in own_name(), dataset in ".{1,80}") {
            let merge = [
                merge_table(&platform, &store, &dataset),
                live_partition(&platform, &store, &dataset),
                closed_partition(&platform, &store, &dataset),
            ];
            prop_assert!(merge[0] != merge[1] && merge[1] != merge[2] && merge[0] != merge[2]);
            prop_assert_ne!(staging_schema(&platform), merge_schema(&platform));
        }

        /// Only folding makes two datasets share a table: kebab to snake is undone by `_` to `-`.
        #[test]
        fn different_stores_and_datasets_have_different_tables(
            platform in own_name(),
            one in (own_name(), own_name()),
            other in (own_name(), own_name()),
        ) {
            prop_assume!(one != other);
            prop_assert_ne!(
                merge_table(&platform, &one.0, &one.1),
                merge_table(&platform, &other.0, &other.1)
            );
        }

        #[test]
        fn a_column_keeps_its_name_up_to_63_bytes(name in "[^\u{0}]{1,80}") {
            let column = column(&name.parse().unwrap());
            if name.len() <= 63 {
                prop_assert_eq!(column.as_str(), name);
            } else {
                prop_assert!(column.as_str().len() <= 63);
            }
        }
    }

    #[test]
    fn the_names_of_the_contract() {
        assert_eq!(
            merge_table("main", "shop", "customers").to_string(),
            "main.shop__customers"
        );
        assert_eq!(
            staging_table("main", "web-shop", "Order Lines").to_string(),
            "main_staging.web_shop__order_lines"
        );
        assert_eq!(
            control_table("main", "shop").to_string(),
            "main_staging.shop__control"
        );
        assert_eq!(
            live_partition("main", "shop", "customers").name.as_str(),
            "shop__customers__live"
        );
        assert_eq!(
            as_of_function("shop", "customers").as_str(),
            "shop__customers__as_of"
        );
        assert_eq!(workspace("risk-live").as_str(), "risk_live");
    }

    /// Naming scheme 1: what stands here never changes, or tables that exist would be renamed.
    #[test]
    fn a_cut_name_is_stable() {
        let dataset = "a-dataset-with-a-name-that-no-table-of-postgres-can-hold-in-full";
        assert_eq!(
            merge_table("main", "shop", dataset).name.as_str(),
            "shop__a_dataset_with_a_name_that_no_table_of_postgres__dfc92e4a"
        );
    }

    #[test]
    fn reserved_schemas_are_refused() {
        for name in ["milepost", "public", "pg-toast", "information-schema"] {
            assert!(reserved(&workspace(name)).is_some(), "{name}");
        }
        assert!(reserved(&workspace("risk")).is_none());
    }

    #[test]
    fn a_column_is_staged_under_its_name_or_one_without_quotation_marks() {
        let staged = |name: &str| staged_column(&name.parse().unwrap()).to_string();
        assert_eq!(staged("Größe, $1"), "Größe, $1");
        assert_eq!(staged("the \"key\""), "the__key__d826608d");
        assert_ne!(staged("the \"key\""), staged("the 'key\""));
    }
}
