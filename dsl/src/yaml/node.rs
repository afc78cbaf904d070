use granit_parser::{Event, Parser, ScalarStyle};

use crate::rules::{shape, syntax};
use crate::{Diagnostic, FileId, Span};

/// A value of a YAML document and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// A text; `plain` if it was written without quotes.
    Scalar { text: String, plain: bool },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order in which they were written, duplicates included.
    Mapping(Vec<(Node, Node)>),
    /// Something that was refused already: it must not be complained about again.
    Refused,
}

/// What a file holds.
pub(crate) struct Read {
    pub(crate) documents: Vec<Node>,
    /// Were there errors of syntax, so that documents may be missing?
    pub(crate) complete: bool,
}

/// No document of ours is nested deeper than a dozen; the bound keeps hostile ones off the stack.
const MAX_NESTING: usize = 64;

/// A model of 100,000 datasets in one file has half of it.
const MAX_FILE_BYTES: usize = 128 << 20;

/// The longest key on one line; YAML's own bound of 1024 characters counts whole flow collections as keys.
const MAX_KEY_LOOKAHEAD: usize = 1024;

/// Reads all documents of a file. After an error of syntax it goes on at the next document.
pub(crate) fn read(file: FileId, text: &str, diagnostics: &mut Vec<Diagnostic>) -> Read {
    let mut read = Read {
        documents: Vec::new(),
        complete: true,
    };
    let whole = Span {
        file,
        start: 0,
        end: 0,
    };
    if text.len() > MAX_FILE_BYTES {
        let message = format!(
            "the file has {} bytes, a file of the model has at most {MAX_FILE_BYTES}",
            text.len()
        );
        diagnostics.push(
            syntax::RULE
                .finding("", whole, message)
                .with_help("split the file"),
        );
        read.complete = false;
        return read;
    }
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_NESTING,
        block_nesting_limit: MAX_NESTING,
        simple_key_max_lookahead: MAX_KEY_LOOKAHEAD,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder {
        file,
        open: Vec::new(),
        done: Vec::new(),
        diagnostics,
    };
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, span)) => {
                let range = span.byte_range().unwrap_or_default();
                builder.take(event, range);
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(text.len());
                builder.fail(at.min(text.len()), text, &error.info());
                read.complete = false;
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    read.documents = builder.done;
    read
}

struct Builder<'a> {
    file: FileId,
    /// Collections that are not closed yet, outermost first.
    open: Vec<Open>,
    done: Vec<Node>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

enum Open {
    Sequence(Start, Vec<Node>),
    Mapping(Start, Vec<(Node, Node)>, Option<Node>),
}

struct Start {
    byte: usize,
    /// Was the collection refused for what stands before it?
    refused: bool,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, range: std::ops::Range<usize>) {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = Value::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                };
                let refused = self.refuses(range.clone(), anchor, tag.is_some());
                let node = self.node(range, if refused { Value::Refused } else { value });
                self.put(node);
            }
            Event::Alias(_) => {
                let node = self.node(range, Value::Refused);
                self.refuse(
                    node.span,
                    "the language has no aliases",
                    "write the value out where it is used",
                );
                self.put(node);
            }
            Event::SequenceStart(_, anchor, tag) => {
                let start = self.start(range, anchor, tag.is_some());
                self.open.push(Open::Sequence(start, Vec::new()));
            }
            Event::MappingStart(_, anchor, tag) => {
                let start = self.start(range, anchor, tag.is_some());
                self.open.push(Open::Mapping(start, Vec::new(), None));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (start, value) = match self.open.pop() {
                    Some(Open::Sequence(start, items)) => (start, Value::Sequence(items)),
                    Some(Open::Mapping(start, entries, _)) => (start, Value::Mapping(entries)),
                    None => return,
                };
                let value = if start.refused { Value::Refused } else { value };
                let node = self.node(start.byte..range.end.max(start.byte), value);
                self.put(node);
            }
            Event::DocumentStart(..) => self.open.clear(),
            // Comments and the ends of documents carry no value; a new kind of event would carry none that we know.
            _ => {}
        }
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.done.push(node),
            Some(Open::Sequence(_, items)) => items.push(node),
            Some(Open::Mapping(_, entries, key)) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
    }

    fn node(&self, range: std::ops::Range<usize>, value: Value) -> Node {
        Node {
            span: Span {
                file: self.file,
                start: range.start,
                end: range.end,
            },
            value,
        }
    }

    fn start(&mut self, range: std::ops::Range<usize>, anchor: usize, tagged: bool) -> Start {
        Start {
            byte: range.start,
            refused: self.refuses(range, anchor, tagged),
        }
    }

    /// Reports an anchor or tag. The value of an anchor is what it would be without; a tag may give it another meaning.
    fn refuses(&mut self, range: std::ops::Range<usize>, anchor: usize, tagged: bool) -> bool {
        let span = self.node(range, Value::Refused).span;
        if anchor != 0 {
            self.refuse(
                span,
                "the language has no anchors",
                "write the value without `&name`, and again wherever it is used",
            );
        }
        if tagged {
            self.refuse(
                span,
                "the language has no tags",
                "write the value without `!tag`; its key says what it is",
            );
        }
        tagged
    }

    fn refuse(&mut self, span: Span, message: &str, help: &str) {
        self.diagnostics
            .push(shape::RULE.finding("", span, message).with_help(help));
    }

    fn fail(&mut self, at: usize, text: &str, reason: &str) {
        self.open.clear();
        let span = Span {
            file: self.file,
            start: at,
            end: at,
        };
        let mut finding =
            syntax::RULE.finding("", span, format!("the YAML does not parse: {reason}"));
        if text[..at].ends_with('\t') || text[at..].starts_with('\t') {
            finding = finding.with_help("YAML is indented with spaces; replace the tab");
        }
        self.diagnostics.push(finding);
    }
}
