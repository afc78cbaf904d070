//! Names of what Milepost needs in the source's own database: a table of signals and a table for heartbeats.
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
            let (signals, heartbeat) = (signal_table(&one.0, &one.1), heartbeat_table(&one.0, &one.1));
            for table in [&signals, &heartbeat] {
                let name = table.name.as_str();
                prop_assert!((1..=63).contains(&name.len()), "{}", name);
                prop_assert!(name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')));
            }
            prop_assert_ne!(&signals, &heartbeat);
            prop_assume!(one != other);
            prop_assert_ne!(signals, signal_table(&other.0, &other.1));
            prop_assert_ne!(heartbeat, heartbeat_table(&other.0, &other.1));
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
}
