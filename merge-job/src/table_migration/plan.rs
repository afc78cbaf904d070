//! What would be done. Pure.

use milepost_job_spec::{DatasetSpec, Digest, StreamKey};

use super::Scope;
use super::check::{Checked, Converted};
use crate::control::stream::Stream;
use crate::error::Error;
use crate::tables::{self, Change, Conversion, Migration, Object, Refusal, Retype, Step};

/// The migrations of some datasets.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is done, in order.
    pub datasets: Vec<DatasetPlan>,
    /// What no migration makes: while there is any, nothing is done.
    pub refusals: Vec<Refusal>,
    /// What the values were found to be.
    pub checked: Vec<Checked>,
    /// What tables have that change their strategy.
    pub converted: Vec<Converted>,
    /// May history be dropped?
    may_drop_history: bool,
    /// The command that prints this plan.
    pub command: String,
}

/// What is done to the tables of one dataset, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetPlan {
    /// Its stream.
    pub stream: StreamKey,
    /// Its name.
    pub dataset: String,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// The columns whose values are cast.
    pub retypes: Vec<Retype>,
    /// How its merge table changes its strategy.
    pub conversion: Option<Conversion>,
    /// What it is to be.
    pub(super) spec: DatasetSpec,
}

impl Plan {
    /// Plans for these streams, as far as they are in the scope.
    #[must_use]
    pub fn of(scope: &Scope, streams: &[Stream]) -> Self {
        let mut plan = Self {
            datasets: Vec::new(),
            refusals: Vec::new(),
            checked: Vec::new(),
            converted: Vec::new(),
            may_drop_history: scope.drop_history,
            command: scope.command(),
        };
        for stream in streams {
            plan.add(scope, stream);
        }
        plan
    }

    fn add(&mut self, scope: &Scope, stream: &Stream) {
        let changes = tables::differences(&stream.spec, &stream.catalog);
        let wanted = |name: &str| scope.dataset.as_deref().is_none_or(|own| own == name);
        let datasets = || stream.spec.datasets.iter();
        for change in &changes {
            let of = datasets().find(|dataset| is_of(change, dataset));
            if let Change::Refuse(refusal) = change
                && of.is_none_or(|dataset| wanted(&dataset.name))
                && !self.refusals.contains(refusal)
            {
                self.refusals.push(refusal.clone());
            }
        }
        for dataset in datasets().filter(|dataset| wanted(&dataset.name)) {
            self.datasets
                .extend(of_dataset(&stream.spec.stream, dataset, &changes));
        }
    }

    /// What a person who executes it has to name: the steps, with old and new types; not how many rows there are.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut text = String::new();
        for own in &self.datasets {
            text.push_str(&own.text());
        }
        let digest = Digest::of(text.as_bytes()).to_string();
        let hexadecimal = digest.rsplit(':').next().unwrap_or_default();
        hexadecimal.chars().take(16).collect()
    }

    /// The error of whoever executes a plan that is no more.
    pub(super) fn is_another(&self) -> Error {
        Error::Usage(if self.datasets.is_empty() {
            format!(
                "there is nothing to migrate: the tables are what their specs say, or publish makes them so; nothing was changed (`{}`)",
                self.command
            )
        } else {
            format!(
                "the plan is another one now, and nothing was changed: read it with `{}`, then execute {}",
                self.command,
                self.digest()
            )
        })
    }

    /// Is there something that cannot be done?
    #[must_use]
    pub fn is_obstructed(&self) -> bool {
        !self.refusals.is_empty()
            || self.checked.iter().any(|own| own.obstacle().is_some())
            || self.kept_history().is_some()
    }

    /// The refusal of a plan that would drop history, where nobody said that it may.
    #[must_use]
    pub fn kept_history(&self) -> Option<Refusal> {
        let own = self
            .datasets
            .iter()
            .find(|own| own.conversion == Some(Conversion::ToLiveOnly))
            .filter(|_| !self.may_drop_history)?;
        Some(Refusal {
            object: Object::Table(own.spec.merge.clone()),
            difference: "its history would be dropped".to_owned(),
            remedy: format!(
                "keep it, with a group that asks for history; or say so: `{} --drop-history`",
                self.command
            ),
        })
    }
}

impl DatasetPlan {
    /// Everything that is decided, as one text.
    fn text(&self) -> String {
        let mut text = format!("{} {:?}\n", self.stream, self.dataset);
        for retype in &self.retypes {
            text.push_str(&format!("{retype:?}\n"));
        }
        for statement in self.statements() {
            text.push_str(statement);
            text.push_str(";\n");
        }
        text
    }

    /// The statements, in order.
    pub(super) fn statements(&self) -> impl Iterator<Item = &String> {
        self.steps.iter().flat_map(|step| &step.statements)
    }
}

/// The plan of a dataset, if it needs one: with a migration goes whatever else its tables and views need.
fn of_dataset(
    stream: &StreamKey,
    dataset: &DatasetSpec,
    changes: &[Change],
) -> Option<DatasetPlan> {
    let mut own = DatasetPlan {
        stream: stream.clone(),
        dataset: dataset.name.clone(),
        steps: Vec::new(),
        retypes: Vec::new(),
        conversion: None,
        spec: dataset.clone(),
    };
    let is_shared =
        |change: &&Change| matches!(change.object(), Object::Schema(_) | Object::Role(_));
    let related = changes
        .iter()
        .filter(|change| is_shared(change) || is_of(change, dataset));
    for change in related {
        match change {
            Change::Make(step) => own.steps.push(step.clone()),
            Change::Migrate(Migration {
                step,
                retypes,
                conversion,
                ..
            }) => {
                own.steps.push(step.clone());
                own.retypes.extend(retypes.iter().cloned());
                own.conversion = own.conversion.or(*conversion);
            }
            Change::Refuse(_) => return None,
        }
    }
    (!own.retypes.is_empty() || own.conversion.is_some()).then_some(own)
}

fn is_of(change: &Change, dataset: &DatasetSpec) -> bool {
    match change.object() {
        Object::Table(table) => *table == dataset.merge || *table == dataset.staging,
        Object::View(view) => dataset.views.iter().any(|own| {
            own.schema == view.schema
                && (own.live == view.name
                    || own.history.as_ref() == Some(&view.name)
                    || own.as_of.as_ref() == Some(&view.name))
        }),
        Object::Schema(_) | Object::Role(_) => false,
    }
}
