//! Laws of this crate that a compiler cannot hold.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests read the sources from files"
)]

use std::fs;
use std::path::Path;

/// Equality of specs is derived, and nothing is left out of them: the comparison of models reads what `Serialize` and
/// the JSON Schema see, so a field that hides from one of them would be a change that nobody has to approve.
fn violations(path: &str, text: &str) -> Vec<String> {
    let forbidden = [
        "PartialEq for",
        "serde(skip",
        "schemars(skip",
        "skip_serializing",
        "serde(flatten",
        "serde(untagged",
    ];
    // A hand-written `PartialEq` in a macro names its type later.
    let flat = text.replace(' ', "");
    forbidden
        .iter()
        .filter(|word| flat.contains(&word.replace(' ', "")))
        .map(|word| format!("{path}: `{word}`"))
        .collect()
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(folder);
    let mut sources: Vec<(String, String)> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            (
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    sources.sort();
    sources
}

#[test]
fn equality_of_specs_is_derived_and_nothing_is_skipped() {
    let mut sources: Vec<_> = ["spec", "scalar", "yaml"]
        .into_iter()
        .flat_map(sources)
        .collect();
    assert!(sources.len() > 15, "the sources are elsewhere");
    let found: Vec<String> = sources
        .drain(..)
        .flat_map(|(path, text)| violations(&path, &text))
        .collect();
    assert_eq!(found, [] as [&str; 0]);
}

#[test]
fn a_hand_written_equality_is_found() {
    assert_eq!(
        violations("a.rs", "impl PartialEq for ColumnSpec {").len(),
        1
    );
    assert_eq!(
        violations("a.rs", "#[serde( skip )] pub owner: u8").len(),
        1
    );
    assert!(violations("a.rs", "#[derive(Debug, PartialEq)]").is_empty());
}

#[test]
fn only_the_span_leaves_equality() {
    let by_hand: Vec<String> = sources(".")
        .into_iter()
        .filter(|(_, text)| text.contains("PartialEq for"))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(by_hand.len(), 1, "{by_hand:?}");
    assert!(by_hand[0].ends_with("spanned.rs"));
}
