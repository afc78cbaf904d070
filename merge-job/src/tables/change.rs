//! What separates the tables that are there from those that a spec wants.

use std::collections::BTreeSet;
use std::fmt;

use milepost_job_spec::{PgIdent, TableRef, milestone};

use crate::error::Error;

/// A difference: one that is mended here, or one that stops the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An additive change, made in a short transaction of its own.
    Make(Step),
    /// More than that, but a planned migration makes it: the stream stops until somebody has it made.
    Migrate(Migration),
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

/// A difference that `merge-job migrate-tables` makes, once a person has seen its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// What is changed, and how: with it goes whatever publish would have made of the same table.
    pub step: Step,
    /// The columns whose values are cast.
    pub retypes: Vec<Retype>,
    /// How the table gets another layout, if it does.
    pub conversion: Option<Conversion>,
    /// The command that prints the plan.
    pub command: String,
}

/// A column that gets a type which rewrites its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retype {
    /// Its table.
    pub table: TableRef,
    /// Its name.
    pub column: PgIdent,
    /// Its type until now, as `format_type` prints it.
    pub from: String,
    /// Its type in the spec.
    pub to: String,
    /// What else than its table knows its values.
    pub kept: Kept,
}

/// Where the values of a column are kept besides its table, so that they must be found there afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nowhere.
    Nowhere,
    /// In control rows and quarantine entries, as `jsonb`: a key of a merge table.
    AsJson,
    /// In control rows, as text: a key in staging, which a topic is recognised by.
    AsText,
}

impl Migration {
    /// What stands against a batch until it is made, per column.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        let (object, command) = (&self.step.object, &self.command);
        let conversion = self.conversion.iter();
        let retypes = self.retypes.iter();
        conversion
            .map(|own| own.refusal(object.clone(), command))
            .chain(retypes.map(|own| own.refusal(object.clone(), command)))
            .collect()
    }
}

/// A change between strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// A live-only table begins to keep history.
    ToMilestoned,
    /// A milestoned table loses its history.
    ToLiveOnly,
}

/// The time of the batch that converts a table, as SQL: a setting of its transaction, so that the statements are known before.
pub(super) const BATCH_TIME: &str = "current_setting('milepost.batch_time')::timestamptz";

impl Conversion {
    /// What is done, for people.
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::ToMilestoned => "begins its history",
            Self::ToLiveOnly => "drops its history",
        }
    }

    /// How the table differs, and what makes it what its spec says.
    pub(super) fn refusal(self, object: Object, command: &str) -> Refusal {
        let (difference, remedy) = match self {
            Self::ToMilestoned => (
                "it is live-only, its spec is milestoned",
                format!("a planned migration: `{command}` prints the plan"),
            ),
            Self::ToLiveOnly => (
                "it is milestoned, its spec is live-only",
                format!(
                    "keep the history that a group asked for, or drop it by a planned migration: `{command} --drop-history` prints the plan"
                ),
            ),
        };
        Refusal {
            object,
            difference: difference.to_owned(),
            remedy,
        }
    }

    /// The refusal where something reads the table that the plan does not have: of a history that nobody wants any more that is
    /// most often a view of ours.
    pub(super) fn stands(self, refusal: Refusal, command: &str) -> Refusal {
        let own = self.refusal(refusal.object.clone(), command);
        Refusal {
            object: refusal.object,
            difference: format!("{}; {}", own.difference, refusal.difference),
            remedy: format!(
                "`merge-job reconcile-views` drops views that no group wants any more, others are yours to drop; then: {}",
                own.remedy
            ),
        }
    }

    /// Changes the list of columns that the table was made with.
    pub(super) fn mark(self, columns: &mut BTreeSet<String>) {
        for own in [milestone::IN, milestone::OUT, milestone::SOURCE_TS] {
            match self {
                Self::ToMilestoned => columns.insert(own.to_owned()),
                Self::ToLiveOnly => columns.remove(own),
            };
        }
    }
}

impl Retype {
    /// How the column differs, and what makes it what its spec says.
    pub(super) fn refusal(&self, object: Object, command: &str) -> Refusal {
        let Self {
            column, from, to, ..
        } = self;
        Refusal {
            object,
            difference: format!("column `{column}` is {from}, its spec says {to}"),
            remedy: format!(
                "a planned migration, if every value stays what it is: `{command}` prints the plan; or give the column a type of the model that maps to {from} again"
            ),
        }
    }
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
            Self::Migrate(migration) => &migration.step.object,
            Self::Refuse(refusal) => &refusal.object,
        }
    }

    /// What stops the stream, if it does.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        match self {
            Self::Make(_) => Vec::new(),
            Self::Migrate(migration) => migration.refusals(),
            Self::Refuse(refusal) => vec![refusal.clone()],
        }
    }
}

impl Refusal {
    /// The error of a migration that it stands against: no table is other than it should be.
    pub(crate) fn into_obstacle(self) -> Error {
        Error::Obstacle {
            what: format!("{}: {}; nothing was changed", self.object, self.difference),
            remedy: self.remedy,
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
            Self::Migrate(Migration { step, .. }) => {
                write!(f, "{}: needs a migration: {}", step.object, step.what)
            }
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
