//! `merge-job resync`: rows that have diverged from their source get what the source has.
//!
//! Rows are compared as `verify` does; what it prints is the plan. A person executes a plan by its digest, and it is executed
//! if the comparison still comes to the same.

mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::Config;

use crate::batch::resync::{Resync, Resynced};
use crate::batch::{self, Ended, Missing};
use crate::compare::{self, Compared, Outcome, Plan};
use crate::control::stream::{self, Stream};
use crate::error::Error;
use crate::session::Session;

pub use crate::batch::resync::STEPS;
pub use report::Report;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The platform.
    pub platform: String,
    /// The store.
    pub store: String,
    /// Only this dataset of the store.
    pub dataset: Option<String>,
    /// For how long rows have to differ.
    pub settle: Duration,
    /// The digest of the plan that is executed; without it nothing is changed.
    pub execute: Option<String>,
    /// May more rows be closed than a dataset's policy lets be missing?
    pub missing: Missing,
}

/// Compares, and does what was asked for.
///
/// # Errors
/// [`Error::Usage`] if the plan is another one now; [`Error::Obstacle`] if too many rows differ; what either database refuses.
/// What a stream meets whose turn it is, is in [`Report::stopped`]: those before it are repaired.
pub async fn resync(config: &Config, request: &Request) -> Result<Report, Error> {
    let mut session = Session::connect(config).await?;
    let dataset = request.dataset.as_deref();
    let streams =
        stream::published(&session, &request.platform, Some(&request.store), dataset).await?;
    let compared = compare::compare(&session, &streams, dataset, request.settle).await?;
    let plan = Plan::of(&request.platform, &request.store, dataset, &compared);
    let mut report = Report::of(&compared, plan);
    let Some(digest) = &request.execute else {
        return Ok(report);
    };
    if let Some(own) = compared
        .iter()
        .find(|own| matches!(own.outcome, Outcome::TooMany))
    {
        return Err(too_many(own));
    }
    if report.plan.digest != *digest {
        return Err(is_another(&report.plan));
    }
    for stream in &streams {
        let wanted = wanted(stream, &compared);
        if wanted.is_empty() {
            continue;
        }
        let resync = Resync::new(stream, wanted, request.missing);
        match run(&mut session, config, stream, &resync).await {
            Ok(done) => report.add(&stream.spec.stream, &done),
            // What was done before is told first.
            Err(error) => {
                report.stopped = Some(error);
                break;
            }
        }
    }
    Ok(report)
}

/// The rows of a stream that diverged, by place of the dataset.
fn wanted<'a>(
    stream: &Stream,
    compared: &'a [Compared],
) -> BTreeMap<usize, &'a [compare::Difference]> {
    let datasets = stream.spec.datasets.iter().enumerate();
    let of = |(place, dataset): (usize, &milepost_job_spec::DatasetSpec)| {
        let mut own = compared
            .iter()
            .filter(|own| own.stream == stream.spec.stream);
        let own = own.find(|own| own.dataset.name == dataset.name)?;
        let diverged = own.diverged();
        (!diverged.is_empty()).then_some((place, diverged))
    };
    datasets.filter_map(of).collect()
}

async fn run(
    session: &mut Session,
    config: &Config,
    stream: &Stream,
    resync: &Resync<'_>,
) -> Result<Resynced, Error> {
    let source = compare::connect(stream).await?;
    let error = match resync.run(session, &source).await {
        Ok(done) => return Ok(done),
        Err(error) => error,
    };
    if error.is_disconnect() {
        *session = Session::connect(config).await?;
        if let Error::Commit { number, .. } = error {
            // Its number tells, once whatever holds the stream has ended.
            stream::wait(session, stream).await?;
            let ended = batch::after_lost_commit(session, stream, number).await?;
            session.script("let the stream go", "rollback").await?;
            if let Some(Ended::Committed { number, counts, .. }) = ended {
                return Ok(Resynced {
                    number: Some(number),
                    counts,
                    left: 0,
                });
            }
        }
    } else {
        session.script("roll back the batch", "rollback").await?;
    }
    Err(error)
}

fn too_many(own: &Compared) -> Error {
    Error::Obstacle {
        what: format!(
            "more than {} rows of dataset `{}` differ from the source; nothing was changed",
            compare::MAX_DIFFERENCES,
            own.dataset.name
        ),
        remedy: compare::TOO_MANY.to_owned(),
    }
}

/// The error of whoever executes a plan that is no more.
fn is_another(plan: &Plan) -> Error {
    Error::Usage(if plan.is_empty() {
        "there is nothing to repair: no row has diverged; nothing was changed".to_owned()
    } else {
        format!(
            "the plan is another one now, and nothing was changed: {}",
            plan.to_text().trim_end().replace('\n', " ")
        )
    })
}
