use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::num::{NonZeroU16, NonZeroU64};
use std::str::FromStr;

use super::{Node, Value};
use crate::rules::{About, duplicate_key, missing_key, shape, unknown_key, value};
use crate::scalar::did_you_mean;
use crate::{Diagnostic, Span, Spanned};

/// A type that is read from a node. On failure it has reported at least one finding and gives none.
pub(crate) trait Decode: Sized {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self>;

    /// What an absent key means; none if the key must be there.
    fn absent() -> Option<Self> {
        None
    }
}

/// No word of the language is longer; the bound keeps findings readable.
const MAX_WORD_BYTES: usize = 1000;

/// Collects what is wrong while nodes become specs.
pub(crate) struct Decoder<'a> {
    diagnostics: &'a mut Vec<Diagnostic>,
    /// The path of the thing that is read: `shop#customers`.
    object: String,
    /// The key whose value is read, for messages.
    key: String,
}

/// The entries of a mapping that is about to become a struct.
pub(crate) struct Fields<'n> {
    entries: &'n [(Node, Node)],
    span: Span,
    object_bytes: usize,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(diagnostics: &'a mut Vec<Diagnostic>, object: String) -> Self {
        Self {
            diagnostics,
            object,
            key: String::new(),
        }
    }

    pub(crate) fn report(
        &mut self,
        rule: &'static About,
        span: Span,
        message: String,
        help: Option<String>,
    ) {
        let mut finding = rule.finding(&self.object, span, message);
        finding.help = help;
        self.diagnostics.push(finding);
    }

    /// Reads a text through the type's own grammar.
    pub(crate) fn text<T: FromStr<Err: Display>>(&mut self, node: &Node, title: &str) -> Option<T> {
        let (text, plain) = match &node.value {
            Value::Scalar { text, plain } if !(*plain && is_null(text)) => (text, *plain),
            _ => return self.wrong(node, title),
        };
        if text.len() > MAX_WORD_BYTES {
            let message = format!(
                "`{}` has {} bytes, and {title} has at most {MAX_WORD_BYTES}",
                self.key,
                text.len()
            );
            self.report(&value::RULE, node.span, message, None);
            return None;
        }
        match text.parse() {
            Ok(_) if plain && means_no_text(text) => {
                let meaning = if is_boolean(text) {
                    "truth value"
                } else {
                    "number"
                };
                let message = format!(
                    "`{}` is {title}, and YAML takes `{text}` for a {meaning}",
                    self.key
                );
                let help = format!("write it in quotes: `\"{text}\"`");
                self.report(&shape::RULE, node.span, message, Some(help));
                None
            }
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.report(&value::RULE, node.span, error.to_string(), None);
                None
            }
        }
    }

    /// Reads one of a fixed list of words.
    pub(crate) fn one_of(
        &mut self,
        node: &Node,
        title: &str,
        words: &[&'static str],
    ) -> Option<&'static str> {
        let Value::Scalar { text, .. } = &node.value else {
            return self.wrong(node, title);
        };
        let found = words.iter().find(|word| **word == text.as_str());
        if found.is_none() {
            let message = format!("`{}` is not {title}", shortened(text));
            let help = did_you_mean(text, words.iter().copied())
                .unwrap_or_else(|| format!("write one of {}", listed(words)));
            self.report(&value::RULE, node.span, message, Some(help));
        }
        found.copied()
    }

    /// Reports that a node is of another shape than it should be.
    pub(crate) fn wrong<T>(&mut self, node: &Node, expected: &str) -> Option<T> {
        let found = match &node.value {
            Value::Refused => return None,
            Value::Scalar { text, plain: true } if is_null(text) => {
                let message = format!("`{}` has no value", self.key);
                let help = format!("write {expected}, or leave the key out if it is optional");
                self.report(&shape::RULE, node.span, message, Some(help));
                return None;
            }
            Value::Scalar { text, .. } => format!("`{}`", shortened(text)),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
        };
        let subject = match self.key.as_str() {
            "" => "the document".to_owned(),
            key => format!("`{key}`"),
        };
        let message = format!("{subject} is {found}, and should be {expected}");
        self.report(&shape::RULE, node.span, message, None);
        None
    }

    /// The entries of a mapping, checked for keys that are unknown or written twice. Call [`Fields::leave`] in the end.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        known: &[&'static str],
        joint: Option<&str>,
    ) -> Option<Fields<'n>> {
        let Value::Mapping(entries) = &node.value else {
            return self.wrong(node, &keys_of(known));
        };
        Some(self.fields_of(entries, node.span, known, joint))
    }

    pub(crate) fn fields_of<'n>(
        &mut self,
        entries: &'n [(Node, Node)],
        span: Span,
        known: &[&'static str],
        joint: Option<&str>,
    ) -> Fields<'n> {
        let object_bytes = self.object.len();
        if let Some(joint) = joint
            && let Some(name) = peek(entries, "name")
        {
            self.object.push_str(joint);
            self.object.push_str(&shortened(name));
        }
        self.check_keys(entries);
        for (key, _) in entries {
            if let Value::Scalar { text, .. } = &key.value
                && !known.iter().any(|field| is_key(field, text))
            {
                let keys: Vec<String> = known.iter().map(|field| written(field)).collect();
                let help = did_you_mean(text, keys.iter().map(String::as_str))
                    .unwrap_or_else(|| format!("the keys here are {}", listed(&keys)));
                let message = format!("there is no key `{}` here", shortened(text));
                self.report(&unknown_key::RULE, key.span, message, Some(help));
            }
        }
        // A mapping that is long enough to fill the screen is pointed at by its first key.
        let span = entries.first().map_or(span, |(key, _)| key.span);
        Fields {
            entries,
            span,
            object_bytes,
        }
    }

    /// Reports keys that are no text or written twice.
    fn check_keys(&mut self, entries: &[(Node, Node)]) {
        let mut seen: HashMap<&str, Span> = HashMap::with_capacity(entries.len());
        for (key, _) in entries {
            let Value::Scalar { text, .. } = &key.value else {
                if !matches!(key.value, Value::Refused) {
                    let message = "a key is a text, not a list or mapping".to_owned();
                    self.report(&shape::RULE, key.span, message, None);
                }
                continue;
            };
            if let Some(first) = seen.insert(text, key.span) {
                let message = format!("key `{}` is written twice", shortened(text));
                let finding = duplicate_key::RULE
                    .finding(&self.object, key.span, message)
                    .with_related(first, "first written here")
                    .with_help("keep one of the two");
                self.diagnostics.push(finding);
            }
        }
    }

    /// Reads the value of a choice: a mapping of one key.
    pub(crate) fn choice<'n>(
        &mut self,
        node: &'n Node,
        known: &[&'static str],
    ) -> Option<(&'static str, &'n Node)> {
        let entries = match &node.value {
            Value::Mapping(entries) if entries.len() == 1 => entries,
            Value::Mapping(entries) if entries.len() > 1 => {
                let message = format!(
                    "`{}` has {} choices, and takes one",
                    self.key,
                    entries.len()
                );
                let help = format!("keep one of {}", listed(known));
                self.report(&shape::RULE, entries[1].0.span, message, Some(help));
                return None;
            }
            Value::Scalar { text, .. } if known.contains(&text.as_str()) => {
                let message = format!("`{}` is a choice with settings", self.key);
                let help =
                    format!("write `{{{text}: {{…}}}}`, with `{{}}` if there are none to set");
                self.report(&shape::RULE, node.span, message, Some(help));
                return None;
            }
            _ => return self.wrong(node, &format!("a choice of {}", listed(known))),
        };
        let (key, node) = &entries[0];
        let Value::Scalar { text, .. } = &key.value else {
            return self.wrong(key, &format!("a choice of {}", listed(known)));
        };
        let Some(choice) = known.iter().find(|choice| **choice == text.as_str()) else {
            let message = format!("`{}` has no choice `{}`", self.key, shortened(text));
            let help = did_you_mean(text, known.iter().copied())
                .unwrap_or_else(|| format!("write one of {}", listed(known)));
            self.report(&unknown_key::RULE, key.span, message, Some(help));
            return None;
        };
        Some((choice, node))
    }

    /// Reads a value while messages call it by its key.
    pub(crate) fn under<T: Decode>(&mut self, key: &str, node: &Node) -> Option<T> {
        let outer = std::mem::replace(&mut self.key, key.to_owned());
        let decoded = T::decode(node, self);
        self.key = outer;
        decoded
    }

    /// Reads a whole number between bounds, both included.
    pub(crate) fn whole_number(&mut self, node: &Node, least: u64, most: u64) -> Option<u64> {
        let expected = format!("a whole number from {least} to {most}");
        match &node.value {
            Value::Scalar { text, plain: true } => {
                let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                match text.parse::<u64>() {
                    Ok(number) if is_digits && (least..=most).contains(&number) => Some(number),
                    _ => self.wrong(node, &expected),
                }
            }
            _ => self.wrong(node, &expected),
        }
    }
}

