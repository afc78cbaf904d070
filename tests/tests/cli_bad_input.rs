//! What a person reads who made a mistake: the place, what to write instead, and the exit code.

mod cli;

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use cli::{Model, Run, milepost};
use test_case::test_case;

#[track_caller]
fn told(run: &Run, code: i32, parts: &[&str]) {
    let text = format!("{}{}", run.stdout, run.stderr);
    assert_eq!(run.code, code, "{run}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

const SHOP: &str = "europe/sales/shop.yaml";

#[test_case("lint"; "lint")]
#[test_case("graph"; "graph")]
fn a_directory_that_is_not_there(command: &str) {
    let run = milepost(&[command, "no/such/model"]);
    told(
        &run,
        2,
        &[
            "error: there is no directory `no/such/model`",
            "help: name the directory that holds the model",
        ],
    );
    assert_eq!(run.stdout, "");
}

#[test]
fn a_file_in_the_place_of_a_directory() {
    let run = Model::shop().run(&["lint", SHOP]);
    told(
        &run,
        2,
        &[
            "error: `europe/sales/shop.yaml` is a file",
            "`europe/sales`",
        ],
    );
}

#[test]
fn all_unreadable_files_are_listed() {
    let model = Model::shop();
    model.write("latin.yml", b"kind: Team\nname: s\xe4ljare\n");
    symlink("nowhere.yaml", model.path().join("dangling.yaml")).expect("a link can be made");
    let outside = Model::shop();
    symlink(outside.path(), model.path().join("outside")).expect("a link can be made");
    let run = model.run(&["lint"]);
    told(
        &run,
        2,
        &[
            "error: cannot read `dangling.yaml`: No such file",
            "error: cannot read `latin.yml`: line 2 is not UTF-8",
            "error: cannot read `outside`: it is a link to a place outside the model",
            "help: every file of the model has to be readable as UTF-8 text",
        ],
    );
}

#[test]
fn links_inside_a_model_make_neither_loops_nor_copies() {
    let model = Model::shop();
    symlink(".", model.path().join("loop")).expect("a link can be made");
    symlink("shop.yaml", model.path().join("europe/sales/again.yaml")).expect("a link can be made");
    told(&model.run(&["lint"]), 0, &["0 errors, 0 warnings"]);
}

#[test]
fn hidden_files_are_no_part_of_a_model() {
    let model = Model::shop();
    model.write(".github/workflows/lint.yaml", "on: pull_request\n");
    told(&model.run(&["lint"]), 0, &["0 errors, 0 warnings"]);
}

#[test]
fn yaml_that_does_not_parse_hides_no_other_file() {
    let model = Model::shop();
    model.write("broken.yaml", "kind: Team\nname: [europe/sales\n");
    model.replace(SHOP, "type: date,", "type: dat,");
    told(
        &model.run(&["lint"]),
        1,
        &[
            "error[syntax]",
            "broken.yaml:",
            "error[value]",
            "shop.yaml:",
        ],
    );
}

#[test]
fn an_unknown_key() {
    let model = Model::shop();
    model.replace("platforms/main/platform.yaml", "namespace:", "namspace:");
    told(
        &model.run(&["lint"]),
        1,
        &[
            "error[unknown-key]: there is no key `namspace`",
            "platforms/main/platform.yaml:5:5",
            "help: did you mean `namespace`?",
            "error[missing-key]",
        ],
    );
}

#[test]
fn a_value_of_a_wrong_type() {
    let model = Model::shop();
    model.replace("platforms/main/platform.yaml", "port: 5432", "port: many");
    told(
        &model.run(&["lint"]),
        1,
        &[
            "error[shape]",
            "`many`, and should be a whole number",
            "platforms/main/platform.yaml:14:13",
        ],
    );
}

#[test]
fn a_name_that_is_taken_is_shown_with_the_one_that_has_it() {
    let model = Model::shop();
    model.write("second.yaml", "kind: Team\nname: europe/sales\n");
    told(
        &model.run(&["lint"]),
        1,
        &[
            "error[duplicate]",
            "`europe/sales`",
            "second.yaml:2:7",
            "first written here",
            "europe/sales/team.yaml:",
        ],
    );
}

#[test]
fn a_model_without_a_platform() {
    let model = Model::of(
        "kind: Ecosystem\nname: acme\nlanguage: 1\nrepository: github:acme/model@ecosystem\n\
         live: github:acme/model@main\n",
    );
    told(
        &model.run(&["lint"]),
        1,
        &[
            "error[no-platform]",
            "model.yaml:2:7",
            "help: declare one under `platforms`",
        ],
    );
}

#[test]
fn a_directory_without_a_model() {
    let model = Model::of("");
    told(&model.run(&["lint"]), 1, &["error[no-ecosystem]", "help:"]);
}

#[test]
fn a_model_with_errors_is_neither_drawn_nor_rendered() {
    let model = Model::shop();
    model.replace(SHOP, "type: date,", "type: dat,");
    let graph = model.run(&["graph"]);
    told(
        &graph,
        1,
        &["error[value]", "a model with errors has no graph"],
    );
    assert_eq!(graph.stdout, "");
    let render = model.run(&["render", "--out", "rendered"]);
    told(
        &render,
        1,
        &["error[value]", "a model with errors is not rendered"],
    );
    assert!(!model.path().join("rendered").exists());
}

#[test]
fn a_platform_that_the_model_does_not_have() {
    let run = Model::shop().run(&["graph", "--platform", "mian"]);
    told(
        &run,
        2,
        &[
            "error: the model has no platform `mian`",
            "help: it has `main`",
        ],
    );
}

#[test]
fn usage_is_told_with_the_exit_code_of_usage() {
    told(
        &milepost(&["lint", "--format", "xml"]),
        2,
        &["'xml'", "human, json"],
    );
    told(&milepost(&["lint", "--today", "tomorrow"]), 2, &["--today"]);
    told(&milepost(&["render"]), 2, &["--out"]);
    told(&milepost(&["--version"]), 0, &["milepost "]);
}

#[test]
fn a_reader_that_goes_away_changes_nothing() {
    let model = Model::of("");
    let mut child = Command::new(cli::binaries().join("milepost"))
        .arg("lint")
        .current_dir(model.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
