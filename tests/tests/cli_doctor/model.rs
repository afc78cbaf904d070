//! What cannot be examined because of what was typed.

use super::cli::Model;
use super::platform::{Platform, told};
use test_case::test_case;

#[test_case("doctor"; "doctor")]
#[test_case("status"; "status")]
fn a_model_with_errors_has_no_plan(command: &str) {
    let model = Model::shop();
    model.replace("europe/sales/shop.yaml", "type: date,", "type: dat,");
    told(
        &model.run(&[command, "--platform", "main"]),
        2,
        &[
            "error[value]",
            "error: a model with errors has no plan to compare with",
        ],
    );
}

#[test_case("doctor"; "doctor")]
#[test_case("status"; "status")]
fn a_platform_that_nobody_declared(command: &str) {
    told(
        &Model::shop().run(&[command, "--platform", "mian"]),
        2,
        &[
            "error: the model has no platform `mian`",
            "help: it has `main`",
        ],
    );
}

#[test_case("doctor"; "doctor")]
#[test_case("status"; "status")]
fn a_platform_that_others_run(command: &str) {
    let model = Model::shop();
    model.write(
        "platforms/main/platform.yaml",
        "kind: Platform\nname: main\nimplementation: {external: {}}\n",
    );
    told(
        &model.run(&[command, "--platform", "main"]),
        2,
        &[
            "error: platform `main` is run by others",
            "help: name a platform of kind `kubernetes-postgres`",
        ],
    );
}

#[test_case("doctor"; "doctor")]
#[test_case("status"; "status")]
fn a_platform_has_to_be_named(command: &str) {
    let run = Model::shop().run(&[command]);
    told(&run, 2, &["--platform <NAME>"]);
}

#[test]
fn a_directory_that_is_not_there() {
    let run = Model::shop().run(&["doctor", "--platform", "main", "nowhere"]);
    told(&run, 2, &["error: there is no directory `nowhere`"]);
}

#[test]
fn variables_that_are_not_set_are_named() {
    let mut platform = Platform::new();
    platform.unset("MILEPOST_DATABASE_URL");
    platform.set("WAREHOUSE_WRITER_USER", "x");
    told(
        &platform.doctor(&[]),
        2,
        &[
            "fail postgres warehouse-db:5432/warehouse: not asked: the environment has no WAREHOUSE_WRITER_PASSWORD\n     \
             remedy: set them, or MILEPOST_DATABASE_URL=",
            "pass connector main.shop.sink",
        ],
    );
    told(
        &platform.status(&[]),
        2,
        &[
            "error: postgres warehouse-db:5432/warehouse: not asked: the environment has no WAREHOUSE_WRITER_PASSWORD",
        ],
    );
}
