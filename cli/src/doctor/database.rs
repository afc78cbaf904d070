//! The platform's Postgres: the server, and what of the plan stands in it.

use std::collections::BTreeMap;

use milepost_job_spec::{CONTROL_VERSION, Digest, PlatformPlan, StreamKey, TableRef};
use milepost_platform::plan::Plan;

use super::clock;
use super::finding::{Finding, some};
use crate::live::platform::{PlatformFacts, Published, TableFact};
use crate::live::{Answer, Trouble};

/// `merge-job` needs `unique nulls not distinct`.
const OLDEST_SERVER: i32 = 150_000;

const PUBLISH: &str = "`milepost render --out DIR`, then `merge-job publish --from DIR`";

/// Everything that is to be said about the database itself; its streams are judged by [`super::streams`].
pub(super) fn judge(plan: &Plan, place: &str, facts: &Answer<PlatformFacts>) -> Vec<Finding> {
    let what = format!("postgres {place}");
    let facts = match facts {
        Ok(facts) => facts,
        Err(trouble) => return vec![Finding::trouble(&what, trouble, door(plan, trouble))],
    };
    let mut findings = server(&what, facts);
    findings.push(clock::judge(&what, &facts.skew));
    findings.push(control(&what, facts));
    if matches!(facts.control, Ok(Some(_))) {
        findings.push(published(&what, plan, &facts.published));
    }
    findings.push(match &facts.tables {
        Ok(found) => tables(&what, plan, found),
        Err(trouble) => asked(&format!("{what} tables"), trouble),
    });
    findings
}

/// What to do where the database lets nobody in.
fn door(plan: &Plan, trouble: &Trouble) -> String {
    let address = &plan.index.database;
    let variables = format!(
        "`{}` and `{}`",
        address.user_variable, address.password_variable
    );
    match trouble {
        Trouble::Unconfigured(_) => {
            "set them, or MILEPOST_DATABASE_URL=postgres://user:password@host:port/database".to_owned()
        }
        Trouble::Login(_) => format!(
            "{variables} (or MILEPOST_DATABASE_URL) must hold a login; the server may have to let it in from here \
             (`pg_hba.conf`)"
        ),
        _ => "start the server, see to `postgres: {host: …}` in the model, or set MILEPOST_DATABASE_URL to where it can \
              be reached from here"
            .to_owned(),
    }
}

pub(super) fn asked(what: &str, trouble: &Trouble) -> Finding {
    Finding::trouble(what, trouble, "look into the log of the database's server")
}

fn server(what: &str, facts: &PlatformFacts) -> Vec<Finding> {
    let server = match &facts.server {
        Ok(server) => server,
        Err(trouble) => return vec![asked(what, trouble)],
    };
    let version = if server.number < OLDEST_SERVER {
        Finding::fail(
            what,
            format!("PostgreSQL {}, merges need 15 or newer", server.version),
            "upgrade the server",
        )
    } else if server.is_standby {
        Finding::fail(
            what,
            "it is a standby, which nobody can write to",
            "see to `postgres: {host: …}` in the model: merges need the primary",
        )
    } else {
        Finding::pass(what, format!("PostgreSQL {}", server.version))
    };
    let mut findings = vec![version];
    if !server.temporary {
        findings.push(Finding::fail(
            what,
            "the role may not make temporary tables, in which a batch keeps its events",
            "`grant temporary on database … to …`",
        ));
    }
    findings
}

fn control(what: &str, facts: &PlatformFacts) -> Finding {
    let what = format!("{what} control schema");
    match &facts.control {
        Ok(Some(found)) if *found == CONTROL_VERSION => {
            Finding::pass(&what, format!("version {found}"))
        }
        Ok(Some(found)) if *found < CONTROL_VERSION => Finding::fail(
            &what,
            format!("version {found}, this release needs {CONTROL_VERSION}"),
            "`merge-job migrate`, of this release",
        ),
        Ok(Some(found)) => Finding::fail(
            &what,
            format!("version {found}, this release knows {CONTROL_VERSION}"),
            "use the release that migrated it",
        ),
        Ok(None) => Finding::fail(&what, "there is none", "`merge-job migrate`"),
        Err(trouble) => asked(&what, trouble),
    }
}

