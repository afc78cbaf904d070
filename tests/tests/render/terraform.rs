//! Terraform files as a parser of HCL and Terraform's own formatter see them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use hcl::eval::{Context, Evaluate as _};
use hcl::{Block, Body};

/// Parses a file, and has Terraform check its format where it is installed.
pub(crate) fn parse(name: &str, text: &str) -> Body {
    let body = hcl::parse(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
    check_format(name, text);
    body
}

/// The configuration of every connector in a file by its resource, evaluated: `$${` has become `${`.
pub(crate) fn connectors(body: &Body) -> BTreeMap<String, BTreeMap<String, String>> {
    let evaluated = |block: &Block, key: &str| {
        let found = block.body().attributes().find(|each| each.key() == key);
        let expression = found
            .unwrap_or_else(|| panic!("a connector has `{key}`"))
            .expr();
        expression
            .evaluate(&Context::new())
            .expect("a literal evaluates")
    };
    body.blocks()
        .filter(|block| {
            block.identifier() == "resource"
                && block.labels()[0].as_str() == "kafka-connect_connector"
        })
        .map(|block| {
            let config: BTreeMap<String, String> =
                hcl::from_value(evaluated(block, "config")).expect("a map of texts");
            let name: String = hcl::from_value(evaluated(block, "name")).expect("a text");
            assert_eq!(config["name"], name, "Kafka Connect wants the name twice");
            (block.labels()[1].as_str().to_owned(), config)
        })
        .collect()
}

/// `terraform fmt -check`; where Terraform is not installed, the parser of HCL stands alone and the test says so.
fn check_format(name: &str, text: &str) {
    let started = Command::new("terraform")
        .args(["fmt", "-check", "-diff", "-"])
        .env("CHECKPOINT_DISABLE", "1")
        .env_remove("TF_CLI_CONFIG_FILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut terraform) = started else {
        let mut stderr = std::io::stderr();
        let _ = writeln!(
            stderr,
            "terraform is not installed: {name} was read by the parser alone"
        );
        return;
    };
    let mut stdin = terraform.stdin.take().expect("stdin is piped");
    stdin.write_all(text.as_bytes()).expect("terraform reads");
    drop(stdin);
    let output = terraform.wait_with_output().expect("terraform ends");
    assert!(
        output.status.success(),
        "{name} is not as `terraform fmt` writes it:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
