use std::collections::{BTreeMap, HashMap};

use crate::rules::duplicate;
use crate::spec::{Document, Kind, ModelSpec};
use crate::{Diagnostic, Span, Spanned};

/// What the names of one kind mean.
pub(super) struct Names<I> {
    known: HashMap<String, Option<I>>,
    incomplete: bool,
}

/// What a name means.
pub(super) enum Lookup<I> {
    /// This.
    Found(I),
    /// Something that could not be read or resolved: it has its own finding.
    Broken,
    /// Nothing.
    Missing,
}

impl<I: Copy> Names<I> {
    /// The names of documents that could not be read.
    pub(super) fn of(spec: &ModelSpec, kind: Kind) -> Self {
        let broken = spec.broken.iter().filter(|broken| broken.kind == kind);
        Self {
            known: broken.map(|broken| (broken.name.clone(), None)).collect(),
            incomplete: spec.incomplete,
        }
    }

    /// No name yet, in an outer thing that was read whole.
    pub(super) fn within() -> Self {
        Self {
            known: HashMap::new(),
            incomplete: false,
        }
    }

    /// Makes a name known; none stands for a thing that could not be resolved.
    pub(super) fn insert(&mut self, name: String, id: Option<I>) {
        self.known.entry(name).or_insert(id);
    }

    pub(super) fn look_up(&self, name: &str) -> Lookup<I> {
        match self.known.get(name) {
            Some(Some(id)) => Lookup::Found(*id),
            Some(None) => Lookup::Broken,
            None if self.incomplete => Lookup::Broken,
            None => Lookup::Missing,
        }
    }

    /// Every name, in order, for "did you mean".
    pub(super) fn sorted(&self) -> Vec<String> {
        let mut names: Vec<String> = self.known.keys().cloned().collect();
        names.sort_unstable();
        names
    }
}

/// The documents in order of kind and name. Of those with the same kind and name the first one counts, and the others
/// are reported.
pub(super) fn unique_documents<'s>(
    spec: &'s ModelSpec,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<&'s Document> {
    let mut unique: BTreeMap<(Kind, String), &Spanned<Document>> = BTreeMap::new();
    for document in &spec.documents {
        let kind = document.kind();
        let name = document.name();
        // There is one ecosystem, whatever a second one is called.
        let key = match kind {
            Kind::Ecosystem => (kind, String::new()),
            _ => (kind, name.clone()),
        };
        match unique.get(&key) {
            None => {
                unique.insert(key, document);
            }
            Some(first) => diagnostics.push(second(document, &name, first)),
        }
    }
    unique
        .into_values()
        .map(|document| &document.value)
        .collect()
}

fn second(document: &Spanned<Document>, name: &str, first: &Spanned<Document>) -> Diagnostic {
    let (message, help) = match document.kind() {
        Kind::Ecosystem => (
            "the model has a second ecosystem".to_owned(),
            "keep one document of `kind: Ecosystem`",
        ),
        Kind::Assignment => (
            format!("assignment `{name}` is written twice"),
            "keep one of the two",
        ),
        kind => (
            format!("there are two documents of kind `{kind}` with the name `{name}`"),
            "rename one of the two, or remove it",
        ),
    };
    duplicate::RULE
        .finding(name, document.value.name_span(), message)
        .with_related(first.value.name_span(), "first written here")
        .with_help(help)
}

/// Reports the words of a list that stand in it before.
pub(super) fn duplicates<'w, T: Ord + std::fmt::Display + 'w>(
    words: impl IntoIterator<Item = &'w Spanned<T>>,
    object: &str,
    message: impl Fn(&T) -> String,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut seen: BTreeMap<&T, Span> = BTreeMap::new();
    for word in words {
        match seen.get(&word.value) {
            None => {
                seen.insert(&word.value, word.span);
            }
            Some(first) => diagnostics.push(
                duplicate::RULE
                    .finding(object, word.span, message(&word.value))
                    .with_related(*first, "first written here")
                    .with_help("keep one of the two"),
            ),
        }
    }
}