/// Do merges run from what the model says now? A commit that changes nothing that runs is no difference.
fn published(what: &str, plan: &Plan, found: &Answer<Option<Published>>) -> Finding {
    let what = format!("{what} published plan");
    let found = match found {
        Ok(Some(found)) => found,
        Ok(None) => {
            return Finding::fail(&what, "nothing was published for this platform", PUBLISH);
        }
        Err(trouble) => return asked(&what, trouble),
    };
    let Some(theirs) = &found.plan else {
        return Finding::fail(&what, "another release wrote it", PUBLISH);
    };
    let ours = &plan.index;
    let differing = differing(ours, theirs);
    let of = |commit: &str| commit.get(..12).unwrap_or(commit).to_owned();
    let (published, here) = (of(&found.commit), of(&ours.model.commit));
    if differing.is_empty() && ours.tables == theirs.tables && ours.workspaces == theirs.workspaces
    {
        return Finding::pass(
            &what,
            match published == here {
                true => format!("that of this model, {here}"),
                false => format!("that of model {published}; {here} changes nothing that runs"),
            },
        );
    }
    let streams = match differing.is_empty() {
        true => String::new(),
        false => format!(" in {}", some(differing)),
    };
    Finding::warn(
        &what,
        format!("merges run from model {published}, which differs from {here}{streams}"),
        format!("{PUBLISH}, if this is the model that should run"),
    )
}

/// Streams that are not the same in both.
fn differing(ours: &PlatformPlan, theirs: &PlatformPlan) -> Vec<String> {
    fn digests(plan: &PlatformPlan) -> BTreeMap<&StreamKey, &Digest> {
        plan.streams
            .iter()
            .map(|entry| (&entry.stream, &entry.digest))
            .collect()
    }
    let (ours, theirs) = (digests(ours), digests(theirs));
    let mut keys: Vec<&StreamKey> = ours.keys().chain(theirs.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .filter(|key| ours.get(key) != theirs.get(key))
        .map(ToString::to_string)
        .collect()
}

fn tables(what: &str, plan: &Plan, found: &BTreeMap<TableRef, TableFact>) -> Finding {
    let what = format!("{what} tables");
    let planned = &plan.index.tables;
    let fact = |table: &TableRef| found.get(table).copied();
    let missing: Vec<&TableRef> = planned
        .iter()
        .filter(|table| !fact(table).is_some_and(|fact| fact.exists))
        .collect();
    if !missing.is_empty() {
        return Finding::fail(
            &what,
            format!(
                "{} of {} are missing: {}",
                missing.len(),
                planned.len(),
                some(missing)
            ),
            "`merge-job publish --from DIR` makes them; a sink that stopped for want of one is then restarted",
        );
    }
    // Staging is only appended to; rows leave merge tables.
    let staging = plan.streams.values().flat_map(|spec| {
        let datasets = spec.datasets.iter().map(|dataset| &dataset.staging);
        datasets.chain(&spec.transactions)
    });
    let staging: Vec<&TableRef> = staging.collect();
    let refused: Vec<&TableRef> = planned
        .iter()
        .filter(|table| {
            let may =
                |fact: TableFact| fact.writable && (fact.deletable || staging.contains(table));
            !fact(table).is_some_and(may)
        })
        .collect();
    if !refused.is_empty() {
        let remedy = format!(
            "the role of `{}` merges and stages: let it own what it makes, or grant it select, insert and update (on merge \
             tables delete too)",
            plan.index.database.user_variable
        );
        return Finding::fail(
            &what,
            format!("the role may not write {}", some(refused)),
            remedy,
        );
    }
    Finding::pass(
        &what,
        format!("all {} exist and can be written", planned.len()),
    )
}
