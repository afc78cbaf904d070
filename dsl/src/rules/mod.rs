//! What lint looks for: every rule with its name, its severity and its reasons.
//!
//! A rule is a small value in a list ([`RULES`]). Rules over the text are checked where it is read and resolved, and have
//! nothing left to check here; a platform adds rules of its own over `Rule<S>` with another subject.

pub(crate) mod duplicate_key;
pub(crate) mod kind;
pub(crate) mod language;
pub(crate) mod missing_key;
pub(crate) mod shape;
pub(crate) mod syntax;
pub(crate) mod unknown_key;
pub(crate) mod value;

use crate::{Diagnostic, RuleId, Severity, Span};

/// What a rule is, for people: the source of `docs/rules.md`.
#[derive(Debug)]
pub struct About {
    /// Its stable name.
    pub id: RuleId,
    /// How bad a finding is.
    pub severity: Severity,
    /// In one line, what it demands.
    pub summary: &'static str,
    /// Why, and what to do about a finding.
    pub explanation: &'static str,
}

impl About {
    /// A finding of this rule; add help and related places to it.
    #[must_use]
    pub fn finding(
        &self,
        object: impl Into<String>,
        span: Span,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(self.id, object, span, message).with_severity(self.severity)
    }
}

/// A rule over a subject: the [`Model`](crate::model::Model) for the rules here, a platform and its graph for the
/// rules of a platform.
pub trait Rule<S: ?Sized>: Sync {
    /// What the rule is.
    fn about(&self) -> &'static About;

    /// Adds what it finds.
    fn check(&self, subject: &S, findings: &mut Vec<Diagnostic>);
}
