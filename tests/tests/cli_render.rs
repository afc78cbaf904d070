//! What `milepost render` does to a directory, and to nothing else.

mod cli;

use std::fs;
use std::process::Command;

use cli::{Model, Run, files};

fn render(model: &Model, more: &[&str]) -> Run {
    let arguments = [&["render", "--out", "out"], more].concat();
    model.run(&arguments)
}

#[track_caller]
fn ends(run: &Run, code: i32) {
    assert_eq!(run.code, code, "{run}");
}

#[test]
fn every_artifact_has_its_place_and_a_second_render_changes_nothing() {
    let model = Model::shop();
    ends(&render(&model, &[]), 0);
    let first = files(&model.path().join("out"));
    let names: Vec<String> = first
        .keys()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(
        names,
        [
            "main/.rendered",
            "main/airflow/main__shop.py",
            "main/platform.json",
            "main/sources/shop/prepare.sql",
            "main/sources/shop/snapshot.sql",
            "main/streams/shop.json",
            "main/terraform/main.tf",
            "main/terraform/store_shop.tf",
            "main/terraform/wait-for-running.sh",
        ]
    );
    let index = model.path().join("out/main/platform.json");
    let before = fs::metadata(&index).and_then(|file| file.modified());
    let run = render(&model, &[]);
    ends(&run, 0);
    assert!(run.stderr.contains("0 files written, 9 unchanged"), "{run}");
    let after = fs::metadata(&index).and_then(|file| file.modified());
    assert_eq!(before.expect("it is there"), after.expect("it is there"));
    ends(&render(&model, &["--check"]), 0);
}

#[test]
fn a_check_lists_every_kind_of_drift_and_writes_nothing() {
    let model = Model::shop();
    ends(&render(&model, &[]), 0);
    let out = model.path().join("out/main");
    fs::remove_file(out.join("terraform/main.tf")).expect("it was rendered");
    model.replace(
        "out/main/streams/shop.json",
        "\"store\": \"shop\"",
        "\"store\": \"pub\"",
    );
    model.replace(
        "out/main/.rendered",
        "terraform/main.tf",
        "terraform/gone.tf\nterraform/main.tf",
    );
    fs::write(out.join("terraform/gone.tf"), "").expect("the folder is writable");
    let before = files(&out);
    let run = render(&model, &["--check"]);
    ends(&run, 1);
    for line in [
        "missing: out/main/terraform/main.tf\n",
        "changed: out/main/streams/shop.json\n",
        "left over: out/main/terraform/gone.tf\n",
    ] {
        assert!(run.stdout.contains(line), "{run}");
    }
    assert_eq!(files(&out), before);
    ends(&render(&model, &[]), 0);
    ends(&render(&model, &["--check"]), 0);
    assert!(!out.join("terraform/gone.tf").exists());
}

#[test]
fn only_what_was_rendered_is_removed() {
    let model = Model::shop();
    ends(&render(&model, &[]), 0);
    let out = model.path().join("out");
    fs::write(out.join("main/terraform/backend.tf"), "# ours\n").expect("writable");
    fs::write(out.join("README.md"), "# ours\n").expect("writable");
    // A list that somebody tampered with names a file outside of the folder.
    let list = fs::read_to_string(out.join("main/.rendered")).expect("it was rendered");
    fs::write(out.join("main/.rendered"), format!("../README.md\n{list}")).expect("writable");
    model.replace("europe/sales/shop.yaml", "name: shop\n", "name: store\n");
    model.replace(
        "europe/sales/workspaces.yaml",
        "[shop#customers, shop#orders]\n",
        "[store#customers, store#orders]\n",
    );
    model.replace(
        "europe/sales/workspaces.yaml",
        "[shop#customers, shop#orders, shop#order_lines, shop#documents]",
        "[store#customers, store#orders, store#order_lines, store#documents]",
    );
    ends(&render(&model, &[]), 0);
    assert!(out.join("main/streams/store.json").exists());
    assert!(!out.join("main/streams/shop.json").exists());
    assert!(out.join("main/terraform/backend.tf").exists());
    assert!(out.join("README.md").exists());
}

