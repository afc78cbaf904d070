//! Numbers with their nouns, for people.

/// `1 row`, `2 rows`.
pub(crate) fn counted(count: impl Into<i128>, one: &str, many: &str) -> String {
    let count = count.into();
    format!("{count} {}", if count == 1 { one } else { many })
}
