//! What separates the tables that are there from those that a spec wants.

use std::fmt;

use milepost_job_spec::{PgIdent, TableRef};

use crate::error::Error;

/// A difference: one that is mended here, or one that stops the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An additive change, made in a short transaction of its own.
    Make(Step),
    /// Anything else; the object stays as it is.
    Refuse(Refusal),
}

/// Statements that belong in one transaction. Each may be run again by whoever read an older catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is changed.
    pub object: Object,
    /// What is done, for people: `adds column "email" text`.
    pub what: String,
    /// The statements, in order.
    pub statements: Vec<String>,
}

/// A difference that only a person, or a planned migration, can mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What differs from its spec.
    pub object: Object,
    /// How it differs.
    pub difference: String,
    /// What to do.
    pub remedy: String,
}

/// An object of the database, with its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A schema.
    Schema(PgIdent),
    /// A role.
    Role(PgIdent),
    /// A table with its partitions.
    Table(TableRef),
    /// The views and the function of one workspace on one dataset, by the name of the live view.
    View(TableRef),
}

impl Change {
    /// What is changed or refused.
    #[must_use]
    pub const fn object(&self) -> &Object {
        match self {
            Self::Make(step) => &step.object,
            Self::Refuse(refusal) => &refusal.object,
        }
    }

    /// The refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Make(_) => None,
            Self::Refuse(refusal) => Some(refusal.clone()),
        }
    }
}

impl From<Refusal> for Error {
    fn from(
        Refusal {
            object,
            difference,
            remedy,
        }: Refusal,
    ) -> Self {
        Self::Shape {
            table: object.to_string(),
            difference,
            remedy,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make(step) => write!(f, "{}: {}", step.object, step.what),
            Self::Refuse(refusal) => {
                write!(f, "{}: refused: {}", refusal.object, refusal.difference)
            }
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(name) => write!(f, "schema `{name}`"),
            Self::Role(name) => write!(f, "role `{name}`"),
            Self::Table(table) => write!(f, "table `{table}`"),
            Self::View(view) => write!(f, "view `{view}`"),
        }
    }
}
