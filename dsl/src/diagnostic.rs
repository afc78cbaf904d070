use std::fmt;

use crate::{Sources, Span};

/// The stable kebab-case name of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(&'static str);

impl RuleId {
    /// Names a rule; once released it never changes.
    #[must_use]
    pub const fn new(id: &'static str) -> Self {
        Self(id)
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How bad a finding is. Only an error stops a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The model cannot be used.
    Error,
    /// The model can be used, and somebody probably did not mean it.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// `error`, `warning` or `info`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What stands there; may be empty.
    pub text: String,
}

/// A finding: plain data; `cli` makes it pretty or JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which rule found it.
    pub rule: RuleId,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, naming the user's thing in backticks; no final period.
    pub message: String,
    /// The path of the thing: `shop#customers.email`.
    pub object: String,
    /// Where to look first.
    pub primary: Label,
    /// Other places that belong to it.
    pub related: Vec<Label>,
    /// What to write instead.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error, with neither help nor related places.
    #[must_use]
    pub fn error(
        rule: RuleId,
        object: impl Into<String>,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            severity: Severity::Error,
            message: visible(message.into()),
            object: visible(object.into()),
            primary: Label {
                span,
                text: String::new(),
            },
            related: Vec::new(),
            help: None,
        }
    }

    /// The same with another severity.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The same with what to write instead.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(visible(help.into()));
        self
    }

    /// The same with a text under the primary place.
    #[must_use]
    pub fn with_label(mut self, text: impl Into<String>) -> Self {
        self.primary.text = visible(text.into());
        self
    }

    /// The same with one more place.
    #[must_use]
    pub fn with_related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push(Label {
            span,
            text: visible(text.into()),
        });
        self
    }

    /// The plain text form: `file:line:column: severity[rule]: message`, then help and related places.
    #[must_use]
    pub fn to_plain(&self, sources: &Sources) -> String {
        let mut text = format!(
            "{}: {}[{}]: {}\n",
            sources.place(self.primary.span),
            self.severity,
            self.rule,
            self.message
        );
        for label in &self.related {
            text.push_str(&format!(
                "  {}: {}\n",
                sources.place(label.span),
                label.text
            ));
        }
        if let Some(help) = &self.help {
            text.push_str(&format!("  help: {help}\n"));
        }
        text
    }
}

/// A text of one line: a source may call its columns anything, and a line break or an escape sequence in a name must not
/// write another finding or steer a terminal.
pub(crate) fn visible(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let escape = |c: char| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Puts findings in the one order in which they are shown: by path, place, rule and message.
pub fn sort(diagnostics: &mut [Diagnostic], sources: &Sources) {
    diagnostics.sort_by(|a, b| {
        fn key<'a>(found: &Diagnostic, sources: &'a Sources) -> (&'a str, Span, RuleId) {
            let span = found.primary.span;
            (sources.path(span.file), span, found.rule)
        }
        key(a, sources)
            .cmp(&key(b, sources))
            .then_with(|| a.message.cmp(&b.message))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_write_a_line_or_steer_a_terminal() {
        let mut sources = Sources::new();
        let file = sources.add("a.yaml", "x");
        let span = Span {
            file,
            start: 0,
            end: 1,
        };
        let found = Diagnostic::error(RuleId::new("value"), "a\nb", span, "column `a\u{1b}[2J\nb`")
            .with_help("write `\r`");
        assert_eq!(
            found.to_plain(&sources),
            "a.yaml:1:1: error[value]: column `a\\u{1b}[2J\\nb`\n  help: write `\\r`\n"
        );
        assert_eq!(found.object, "a\\nb");
    }
}
