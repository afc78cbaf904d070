//! Findings for people: each with the lines that it is about, drawn as rustc draws them.

use std::collections::BTreeMap;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use milepost_dsl::{Diagnostic, FileId, Label, Severity, Sources, Span};

use super::summary;
use crate::inspect::Inspection;

pub(super) fn report(inspection: &Inspection, colour: bool) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
    .decor_style(DecorStyle::Unicode);
    let mut text = String::new();
    for diagnostic in &inspection.diagnostics {
        text.push_str(&renderer.render(&groups(diagnostic, &inspection.sources)));
        text.push_str("\n\n");
    }
    text.push_str(&summary(inspection));
    text.push('\n');
    text
}

/// The finding with its snippets, and its help.
fn groups<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let title = level
        .primary_title(&diagnostic.message)
        .id(diagnostic.rule.as_str());
    let mut finding = Group::with_title(title);
    for (file, labels) in by_file(diagnostic) {
        let text = sources.text(file);
        if text.is_empty() {
            // What is not there is not drawn: a finding about a model without files, or about an empty file.
            finding = finding.element(Origin::path(sources.path(file)));
            continue;
        }
        let annotations = labels.into_iter().map(|(kind, label)| {
            let annotation = kind.span(visible(label.span, text));
            match label.text.as_str() {
                "" => annotation,
                text => annotation.label(text),
            }
        });
        finding = finding.element(
            Snippet::source(text)
                .path(sources.path(file))
                .annotations(annotations),
        );
    }
    let help = diagnostic
        .help
        .iter()
        .map(|help| Group::with_title(Level::HELP.secondary_title(help)));
    std::iter::once(finding).chain(help).collect()
}

/// The labels of each file, that of the primary place first.
fn by_file(diagnostic: &Diagnostic) -> Vec<(FileId, Vec<(AnnotationKind, &Label)>)> {
    let mut others: BTreeMap<FileId, Vec<(AnnotationKind, &Label)>> = BTreeMap::new();
    for label in &diagnostic.related {
        let labels = others.entry(label.span.file).or_default();
        labels.push((AnnotationKind::Context, label));
    }
    let first = diagnostic.primary.span.file;
    let mut labels = vec![(AnnotationKind::Primary, &diagnostic.primary)];
    labels.extend(others.remove(&first).into_iter().flatten());
    std::iter::once((first, labels)).chain(others).collect()
}

/// The span within its text; of a span over several lines the first line only, so that a document is not drawn whole.
fn visible(span: Span, text: &str) -> std::ops::Range<usize> {
    let start = span.start.min(text.len());
    let end = span.end.clamp(start, text.len());
    let line = text.get(start..end).and_then(|covered| covered.find('\n'));
    start..line.map_or(end, |length| start + length)
}