impl Fields<'_> {
    /// Reads the value of a field, or reports that it is missing.
    pub(crate) fn get<T: Decode>(&self, decoder: &mut Decoder<'_>, field: &str) -> Option<T> {
        let entry = self.entries.iter().find(
            |(key, _)| matches!(&key.value, Value::Scalar { text, .. } if is_key(field, text)),
        );
        match entry {
            Some((_, node)) => decoder.under(&written(field), node),
            None => T::absent().or_else(|| {
                let message = format!("key `{}` is missing", written(field));
                decoder.report(&missing_key::RULE, self.span, message, None);
                None
            }),
        }
    }

    /// Ends the reading of these fields: later findings are about the outer object again.
    pub(crate) fn leave(self, decoder: &mut Decoder<'_>) {
        decoder.object.truncate(self.object_bytes);
    }
}

/// The text of a key's value, if it is one.
pub(crate) fn peek<'n>(entries: &'n [(Node, Node)], wanted: &str) -> Option<&'n str> {
    entries
        .iter()
        .find_map(|(key, node)| match (&key.value, &node.value) {
            (Value::Scalar { text: key, .. }, Value::Scalar { text, .. }) if key == wanted => {
                Some(text.as_str())
            }
            _ => None,
        })
}

/// A field as it is written in a model: `kafka_connect` as `kafka-connect`.
fn written(field: &str) -> String {
    field.trim_start_matches("r#").replace('_', "-")
}

