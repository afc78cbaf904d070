//! Names in Kubernetes: a label of RFC 1123 has at most 63 bytes of `[a-z0-9-]` and begins and ends with a letter or digit;
//! a Secret's name is a subdomain, labels with dots between them, at most 253 bytes.

use super::shorten;

/// The longest label.
const MAX_LABEL_BYTES: usize = 63;
/// The longest subdomain.
const MAX_SUBDOMAIN_BYTES: usize = 253;
/// What Airflow appends to a pod's name: a dash and eight characters.
const POD_SUFFIX_BYTES: usize = 9;

/// The name of a stream's pods; Airflow appends a random part.
#[must_use]
pub fn pod(platform: &str, store: &str, dataset: Option<&str>) -> String {
    let parts: Vec<&str> = [platform, store].into_iter().chain(dataset).collect();
    label(&parts, MAX_LABEL_BYTES - POD_SUFFIX_BYTES)
}

/// The value of a label: an object's name in the model.
#[must_use]
pub fn label_value(name: &str) -> String {
    label(&[name], MAX_LABEL_BYTES)
}

/// The value of the label that names a stream.
#[must_use]
pub fn stream_label(store: &str, dataset: Option<&str>) -> String {
    let parts: Vec<&str> = std::iter::once(store).chain(dataset).collect();
    label(&parts, MAX_LABEL_BYTES)
}

/// The environment variable of one key of a Secret: the credential's name in upper case, `-` to `_`, with the suffix.
#[must_use]
pub fn variable(credential: &str, suffix: &str) -> String {
    format!(
        "{}{suffix}",
        credential.to_ascii_uppercase().replace('-', "_")
    )
}

/// Is this a name that a Secret can have?
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    name.len() <= MAX_SUBDOMAIN_BYTES && name.split('.').all(is_label)
}

/// Is this a label of RFC 1123, the law for a namespace?
#[must_use]
pub fn is_label(name: &str) -> bool {
    let edge =
        |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    bytes.len() <= MAX_LABEL_BYTES
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|&b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The parts as one label; a part that leaves nothing legal becomes `x`.
fn label(parts: &[&str], max_bytes: usize) -> String {
    let name = parts
        .iter()
        .map(|part| super::fold(part).replace('_', "-"))
        .collect::<Vec<_>>()
        .join("-");
    let trimmed = name.trim_matches('-');
    let name = if trimmed.is_empty() { "x" } else { trimmed };
    shorten(name.to_owned(), max_bytes).replace('_', "-")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::own_name;
    use super::*;

    proptest! {
        #[test]
        fn pods_and_labels_are_labels(platform in own_name(), store in own_name(), dataset in ".{0,80}") {
            let pod = pod(&platform, &store, Some(&dataset));
            prop_assert!(is_label(&pod) && pod.len() + POD_SUFFIX_BYTES <= 63, "{}", pod);
            prop_assert!(is_label(&label_value(&dataset)));
            prop_assert!(is_label(&stream_label(&store, Some(&dataset))));
        }
    }

    #[test]
    fn the_law_of_a_secret() {
        assert!(is_secret_name("shop-reader"));
        for name in ["", "-a", "a-", "A", "a_b", "a..b", &"a".repeat(254)] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn variables_are_those_of_the_contract() {
        assert_eq!(variable("shop-reader", "_USER"), "SHOP_READER_USER");
    }
}
