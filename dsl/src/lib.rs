//! The model language: YAML text in, a checked model and its intention graphs out.
//!
//! Nothing here reads a file, a clock, the environment or the network: the same text always gets the same answer.
//! [`check()`] is the way through: [`Sources`] are parsed into specs, specs are resolved into a [`Model`],
//! rules look at the model. Every stage says all that is wrong, with its place. While any error stands there is no model.
//!
//! Reading order: [`Sources`], [`Spanned`], [`scalar`], [`spec`], [`parse()`], [`model`], [`rules`], [`graph`].

mod check;
pub mod compare;
mod diagnostic;
pub mod graph;
pub mod model;
mod parse;
mod resolve;
pub mod rules;
pub mod scalar;
mod schema;
mod source;
mod spanned;
pub mod spec;
mod yaml;

pub use check::{Checked, check};
pub use diagnostic::{Diagnostic, Label, RuleId, Severity, sort};
pub use graph::{GraphFormat, IntentionGraph};
pub use model::Model;
pub use parse::{LANGUAGE_VERSION, Parsed, parse};
pub use schema::schema;
pub use source::{FileId, Place, Sources, Span};
pub use spanned::Spanned;
