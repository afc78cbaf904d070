//! Findings as workflow commands, which GitHub Actions shows at the changed lines.
//!
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use milepost_dsl::{Diagnostic, Severity, Sources};

use super::summary;
use crate::inspect::Inspection;

pub(super) fn report(inspection: &Inspection) -> String {
    let mut text: String = inspection
        .diagnostics
        .iter()
        .map(|diagnostic| annotation(diagnostic, &inspection.sources))
        .collect();
    text.push_str(&summary(inspection));
    text.push('\n');
    text
}

fn annotation(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let command = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let place = sources.place(diagnostic.primary.span);
    // GitHub ignores columns of an annotation over several lines.
    let columns = if place.line == place.end_line {
        format!(",col={},endColumn={}", place.column, place.end_column)
    } else {
        String::new()
    };
    let mut message = diagnostic.message.clone();
    for label in &diagnostic.related {
        message.push_str(&format!("\n{}: {}", sources.place(label.span), label.text));
    }
    if let Some(help) = &diagnostic.help {
        message.push_str(&format!("\nhelp: {help}"));
    }
    format!(
        "::{command} file={},line={},endLine={}{columns},title={}::{}\n",
        property(place.path),
        place.line,
        place.end_line,
        property(diagnostic.rule.as_str()),
        value(&message)
    )
}

/// Text after `::`. What stands in a model must not be able to start a command of its own.
fn value(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Text of a property, where a comma begins the next one.
fn property(text: &str) -> String {
    value(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_end_its_command() {
        assert_eq!(value("a\n::error::b %"), "a%0A::error::b %25");
        assert_eq!(property("a,line=1:b.yaml"), "a%2Cline=1%3Ab.yaml");
    }
}
