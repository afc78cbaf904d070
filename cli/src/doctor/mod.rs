//! `milepost doctor`: facts → findings. What runs is asked by [`crate::live`]; here it is judged against the plan, without
//! any I/O, and told.

pub(crate) mod cause;
mod clock;
mod connectors;
mod database;
mod finding;
mod report;
mod source;
mod streams;
pub(crate) mod system;

use milepost_job_spec::Outcome;
use milepost_platform::plan::Plan;
use tokio::task::JoinSet;

use crate::args::{LiveArgs, LiveFormat};
use crate::failure::Failure;
use crate::live::connect::{self, ConnectFacts};
use crate::live::platform::{self, PlatformFacts};
use crate::live::source::{self as source_facts, PostgresSource, SourceFacts};
use crate::live::{Answer, secret};
use crate::{inspect, output};
use finding::Finding;

/// Examines what runs for a platform, tells what is wrong, and changes nothing.
pub(crate) fn run(args: &LiveArgs) -> Result<Outcome, Failure> {
    let Some(plan) = inspect::planned(&args.dir, &args.platform)? else {
        return Ok(Outcome::Usage);
    };
    let facts = crate::live::runtime()?.block_on(facts(&plan));
    let secrets = secret::known(&plan);
    let findings: Vec<Finding> = judge(&plan, &facts)
        .into_iter()
        .map(|finding| finding.without(&secrets))
        .collect();
    output::data(&match args.format {
        LiveFormat::Human => report::human(&findings, output::is_colourful()),
        LiveFormat::Json => report::json(&plan.index.platform, &findings),
    });
    Ok(finding::outcome(&findings))
}

/// All that could be found out.
struct Facts {
    connect: Answer<ConnectFacts>,
    platform: Answer<PlatformFacts>,
    sources: Vec<(PostgresSource, Answer<SourceFacts>)>,
}

async fn facts(plan: &Plan) -> Facts {
    let mut asked = JoinSet::new();
    for source in plan
        .connect
        .files
        .iter()
        .filter_map(|file| PostgresSource::of(file, plan))
    {
        asked.spawn(async move {
            let facts = source_facts::examine(&source).await;
            (source, facts)
        });
    }
    let connect = connect::examine(&plan.connect).await;
    // After the offsets of sinks: a row is staged before its offset is committed, so it has to be there now.
    let platform = platform::examine(plan).await;
    let mut sources = asked.join_all().await;
    sources.sort_by(|(a, _), (b, _)| a.store.cmp(&b.store));
    Facts {
        connect,
        platform,
        sources,
    }
}

/// In the order in which events travel, so that the first fault is the one to mend first.
fn judge(plan: &Plan, facts: &Facts) -> Vec<Finding> {
    let asked = connectors::Connectors {
        platform: &plan.index.platform,
        plan: &plan.connect,
        address: connect::address(&plan.connect),
    };
    let mut findings = Vec::new();
    for (source, answer) in &facts.sources {
        findings.extend(source::judge(source, answer, &facts.connect));
    }
    for file in &plan.connect.files {
        findings.extend(source::elsewhere::judge(file, &facts.connect));
    }
    findings.extend(connectors::judge(&asked, &facts.connect));
    findings.extend(database::judge(
        plan,
        &platform::place(&plan.index.database),
        &facts.platform,
    ));
    findings.extend(streams::sinks(plan, &facts.connect, &facts.platform));
    findings.extend(streams::judge(plan, &facts.platform));
    findings
}
