//! Findings as SARIF 2.1.0, for code scanning.

use std::collections::BTreeSet;

use milepost_dsl::{Diagnostic, Label, Severity, Sources};
use serde_json::{Value, json};

use crate::inspect::Inspection;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn report(inspection: &Inspection) -> String {
    let findings = &inspection.diagnostics;
    let rules: BTreeSet<&str> = findings.iter().map(|found| found.rule.as_str()).collect();
    let rules: Vec<Value> = rules.into_iter().map(|id| json!({"id": id})).collect();
    let results: Vec<Value> = findings
        .iter()
        .map(|found| result(found, &inspection.sources))
        .collect();
    let report = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "milepost",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    let mut text = serde_json::to_string_pretty(&report).expect("a JSON value has only text keys");
    text.push('\n');
    text
}

fn result(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let text = match &diagnostic.help {
        Some(help) => format!("{}\nhelp: {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let related: Vec<Value> = diagnostic
        .related
        .iter()
        .map(|label| {
            let mut location = location(label, sources);
            location["message"] = json!({"text": label.text});
            location
        })
        .collect();
    json!({
        "ruleId": diagnostic.rule.as_str(),
        "level": level,
        "message": {"text": text},
        "locations": [location(&diagnostic.primary, sources)],
        "relatedLocations": related,
    })
}

fn location(label: &Label, sources: &Sources) -> Value {
    let place = sources.place(label.span);
    json!({"physicalLocation": {
        "artifactLocation": {"uri": uri(place.path)},
        "region": {
            "startLine": place.line,
            "startColumn": place.column,
            "endLine": place.end_line,
            "endColumn": place.end_column,
        },
    }})
}

/// A path as a relative reference (RFC 3986): bytes outside its unreserved characters are escaped.
fn uri(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_reference() {
        assert_eq!(uri("a b/é#1.yaml"), "a%20b/%C3%A9%231.yaml");
    }
}
