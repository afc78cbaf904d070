//! Names of what Milepost needs in the source's own database: tables of signals, of heartbeats, and of what is captured.
//!
//! They stand in a schema of their own (a database of its own in MySQL and MariaDB), so that nobody's tables are touched and
//! rights are given on one schema. Postgres holds 63 bytes, MySQL 64 characters; the shorter bound serves both. The
//! platform's name is a part: two platforms may read one source, and each has its own signals.

use milepost_job_spec::{MAX_IDENT_BYTES, PgIdent, TableRef};

use super::{join, shorten};

/// The schema of Milepost's tables at the source; the database where a schema is one.
pub const SCHEMA: &str = "milepost";

/// Where the source's owner asks the connector to read a table anew, and where it marks the window in which it does.
#[must_use]
pub fn signal_table(platform: &str, store: &str) -> TableRef {
    table(&[platform, store, "signals"])
}

/// What the connector touches from time to time, so that its position moves on while the captured tables are quiet.
#[must_use]
pub fn heartbeat_table(platform: &str, store: &str) -> TableRef {
    table(&[platform, store, "heartbeat"])
}

/// Which columns of which datasets are captured, and which of them a snapshot has covered.
#[must_use]
pub fn captured_table(platform: &str, store: &str) -> TableRef {
    table(&[platform, store, "captured"])
}

/// The folder of a store's files for the owner of its source, relative to the platform's.
#[must_use]
pub fn folder(store: &str) -> String {
    format!("sources/{store}")
}

/// Can a signal name this schema or table?
///
/// The connector keeps the names of tables that it is still to read as text, and parses them when it starts again: at white
/// space and at a quotation mark in front it fails, for good, and a doubled quotation mark becomes one.
#[must_use]
pub fn can_be_signalled(name: &str) -> bool {
    const QUOTES: [char; 3] = ['"', '\'', '`'];
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    !name.contains(is_blank)
        && !name.starts_with(QUOTES)
        && !["\"\"", "''", "``"].iter().any(|pair| name.contains(pair))
}

fn table(parts: &[&str]) -> TableRef {
    TableRef {
        schema: ident(SCHEMA.to_owned()),
        name: ident(shorten(join(parts), MAX_IDENT_BYTES)),
    }
}

fn ident(name: String) -> PgIdent {
    name.parse()
        .expect("a folded and cut name is 1 to 63 bytes of [a-z0-9_]")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::own_name;
    use super::*;

    proptest! {
        #[test]
        fn tables_are_legal_and_distinct(
            one in (own_name(), own_name()),
            other in (own_name(), own_name()),
        ) {
            let signals = signal_table(&one.0, &one.1);
            let heartbeat = heartbeat_table(&one.0, &one.1);
            let captured = captured_table(&one.0, &one.1);
            for table in [&signals, &heartbeat, &captured] {
                let name = table.name.as_str();
                prop_assert!((1..=63).contains(&name.len()), "{}", name);
                prop_assert!(name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')));
            }
            prop_assert!(signals != heartbeat && heartbeat != captured && signals != captured);
            prop_assume!(one != other);
            prop_assert_ne!(signals, signal_table(&other.0, &other.1));
            prop_assert_ne!(heartbeat, heartbeat_table(&other.0, &other.1));
            prop_assert_ne!(captured, captured_table(&other.0, &other.1));
        }
    }

    #[test]
    fn the_platform_and_the_store_can_be_read_in_the_name() {
        assert_eq!(
            signal_table("main", "shop-eu").to_string(),
            "milepost.main__shop_eu__signals"
        );
        assert_eq!(
            heartbeat_table("main", "shop-eu").to_string(),
            "milepost.main__shop_eu__heartbeat"
        );
    }

    #[test]
    fn names_that_the_connector_would_not_read_back_are_told_apart() {
        for name in [
            "orders",
            "Orders",
            "q\"uo",
            "it's",
            "a\\b",
            "do$1l${x}",
            "\u{fc}ber",
            "select",
        ] {
            assert!(can_be_signalled(name), "{name}");
        }
        for name in [
            "a b",
            "new\nline",
            "trail ",
            "\u{1}",
            "\"lead",
            "'lead",
            "`lead",
            "a''b",
            "a\"\"b",
        ] {
            assert!(!can_be_signalled(name), "{name}");
        }
    }
}
