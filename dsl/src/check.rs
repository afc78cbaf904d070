use crate::model::Model;
use crate::resolve::resolve;
use crate::rules;
use crate::spec::ModelSpec;
use crate::{Diagnostic, Severity, Sources, parse, sort};

/// What is known of a model after every stage.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The documents as they were written: what the comparison of two models reads, errors or not.
    pub spec: ModelSpec,
    /// What they mean; none while any error stands.
    pub model: Option<Model>,
    /// Everything that was found, in the order in which it is shown.
    pub diagnostics: Vec<Diagnostic>,
}

impl Checked {
    /// Does an error stand?
    #[must_use]
    pub fn has_errors(&self) -> bool {
        let mut found = self.diagnostics.iter();
        found.any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// Reads a model and says all that is wrong with it.
#[must_use]
pub fn check(sources: &Sources) -> Checked {
    let parsed = parse(sources);
    let mut diagnostics = parsed.diagnostics;
    let model = resolve(&parsed.spec, sources.first(), &mut diagnostics);
    if let Some(model) = &model {
        rules::check(model, &mut diagnostics);
    }
    let is_sound = diagnostics
        .iter()
        .all(|found| found.severity != Severity::Error);
    sort(&mut diagnostics, sources);
    Checked {
        spec: parsed.spec,
        model: model.filter(|_| is_sound),
        diagnostics,
    }
}
