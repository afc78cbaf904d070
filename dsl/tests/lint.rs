//! `tests/lint/<rule>/<case>.yaml`: a bad model per case, and beside it what lint says.
//!
//! A case adds documents to `tests/lint/base.yaml`, in which there is nothing to find; one that begins with
//! `# without base` stands alone. Folders of other rules are those of a platform, and are run with it.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests read their fixtures from files"
)]

use std::fs;
use std::path::{Path, PathBuf};

use milepost_dsl::rules::RULES;
use milepost_dsl::{Severity, Sources, check};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/lint")
}

fn cases(rule: &str) -> Vec<PathBuf> {
    let Ok(folder) = fs::read_dir(root().join(rule)) else {
        return Vec::new();
    };
    let mut cases: Vec<PathBuf> = folder
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    cases.sort();
    cases
}

fn sources(case: &Path) -> Sources {
    let text = fs::read_to_string(case).unwrap();
    let mut sources = Sources::new();
    if !text.starts_with("# without base") {
        sources.add(
            "base.yaml",
            fs::read_to_string(root().join("base.yaml")).unwrap(),
        );
    }
    sources.add("case.yaml", text);
    sources
}

#[test]
fn the_base_of_the_cases_has_no_finding() {
    let text = fs::read_to_string(root().join("base.yaml")).unwrap();
    let sources: Sources = [("base.yaml", text)].into_iter().collect();
    assert_eq!(check(&sources).diagnostics, []);
}

#[test]
fn every_rule_has_a_case_and_says_what_is_expected() {
    for rule in RULES {
        let about = rule.about();
        let cases = cases(about.id.as_str());
        assert!(
            !cases.is_empty(),
            "rule `{}` has no case in tests/lint",
            about.id
        );
        for case in cases {
            let sources = sources(&case);
            let checked = check(&sources);
            let of_rule: Vec<_> = checked
                .diagnostics
                .iter()
                .filter(|found| found.rule == about.id)
                .collect();
            assert!(
                !of_rule.is_empty(),
                "{} finds nothing of its rule",
                case.display()
            );
            assert!(of_rule.iter().all(|found| found.severity == about.severity));
            assert_eq!(
                checked.model.is_none(),
                checked
                    .diagnostics
                    .iter()
                    .any(|found| found.severity == Severity::Error),
                "{}: there is a model if, and only if, there is no error",
                case.display()
            );
            let report: String = checked
                .diagnostics
                .iter()
                .map(|found| found.to_plain(&sources))
                .collect();
            let name = case.file_stem().unwrap().to_str().unwrap();
            insta::with_settings!({
                snapshot_path => case.parent().unwrap(),
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, {
                insta::assert_snapshot!(name, report);
            });
        }
    }
}

#[test]
fn findings_speak_as_the_style_demands() {
    for rule in RULES {
        for case in cases(rule.about().id.as_str()) {
            let found = check(&sources(&case)).diagnostics;
            // What is wrong with YAML is told in the words of its parser.
            for found in found.iter().filter(|found| found.rule.as_str() != "syntax") {
                let message = &found.message;
                assert!(!message.ends_with('.'), "{message}");
                assert!(!message.contains("failed to"), "{message}");
                assert!(!message.contains("invalid"), "{message}");
                assert!(!message.contains('\n'), "{message}");
            }
        }
    }
}
