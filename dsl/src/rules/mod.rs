//! What lint looks for: every rule with its name, its severity and its reasons.
//!
//! A rule is a small value in a list ([`RULES`]). Rules over the text are checked where it is read and resolved, and have
//! nothing left to check here; a platform adds rules of its own over `Rule<S>` with another subject.

mod append;
mod credential;
pub(crate) mod duplicate;
pub(crate) mod duplicate_key;
mod empty;
mod identifier;
pub(crate) mod key;
pub(crate) mod kind;
pub(crate) mod language;
mod latency;
mod live_owner;
mod location;
pub(crate) mod missing_key;
pub(crate) mod no_ecosystem;
mod no_platform;
pub(crate) mod reference;
pub(crate) mod shape;
mod stream_override;
pub(crate) mod syntax;
mod unassigned;
mod undefined;
pub(crate) mod unknown_key;
mod unused;
pub(crate) mod value;

use crate::Model;
use crate::{Diagnostic, RuleId, Severity, Span};
pub use identifier::{RESERVED, RESERVED_PREFIX};

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

/// A rule over a subject: the [`Model`] for the rules here, a platform and its graph for the
/// rules of a platform.
pub trait Rule<S: ?Sized>: Sync {
    /// What the rule is.
    fn about(&self) -> &'static About;

    /// Adds what it finds.
    fn check(&self, subject: &S, findings: &mut Vec<Diagnostic>);

    /// Does it look for what is not there? Such a rule is asked only if everything else is, because what is missing may
    /// be what another finding is about.
    fn judges_absence(&self) -> bool {
        false
    }
}

/// A rule over the text, checked where documents are read or their references are bound.
struct Earlier(&'static About);

impl Rule<Model> for Earlier {
    fn about(&self) -> &'static About {
        self.0
    }

    fn check(&self, _: &Model, _: &mut Vec<Diagnostic>) {}
}

/// Every rule of the language, in the order in which they are checked and documented.
pub static RULES: &[&dyn Rule<Model>] = &[
    &Earlier(&syntax::RULE),
    &Earlier(&kind::RULE),
    &Earlier(&language::RULE),
    &Earlier(&unknown_key::RULE),
    &Earlier(&missing_key::RULE),
    &Earlier(&duplicate_key::RULE),
    &Earlier(&shape::RULE),
    &Earlier(&value::RULE),
    &Earlier(&no_ecosystem::RULE),
    &Earlier(&duplicate::RULE),
    &Earlier(&reference::RULE),
    &Earlier(&key::RULE),
    &undefined::Undefined,
    &live_owner::LiveOwner,
    &identifier::Identifier,
    &location::Location,
    &credential::Credential,
    &append::Append,
    &latency::Latency,
    &stream_override::StreamOverride,
    &empty::Empty,
    &unassigned::Unassigned,
    &unused::Unused,
    &no_platform::NoPlatform,
];

/// Asks every rule, those about absence only if there is nothing else.
pub(crate) fn check(model: &Model, findings: &mut Vec<Diagnostic>) {
    for rule in RULES.iter().filter(|rule| !rule.judges_absence()) {
        rule.check(model, findings);
    }
    if findings
        .iter()
        .all(|finding| finding.severity != Severity::Error)
    {
        for rule in RULES.iter().filter(|rule| rule.judges_absence()) {
            rule.check(model, findings);
        }
    }
}

/// The documentation of rules: a table, then a section for each. `docs/rules.md` is made of it.
#[must_use]
pub fn to_markdown(rules: &[&About]) -> String {
    let mut text = "| rule | severity | demands that |\n|---|---|---|\n".to_owned();
    for rule in rules {
        text.push_str(&format!(
            "| [`{id}`](#{id}) | {} | {} |\n",
            rule.severity,
            rule.summary,
            id = rule.id
        ));
    }
    for rule in rules {
        text.push_str(&format!(
            "\n## {}\n\n{}: {}.\n\n{}\n",
            rule.id, rule.severity, rule.summary, rule.explanation
        ));
    }
    text
}