fn is_key(field: &str, key: &str) -> bool {
    let field = field.strip_prefix("r#").unwrap_or(field).bytes();
    let as_written = field.map(|byte| if byte == b'_' { b'-' } else { byte });
    as_written.eq(key.bytes())
}

fn keys_of(known: &[&str]) -> String {
    match known {
        [] => "the empty mapping `{}`".to_owned(),
        _ => {
            let keys: Vec<String> = known.iter().map(|field| written(field)).collect();
            format!("a mapping with the keys {}", listed(&keys))
        }
    }
}

fn listed<T: AsRef<str>>(words: &[T]) -> String {
    let quoted: Vec<String> = words
        .iter()
        .map(|word| format!("`{}`", word.as_ref()))
        .collect();
    quoted.join(", ")
}

/// Enough of a text to recognise it.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", text[..at].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn is_boolean(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

/// Does YAML's core schema take an unquoted text that is not null for something else than a text?
fn means_no_text(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let starts_as_number = unsigned
        .strip_prefix('.')
        .unwrap_or(unsigned)
        .starts_with(|first: char| first.is_ascii_digit());
    let based = |prefix, radix| {
        text.strip_prefix(prefix)
            .is_some_and(|digits| u128::from_str_radix(digits, radix).is_ok())
    };
    is_boolean(text)
        || (starts_as_number && text.parse::<f64>().is_ok())
        || based("0x", 16)
        || based("0o", 8)
        || matches!(
            unsigned,
            ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN"
        )
}

impl<T: Decode> Decode for Spanned<T> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        T::decode(node, decoder).map(|value| Self::new(value, node.span))
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        T::decode(node, decoder).map(Self::new)
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        T::decode(node, decoder).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Value::Sequence(items) = &node.value else {
            return decoder.wrong(node, "a list");
        };
        // Every item is read, so that every problem is found, before the list is given up.
        let decoded: Vec<Option<T>> = items.iter().map(|item| T::decode(item, decoder)).collect();
        decoded.into_iter().collect()
    }
}

impl<K: Decode + Ord, V: Decode> Decode for BTreeMap<Spanned<K>, V> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Value::Mapping(entries) = &node.value else {
            return decoder.wrong(node, "a mapping");
        };
        decoder.check_keys(entries);
        let mut decoded = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let name = match &key.value {
                Value::Scalar { text, .. } => text.as_str(),
                _ => "",
            };
            decoded.push(decoder.under(name, key).zip(decoder.under(name, node)));
        }
        decoded.into_iter().collect()
    }
}

impl Decode for bool {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(true),
            Value::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => decoder.wrong(node, "`true` or `false`"),
        }
    }
}

impl Decode for NonZeroU16 {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let number = decoder.whole_number(node, 1, u64::from(u16::MAX))?;
        u16::try_from(number).ok().and_then(Self::new)
    }
}

impl Decode for NonZeroU64 {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        // JSON readers keep whole numbers up to 2^53 only.
        let number = decoder.whole_number(node, 1, 1 << 53)?;
        Self::new(number)
    }
}
