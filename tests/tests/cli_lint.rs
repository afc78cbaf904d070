//! The forms of findings and graphs that scripts and other programs read.

mod cli;

use cli::{Model, milepost};
use serde_json::Value;

fn two_mistakes() -> Model {
    let model = Model::shop();
    model.replace("europe/sales/shop.yaml", "type: date,", "type: dat,");
    model.write("second.yaml", "kind: Team\nname: europe/sales\n");
    model
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("it is JSON")
}

#[test]
fn people_see_the_lines_that_a_finding_is_about() {
    insta::assert_snapshot!(two_mistakes().run(&["lint"]).stdout);
}

#[test]
fn json_has_the_keys_of_the_contract() {
    let run = two_mistakes().run(&["lint", "--format", "json"]);
    assert_eq!(run.code, 1, "{run}");
    let report = json(&run.stdout);
    assert_eq!(report["version"], 1);
    assert_eq!(report["summary"]["errors"], 2);
    assert_eq!(report["summary"]["warnings"], 0);
    let findings = report["diagnostics"].as_array().expect("a list");
    let duplicate = findings
        .iter()
        .find(|finding| finding["rule"] == "duplicate")
        .expect("it is found");
    let keys: Vec<&String> = duplicate.as_object().expect("an object").keys().collect();
    let mut expected = vec![
        "rule",
        "severity",
        "message",
        "object",
        "file",
        "line",
        "column",
        "endLine",
        "endColumn",
        "help",
        "related",
    ];
    expected.sort_unstable();
    let mut keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(duplicate["severity"], "error");
    assert_eq!(duplicate["file"], "second.yaml");
    assert_eq!(
        (&duplicate["line"], &duplicate["column"]),
        (&Value::from(2), &Value::from(7))
    );
    assert_eq!(
        (&duplicate["endLine"], &duplicate["endColumn"]),
        (&Value::from(2), &Value::from(19))
    );
    assert_eq!(duplicate["related"][0]["file"], "europe/sales/team.yaml");
}

#[test]
fn a_green_model_is_green_in_every_form() {
    for format in ["human", "json", "github", "sarif"] {
        let run = milepost(&["lint", "examples/shop", "--format", format]);
        assert_eq!(run.code, 0, "{format}: {run}");
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn github_gets_an_annotation_per_error() {
    let run = two_mistakes().run(&["lint", "--format", "github"]);
    let errors: Vec<&str> = run
        .stdout
        .lines()
        .filter(|line| line.starts_with("::error "))
        .collect();
    assert_eq!(errors.len(), 2, "{run}");
    assert!(
        errors[1].starts_with(
            "::error file=second.yaml,line=2,endLine=2,col=7,endColumn=19,title=duplicate::"
        ),
        "{run}"
    );
}

#[test]
fn code_scanning_gets_results_with_regions() {
    let run = two_mistakes().run(&["lint", "--format", "sarif"]);
    let report = json(&run.stdout);
    let results = report["runs"][0]["results"].as_array().expect("a list");
    let errors = results.iter().filter(|result| result["level"] == "error");
    assert_eq!(errors.count(), 2);
    let rules = report["runs"][0]["tool"]["driver"]["rules"]
        .as_array()
        .expect("a list");
    for result in results {
        assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]));
        let region = &result["locations"][0]["physicalLocation"]["region"];
        assert!(region["startLine"].as_u64() >= Some(1));
    }
}

#[test]
fn nothing_is_coloured_for_a_pipe() {
    assert!(!two_mistakes().run(&["lint"]).stdout.contains('\u{1b}'));
}

#[test]
fn a_graph_has_four_forms() {
    let graph = |format| milepost(&["graph", "examples/shop", "--format", format]).stdout;
    assert!(graph("text").starts_with("platform main\n"));
    assert!(graph("mermaid").starts_with("flowchart LR\n"));
    assert!(graph("dot").starts_with("digraph intention {\n"));
    let report = json(&graph("json"));
    assert_eq!(
        (&report["version"], &report["platform"]),
        (&Value::from(1), &Value::from("main"))
    );
}

#[test]
fn documents_of_the_example_are_what_their_schemas_say() {
    let all = json(&milepost(&["schema"]).stdout);
    let schema = jsonschema::validator_for(&all).expect("the schema is one");
    let examples = cli::files(&cli::checkout().join("examples"));
    let mut seen = 0;
    for (path, text) in examples {
        if path.extension().is_some_and(|end| end == "yaml") {
            for document in text.split("\n---\n") {
                let document: Value = serde_yaml::from_str(document).expect("the example parses");
                let kind = document["kind"].as_str().expect("a kind").to_owned();
                if let Err(error) = schema.validate(&document) {
                    panic!("{}: {kind}: {error}", path.display());
                }
                let one = json(&milepost(&["schema", &kind]).stdout);
                assert!(jsonschema::is_valid(&one, &document), "{kind}");
                seen += 1;
            }
        }
    }
    assert!(seen > 5);
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = milepost(&["completions", shell]).stdout;
        for command in ["render", "doctor", "status"] {
            assert!(script.contains(command), "{command} in {shell}");
        }
    }
}
