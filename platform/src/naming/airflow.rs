//! Names in Airflow: ids of DAGs and tasks have at most 250 bytes of `[A-Za-z0-9._-]`, files are Python modules.

use super::{SEPARATOR, fold, shorten};

/// The longest id that Airflow's database holds.
const MAX_ID_BYTES: usize = 250;

/// The task that merges; each DAG of a stream has one.
pub const MERGE_TASK: &str = "merge";

/// The DAG of a stream: `<platform>__<store>`, with `__<dataset>` for a stream of one dataset.
#[must_use]
pub fn dag_id(platform: &str, store: &str, dataset: Option<&str>) -> String {
    let mut id = format!("{platform}{SEPARATOR}{store}");
    if let Some(dataset) = dataset {
        id.push_str(SEPARATOR);
        id.push_str(&fold(dataset));
    }
    shorten(id, MAX_ID_BYTES)
}

/// The file that holds the DAGs of a store, without its ending: a name that Python can import.
#[must_use]
pub fn module(platform: &str, store: &str) -> String {
    super::join(&[platform, store])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::own_name;
    use super::*;

    proptest! {
        #[test]
        fn ids_are_legal_and_tell_streams_apart(
            platform in own_name(),
            store in own_name(),
            dataset in ".{1,300}",
        ) {
            let whole = dag_id(&platform, &store, None);
            let one = dag_id(&platform, &store, Some(&dataset));
            for id in [&whole, &one] {
                prop_assert!(id.len() <= MAX_ID_BYTES);
                prop_assert!(
                    id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
                    "{}", id
                );
            }
            prop_assert_ne!(whole, one);
        }

        #[test]
        fn modules_are_importable(platform in own_name(), store in own_name()) {
            let module = module(&platform, &store);
            prop_assert!(module.starts_with(|c: char| c.is_ascii_lowercase()));
            prop_assert!(module.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        }
    }
}
