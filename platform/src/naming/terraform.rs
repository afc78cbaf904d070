//! Names in Terraform: a resource is called by `[a-z_][a-z0-9_]*`, unique per type in a module.

use super::{fold, join};

/// The resource of a store's source connector.
#[must_use]
pub fn source(store: &str) -> String {
    join(&[store, "source"])
}

/// The resource of a store's sink connector.
#[must_use]
pub fn sink(store: &str) -> String {
    join(&[store, "sink"])
}

/// The resource of a store's control connector.
#[must_use]
pub fn control(store: &str) -> String {
    join(&[store, "control"])
}

/// The file that holds the connectors of a store, without its ending.
#[must_use]
pub fn file(store: &str) -> String {
    format!("store_{}", fold(store))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::own_name;
    use super::*;

    proptest! {
        #[test]
        fn resources_are_legal_and_distinct(store in own_name()) {
            let names = [source(&store), sink(&store), control(&store)];
            for name in &names {
                prop_assert!(name.starts_with(|c: char| c.is_ascii_lowercase()));
                prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            }
            prop_assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2]);
        }
    }
}
