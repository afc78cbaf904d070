//! What lint knows of other crates is still true, and its documentation is that of its rules.

use std::path::Path;

use milepost_dsl::rules::{About, RESERVED, RESERVED_PREFIX, RULES, to_markdown};
use milepost_dsl::scalar::DataType;
use milepost_dsl::spec::SourceKind;
use milepost_job_spec::{SourcePosition, milestone};
use milepost_platform::type_mapping::map;

const HEAD: &str = "# Rules\n\nWhat `milepost lint` looks for. This page is made of the rules themselves: \
    `MILEPOST_BLESS=1 cargo test -p acceptance --test lint` writes it anew. `tests/lint` has bad models \
    for each rule, and what is said about them.\n\nErrors stop a model; warnings and infos do not. Rules \
    that look for what is missing are silent while an error stands.\n\n";

#[test]
fn the_documentation_of_rules_is_that_of_the_rules() {
    let language = RULES.iter().map(|rule| rule.about());
    let platform = milepost_platform::kubernetes_postgres::RULES
        .iter()
        .map(|rule| rule.about());
    let rules: Vec<&About> = language.chain(platform).collect();
    let expected = format!("{HEAD}{}", to_markdown(&rules));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    if std::env::var_os("MILEPOST_BLESS").is_some() {
        std::fs::write(&path, &expected).expect("docs/rules.md can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/rules.md is not what the rules say; run with MILEPOST_BLESS=1"
    );
}

#[test]
fn lint_keeps_the_names_that_tables_need() {
    assert_eq!(
        RESERVED,
        [
            milestone::IN,
            milestone::OUT,
            milestone::SOURCE_TS,
            milestone::OP
        ]
    );
    for column in SourcePosition::ALL
        .into_iter()
        .flat_map(SourcePosition::staging_columns)
    {
        assert!(column.name.starts_with(RESERVED_PREFIX), "{column:?}");
    }
}

/// Of each kind of source but Postgres, whose types are the language's, a section says what to write for a type.
#[test]
fn the_types_that_the_documentation_tells_are_carried() {
    let text = include_str!("../../docs/language.md");
    let mut told = Vec::new();
    for section in text.split("\n### Types of ").skip(1) {
        let (title, rest) = section.split_once('\n').expect("a line below the heading");
        let named = |kind: &&SourceKind| title.split(" and ").any(|name| name == kind.title());
        for &kind in SourceKind::ALL.iter().filter(named) {
            told.push(kind);
            let table = rest.lines().filter(|line| line.starts_with("| `"));
            for row in table {
                let write = row.split('|').nth(2).expect("a second column");
                for word in write.split('`').skip(1).step_by(2) {
                    let data_type: DataType = word.parse().expect("a type");
                    assert!(map(kind, &data_type).is_ok(), "{kind}: {row}");
                }
            }
        }
    }
    let others: Vec<SourceKind> = SourceKind::ALL
        .iter()
        .copied()
        .filter(|kind| *kind != SourceKind::Postgres)
        .collect();
    assert_eq!(told, others);
}
