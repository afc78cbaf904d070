//! `tests/lint/<rule>/<case>.yaml` for rules of a platform: a model per case, and beside it what the platform says.
//!
//! A case adds documents to `tests/lint/base.yaml`; one that begins with `# without base` stands alone. The language has
//! nothing against any of them.

use std::path::{Path, PathBuf};

use milepost_dsl::{Diagnostic, IntentionGraph, Severity, Sources, sort};
use milepost_job_spec::ModelVersion;
use milepost_platform::kubernetes_postgres::RULES;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lint")
}

fn cases(rule: &str) -> Vec<PathBuf> {
    let Ok(folder) = std::fs::read_dir(root().join(rule)) else {
        return Vec::new();
    };
    let mut cases: Vec<PathBuf> = folder
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    cases.sort();
    cases
}

fn sources(case: &Path) -> Sources {
    let read = |path: &Path| std::fs::read_to_string(path).expect("a fixture");
    let text = read(case);
    let mut sources = Sources::new();
    if !text.starts_with("# without base") {
        sources.add("base.yaml", read(&root().join("base.yaml")));
    }
    sources.add("case.yaml", text);
    sources
}

/// What the platforms of a model say; a platform that says an error has no plan, any other has one.
fn findings(sources: &Sources) -> Vec<Diagnostic> {
    let checked = milepost_dsl::check(sources);
    let plain: Vec<String> = checked
        .diagnostics
        .iter()
        .map(|found| found.to_plain(sources))
        .collect();
    let model = checked
        .model
        .unwrap_or_else(|| panic!("{}", plain.concat()));
    let version = ModelVersion {
        commit: "worktree".to_owned(),
        order: 0,
    };
    let mut findings = Vec::new();
    for (platform, _) in model.platforms.iter() {
        let graph = IntentionGraph::build(&model, platform);
        let planned = milepost_platform::plan(&model, &graph, &version);
        let failed = planned
            .diagnostics
            .iter()
            .any(|found| found.severity == Severity::Error);
        assert_eq!(planned.plan.is_none(), failed);
        findings.extend(planned.diagnostics);
    }
    sort(&mut findings, sources);
    findings
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
            let found = findings(&sources);
            let mut of_rule = found
                .iter()
                .filter(|found| found.rule == about.id)
                .peekable();
            assert!(
                of_rule.peek().is_some(),
                "{} finds nothing of its rule",
                case.display()
            );
            assert!(of_rule.all(|found| found.severity == about.severity));
            let report: String = found.iter().map(|found| found.to_plain(&sources)).collect();
            let name = case
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            insta::with_settings!({
                snapshot_path => case.parent().expect("a folder"),
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, {
                insta::assert_snapshot!(name, report);
            });
        }
    }
}

#[test]
fn rules_of_the_platform_have_other_names_than_those_of_the_language() {
    for rule in RULES {
        let id = rule.about().id;
        let taken = milepost_dsl::rules::RULES
            .iter()
            .any(|own| own.about().id == id);
        assert!(!taken, "`{id}` is a rule of the language too");
    }
}

#[test]
fn findings_speak_as_the_style_demands() {
    for rule in RULES {
        for case in cases(rule.about().id.as_str()) {
            for found in findings(&sources(&case)) {
                let message = &found.message;
                for bad in ["failed to", "invalid", "\n"] {
                    assert!(!message.contains(bad), "{message}");
                }
                assert!(!message.ends_with('.'), "{message}");
            }
        }
    }
}
