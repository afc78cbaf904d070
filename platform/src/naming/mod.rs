//! Physical names: each submodule makes the names of one world and states that world's law.
//!
//! A name is made here once and travels as data; nobody downstream formats, trims or lower-cases it. It is made from the
//! object's own names only, never from its zone or team, nor from what else exists, so that nothing that moves or is added
//! elsewhere renames a table. Two inputs share a name only where the mapping folds characters together; the rule
//! `name-collision` reports those.

pub mod airflow;
pub mod kafka;
pub mod kubernetes;
pub mod postgres;
pub mod source;
pub mod source_table;
pub mod terraform;

use milepost_job_spec::Digest;

/// The number of the naming scheme; it is stored with every table, and no release renames an existing table.
pub const SCHEME: u32 = 1;

/// Bytes that a cut name spends on telling itself from its like: `_` and eight hexadecimal digits.
const SUFFIX_BYTES: usize = 9;

/// What stands between the parts of a name. Our own names have no double dash, so none of their parts holds it.
const SEPARATOR: &str = "__";

/// The longest name of a file, with room for what an editor or a version control system appends.
const MAX_FILE_BYTES: usize = 200;

/// The file of a stream's spec, relative to `platform.json`.
#[must_use]
pub fn stream_file(store: &str, dataset: Option<&str>) -> String {
    let parts: Vec<&str> = std::iter::once(store).chain(dataset).collect();
    format!("streams/{}.json", shorten(join(&parts), MAX_FILE_BYTES))
}

/// `[a-z0-9_]` of a name: kebab to snake, ASCII upper case to lower case, every other character to `_`.
fn fold(name: &str) -> String {
    name.chars()
        .map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => c,
            _ => '_',
        })
        .collect()
}

/// The folded parts with the separator between them, not yet cut.
fn join(parts: &[&str]) -> String {
    let folded: Vec<String> = parts.iter().map(|part| fold(part)).collect();
    folded.join(SEPARATOR)
}

/// The name itself where it fits, else as much of it as leaves room for a hash of the whole name.
///
/// Never cuts inside a character, so a cut name may be a few bytes shorter than the bound.
fn shorten(name: String, max_bytes: usize) -> String {
    if name.len() <= max_bytes {
        return name;
    }
    let end = (0..=max_bytes - SUFFIX_BYTES)
        .rev()
        .find(|&end| name.is_char_boundary(end))
        .unwrap_or_default();
    let hash = Digest::of(name.as_bytes());
    format!("{}_{}", &name[..end], &hash.as_str()[..SUFFIX_BYTES - 1])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A name of ours: `[a-z][a-z0-9]*(-[a-z0-9]+)*`, at most 40 bytes.
    pub(super) fn own_name() -> impl Strategy<Value = String> {
        proptest::collection::vec(0_u8..37, 1..40).prop_map(|picks| {
            let mut name = String::from("n");
            for pick in picks {
                match pick {
                    0..=25 => name.push(char::from(b'a' + pick)),
                    26..=35 => name.push(char::from(b'0' + pick - 26)),
                    _ if name.ends_with('-') => {}
                    _ => name.push('-'),
                }
            }
            name.trim_end_matches('-').to_owned()
        })
    }

    #[test]
    fn a_long_name_is_cut_and_told_apart_by_its_hash() {
        let one = shorten("x".repeat(64), 63);
        let other = shorten("x".repeat(65), 63);
        assert_eq!(one.len(), 63);
        assert!(one.starts_with(&"x".repeat(54)), "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn a_character_is_never_cut() {
        // 54 bytes are kept; the 28th `é` would end at byte 56.
        let name = shorten(format!("x{}", "é".repeat(40)), 63);
        assert_eq!(name.len(), 1 + 2 * 26 + SUFFIX_BYTES);
        assert!(name.starts_with(&format!("x{}_", "é".repeat(26))));
    }

    #[test]
    fn names_fold_as_the_contract_says() {
        assert_eq!(fold("Order-Lines.v2 é"), "order_lines_v2__");
        assert_eq!(join(&["risk-live", "Orders"]), "risk_live__orders");
    }
}
