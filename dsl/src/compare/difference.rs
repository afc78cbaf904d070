use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::Span;
use crate::spec::{Document, Kind, ModelSpec};

/// One thing that two models say differently.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The kind of the document.
    pub kind: Kind,
    /// The name of the document.
    pub name: String,
    /// The path in the document, such as `datasets[customers].columns[email].type`; empty for the whole document.
    pub path: String,
    /// What the base says; none if it says nothing.
    pub before: Option<Value>,
    /// What the head says; none if it says nothing.
    pub after: Option<Value>,
    /// Where the document stands: in the head, or in the base if the head has it no more.
    pub span: Span,
}

/// Every difference between two models, in the order of kinds, names and paths.
///
/// Documents are paired by kind and name, items of lists by their name. Of documents that a model holds twice all are
/// compared, in their order, so that a duplicate hides nothing.
#[must_use]
pub fn differences(base: &ModelSpec, head: &ModelSpec) -> Vec<Difference> {
    let base = by_name(base);
    let head = by_name(head);
    let keys: BTreeSet<_> = base.keys().chain(head.keys()).collect();
    let mut differences = Vec::new();
    for key in keys {
        let (before, after) = (base.get(key), head.get(key));
        // Most documents are equal; derived equality tells without making trees of them.
        if let (Some((before, _)), Some((after, _))) = (before, after)
            && before == after
        {
            continue;
        }
        let Some(span) = after.or(before).map(|(_, span)| *span) else {
            continue;
        };
        let mut walk = Walk {
            kind: key.0,
            name: &key.1,
            span,
            found: &mut differences,
        };
        let before = before.map(|(document, _)| document.to_tree());
        let after = after.map(|(document, _)| document.to_tree());
        walk.compare(String::new(), before.as_ref(), after.as_ref());
    }
    differences
}

type Key = (Kind, String, usize);

fn by_name(spec: &ModelSpec) -> BTreeMap<Key, (&Document, Span)> {
    let mut documents = BTreeMap::new();
    let mut counts: BTreeMap<(Kind, String), usize> = BTreeMap::new();
    for document in &spec.documents {
        let count = counts
            .entry((document.kind(), document.name()))
            .or_default();
        let key = (document.kind(), document.name(), *count);
        *count += 1;
        documents.insert(key, (&document.value, document.value.name_span()));
    }
    documents
}

struct Walk<'a> {
    kind: Kind,
    name: &'a str,
    span: Span,
    found: &'a mut Vec<Difference>,
}

impl Walk<'_> {
    /// Adds every difference between two trees. An absent tree and null are the same: nothing was written.
    fn compare(&mut self, path: String, before: Option<&Value>, after: Option<&Value>) {
        let before = before.filter(|value| !value.is_null());
        let after = after.filter(|value| !value.is_null());
        match (before, after) {
            (Some(before), Some(after)) if before == after => {}
            (None, None) => {}
            (Some(Value::Object(before)), Some(Value::Object(after))) => {
                self.compare_maps(&path, before, after);
            }
            (Some(Value::Array(before)), Some(Value::Array(after))) => {
                self.compare_lists(path, before, after);
            }
            (before, after) => self.differ(path, before.cloned(), after.cloned()),
        }
    }

    fn compare_maps(
        &mut self,
        path: &str,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
    ) {
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for key in keys {
            let path = match path {
                "" => key.clone(),
                _ => format!("{path}.{key}"),
            };
            self.compare(path, before.get(key), after.get(key));
        }
    }

    /// Items are paired by their names; if the common ones come in another order, the list itself differs.
    fn compare_lists(&mut self, path: String, before: &[Value], after: &[Value]) {
        let (before_names, after_names) = (item_names(before), item_names(after));
        let before_items: BTreeMap<&str, &Value> = paired(&before_names, before);
        let after_items: BTreeMap<&str, &Value> = paired(&after_names, after);
        let names: BTreeSet<&str> = before_items
            .keys()
            .chain(after_items.keys())
            .copied()
            .collect();
        for name in names {
            self.compare(
                format!("{path}[{name}]"),
                before_items.get(name).copied(),
                after_items.get(name).copied(),
            );
        }
        let in_both = |names: &[String]| -> Vec<Value> {
            names
                .iter()
                .filter(|name| {
                    before_items.contains_key(name.as_str())
                        && after_items.contains_key(name.as_str())
                })
                .map(|name| Value::from(name.as_str()))
                .collect()
        };
        let (before_order, after_order) = (in_both(&before_names), in_both(&after_names));
        if before_order != after_order {
            self.differ(
                format!("{path}[order]"),
                Some(before_order.into()),
                Some(after_order.into()),
            );
        }
    }

    fn differ(&mut self, path: String, before: Option<Value>, after: Option<Value>) {
        self.found.push(Difference {
            kind: self.kind,
            name: self.name.to_owned(),
            path,
            before,
            after,
            span: self.span,
        });
    }
}

fn paired<'v>(names: &'v [String], items: &'v [Value]) -> BTreeMap<&'v str, &'v Value> {
    names.iter().map(String::as_str).zip(items).collect()
}

/// What each item of a list is called: its name, or itself if it is a text; a second one of the same name is numbered.
fn item_names(items: &[Value]) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    items
        .iter()
        .map(|item| {
            let name = match item {
                Value::Object(fields) => fields.get("name").unwrap_or(item),
                _ => item,
            };
            let name = name
                .as_str()
                .map_or_else(|| name.to_string(), str::to_owned);
            let count = counts.entry(name.clone()).or_default();
            *count += 1;
            // A NUL stands in no name, so a numbered name is no other's.
            match *count {
                1 => name,
                count => format!("{name}\0{count}"),
            }
        })
        .collect()
}
