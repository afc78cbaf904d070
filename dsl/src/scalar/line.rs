use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::text;

/// One line of text without control characters: a host, a database, an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line(String);

/// Why a text is no line.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LineError {
    /// Nothing there.
    #[error("the text is empty; write a value or leave the key out")]
    Empty,
    /// A line break, a tab, a NUL or another control character.
    #[error("the text holds a control character, such as a line break; write it on one line")]
    Control,
}

impl Line {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Line {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        if text.trim().is_empty() {
            Err(LineError::Empty)
        } else if text.chars().any(char::is_control) {
            Err(LineError::Control)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text!(Line, "a line of text", examples: ["one.example", "two.example"]);

/// The name of a Kubernetes namespace: an RFC 1123 label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

/// Why a text is no namespace.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "`{0}` is no namespace of Kubernetes: 1 to 63 lowercase letters, digits and `-`, with a letter \
     or digit at both ends"
)]
pub struct NamespaceError(String);

impl Namespace {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = NamespaceError;

    fn from_str(name: &str) -> Result<Self, NamespaceError> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=63).contains(&name.len());
        if fits && name.bytes().all(legal) && !name.starts_with('-') && !name.ends_with('-') {
            Ok(Self(name.to_owned()))
        } else {
            Err(NamespaceError(name.to_owned()))
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text!(
    Namespace, "a namespace of Kubernetes", examples: ["alpha-data", "beta-data"],
    pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_text_and_no_line_break() {
        assert_eq!("  ".parse::<Line>(), Err(LineError::Empty));
        assert_eq!("a\nb".parse::<Line>(), Err(LineError::Control));
        assert!("registry.example/milepost:1".parse::<Line>().is_ok());
    }

    #[test]
    fn a_namespace_is_a_label() {
        assert!("acme-data".parse::<Namespace>().is_ok());
        for bad in ["", "-a", "a-", "Acme", "a.b", &"a".repeat(64)] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad}");
        }
    }
}
