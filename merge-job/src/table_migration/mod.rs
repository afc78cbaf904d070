//! Planned migrations of merge and staging tables: what publish will not do by itself, because it rewrites a table.
//!
//! A [`Plan`] says what would be done and whether every value stays what it is; [`execute()`] does it, dataset by dataset,
//! each in one transaction under the stream's lock, if it is still the plan that a person has seen. The control schema's own
//! migrations are [`crate::migrate`].

mod check;
mod execute;
mod plan;
mod report;

use tokio_postgres::Config;

use crate::control::stream::{self, Stream};
use crate::error::Error;
use crate::session::Session;
use crate::tables::{Patience, shell};

pub use check::{Checked, Converted};
pub use execute::STEPS;
pub use plan::{DatasetPlan, Plan};

/// Which tables.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The platform.
    pub platform: String,
    /// The store.
    pub store: String,
    /// Only this dataset of the store.
    pub dataset: Option<String>,
    /// May the history of a table be dropped that is live-only from now on?
    pub drop_history: bool,
}

impl Scope {
    /// The command that prints the plan of this scope.
    fn command(&self) -> String {
        let mut command = format!(
            "merge-job migrate-tables --platform {} --store {}",
            shell::word(&self.platform),
            shell::word(&self.store)
        );
        if let Some(dataset) = &self.dataset {
            command = format!("{command} --dataset {}", shell::word(dataset));
        }
        if self.drop_history {
            command.push_str(" --drop-history");
        }
        command
    }
}

/// Plans the migrations that the published streams need; changes nothing.
///
/// # Errors
/// [`Error::UnknownStream`] if no published stream has the dataset; [`Error::Sql`] if the database refuses.
pub async fn plan(config: &Config, scope: &Scope) -> Result<Plan, Error> {
    let session = Session::connect(config).await?;
    let streams = published(&session, scope).await?;
    let mut plan = Plan::of(scope, &streams);
    check::plan(&session, &mut plan).await?;
    Ok(plan)
}

/// Executes the plan with this digest.
///
/// # Errors
/// [`Error::Usage`] if the plan is another one now; [`Error::Held`] if a run holds the stream; [`Error::Shape`] if a value
/// would not stay what it is, or somebody keeps a table for too long.
pub async fn execute(
    config: &Config,
    scope: &Scope,
    digest: &str,
    patience: Patience,
) -> Result<Plan, Error> {
    let session = Session::connect(config).await?;
    let streams = published(&session, scope).await?;
    let plan = Plan::of(scope, &streams);
    if let Some(refusal) = plan.refusals.first() {
        return Err(refusal.clone().into());
    }
    if let Some(refusal) = plan.kept_history() {
        return Err(refusal.into_obstacle());
    }
    if plan.digest() != digest {
        return Err(plan.is_another());
    }
    for own in &plan.datasets {
        execute::dataset(&session, scope, own, &plan, patience).await?;
    }
    Ok(plan)
}

async fn published(session: &Session, scope: &Scope) -> Result<Vec<Stream>, Error> {
    let dataset = scope.dataset.as_deref();
    stream::published(session, &scope.platform, Some(&scope.store), dataset).await
}