#[test]
fn a_platform_that_left_the_model_leaves_the_disk() {
    let model = Model::shop();
    ends(&render(&model, &[]), 0);
    fs::write(
        model.path().join("out/main/terraform/backend.tf"),
        "# ours\n",
    )
    .expect("writable");
    model.write(
        "platforms/main/platform.yaml",
        "kind: Platform\nname: main\nimplementation: {external: {}}\n",
    );
    let run = render(&model, &[]);
    ends(&run, 0);
    assert!(
        run.stderr.contains("platform `main` is run by others"),
        "{run}"
    );
    let left: Vec<_> = files(&model.path().join("out")).into_keys().collect();
    assert_eq!(
        left,
        [std::path::PathBuf::from("main/terraform/backend.tf")]
    );
}

#[test]
fn a_file_of_somebody_else_is_not_overwritten() {
    let model = Model::shop();
    model.write("out/main/platform.json", "{\"ours\": true}\n");
    let run = render(&model, &[]);
    ends(&run, 2);
    assert!(
        run.stderr
            .contains("error: `out/main/platform.json` is in the way: milepost did not write it"),
        "{run}"
    );
    assert!(run.stderr.contains("help: move it away"), "{run}");
    assert_eq!(files(&model.path().join("out")).len(), 1);
}

#[test]
fn dags_are_written_for_the_airflow_that_is_asked_for() {
    let model = Model::shop();
    let dag = |version: &str| {
        let out = format!("out{version}");
        ends(
            &model.run(&["render", "--out", &out, "--airflow", version]),
            0,
        );
        fs::read_to_string(model.path().join(out).join("main/airflow/main__shop.py"))
            .expect("it was rendered")
    };
    assert!(dag("3").contains("from airflow.sdk import"));
    assert!(!dag("2").contains("airflow.sdk"));
}

#[test]
fn the_version_of_the_model_is_its_commit() {
    let model = Model::shop();
    let version = || {
        ends(&render(&model, &[]), 0);
        let text = fs::read_to_string(model.path().join("out/main/platform.json"))
            .expect("it was rendered");
        let plan: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let commit = plan["model"]["commit"].as_str().expect("a text").to_owned();
        (commit, plan["model"]["order"].as_u64().expect("a number"))
    };
    assert_eq!(version(), ("worktree".to_owned(), 0), "outside git");
    git(&model, &["init", "--quiet"]);
    assert_eq!(version(), ("worktree".to_owned(), 0), "without a commit");
    git(&model, &["add", "*.yaml"]);
    git(&model, &["commit", "--quiet", "--message", "one"]);
    let head = git(&model, &["rev-parse", "HEAD"]);
    assert_eq!(version(), (head.clone(), 1));
    model.write("new.yaml", "");
    assert_eq!(version(), (format!("{head}-dirty"), 1));
    git(&model, &["add", "*.yaml"]);
    git(&model, &["commit", "--quiet", "--message", "two"]);
    // Nothing that runs has changed, so the commit alone is no drift.
    ends(&render(&model, &["--check"]), 0);
    assert_eq!(version(), (git(&model, &["rev-parse", "HEAD"]), 2));
}

#[test]
fn a_shallow_clone_is_refused_because_its_order_is_unknown() {
    let model = Model::shop();
    git(&model, &["init", "--quiet"]);
    git(&model, &["add", "*.yaml"]);
    for message in ["one", "two"] {
        git(
            &model,
            &["commit", "--quiet", "--allow-empty", "--message", message],
        );
    }
    let clone = tempfile::TempDir::new().expect("the temporary directory is writable");
    let url = format!("file://{}", model.path().display());
    let target = clone.path().join("clone");
    let path = target.display().to_string();
    git(&model, &["clone", "--quiet", "--depth", "1", &url, &path]);
    let run = cli::milepost_in(&target, &["render", "--out", "out"]);
    ends(&run, 2);
    assert!(run.stderr.contains("shallow clone"), "{run}");
    assert!(
        run.stderr.contains("help: run `git fetch --unshallow`"),
        "{run}"
    );
}

fn git(model: &Model, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@example.com"])
        .args(["-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(model.path())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git is installed");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
