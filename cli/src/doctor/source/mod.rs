//! A source: what the connector needs of it.

pub(super) mod elsewhere;
mod slot;
mod table;

use std::collections::BTreeSet;

use super::clock;
use super::finding::{Finding, some};
use crate::live::connect::ConnectFacts;
use crate::live::source::{PostgresSource, SourceFacts, SourceServer, TableName};
use crate::live::{Answer, Trouble};

/// From here on a slot says whether its log is lost (`wal_status`).
const OLDEST_SERVER: i32 = 130_000;

/// Everything that is to be said about a source Postgres.
pub(super) fn judge(
    source: &PostgresSource,
    facts: &Answer<SourceFacts>,
    connect: &Answer<ConnectFacts>,
) -> Vec<Finding> {
    let what = format!("source {}", source.store);
    let facts = match facts {
        Ok(facts) => facts,
        Err(trouble) => return vec![door(&what, source, trouble, connect)],
    };
    let mut findings = Vec::new();
    match &facts.server {
        Ok(server) => findings.extend(self::server(&what, source, server)),
        Err(trouble) => findings.push(asked(&what, trouble)),
    }
    findings.push(clock::judge(&what, &facts.skew));
    findings.push(slot::judge(&what, source, facts));
    findings.push(publication(&what, source, facts));
    findings.extend(table::captured(&what, source, facts));
    findings.extend(table::own(&what, source, facts));
    findings.extend(unread(&what, facts));
    findings
}

/// What to do where the source lets nobody in. Where the environment has no credential, Kafka Connect may have tried its own.
fn door(
    what: &str,
    source: &PostgresSource,
    trouble: &Trouble,
    connect: &Answer<ConnectFacts>,
) -> Finding {
    match trouble {
        Trouble::Unconfigured(_) => Finding::warn(
            what,
            match elsewhere::tried(&source.connector, connect) {
                Ok(()) => format!("{trouble}; Kafka Connect has tried its settings instead"),
                Err(untried) => {
                    format!("{trouble}; nor was it examined otherwise: {}", untried.why)
                }
            },
            format!(
                "set `{}` and `{}` to have slot, publication and tables examined too",
                source.user_variable, source.password_variable
            ),
        ),
        Trouble::Login(_) => Finding::trouble(
            what,
            trouble,
            format!(
                "`{}` and `{}` must hold a login for {}; the source may have to let it in from here (`pg_hba.conf`)",
                source.user_variable,
                source.password_variable,
                source.place()
            ),
        ),
        _ => Finding::trouble(
            what,
            trouble,
            format!(
                "start the server at {}, see to host and port in the model, or run this where it can be reached",
                source.place()
            ),
        ),
    }
}

fn asked(what: &str, trouble: &Trouble) -> Finding {
    Finding::trouble(what, trouble, "look into the log of the source's server")
}

fn server(what: &str, source: &PostgresSource, server: &SourceServer) -> Vec<Finding> {
    let version = match server.number < OLDEST_SERVER {
        true => Finding::warn(
            what,
            format!(
                "PostgreSQL {}, older than what was ever tried",
                server.version
            ),
            "upgrade the source to a version that is still maintained",
        ),
        false => Finding::pass(
            what,
            format!("PostgreSQL {} at {}", server.version, source.place()),
        ),
    };
    let setting = |name: &str| format!("{what} {name}");
    let wal = match server.wal_level.as_str() {
        "logical" => Finding::pass(&setting("wal_level"), "logical"),
        other => Finding::fail(
            &setting("wal_level"),
            format!("{other}, so nothing can be captured"),
            "`alter system set wal_level = logical`, then restart the source's server",
        ),
    };
    let room = |name: &str, most: i32, used: i64| {
        let finding = format!("{used} of {most} in use");
        match used < i64::from(most) {
            true => Finding::pass(&setting(name), finding),
            // The connector may be one of those that use them.
            false => Finding::warn(
                &setting(name),
                format!("{finding}, so no other connector can start"),
                format!(
                    "raise `{name}` at the source, which needs a restart, or free what nobody uses"
                ),
            ),
        }
    };
    let role = match server.may_replicate {
        true => Finding::pass(&setting("role"), "may replicate"),
        false => Finding::fail(
            &setting("role"),
            format!("the user of `{}` may not replicate", source.user_variable),
            "at the source, as a superuser: `alter role … replication` (Amazon RDS: `grant rds_replication to …`)",
        ),
    };
    vec![
        version,
        wal,
        room("max_replication_slots", server.slots, server.slots_used),
        room("max_wal_senders", server.senders, server.senders_used),
        role,
    ]
}

fn publication(what: &str, source: &PostgresSource, facts: &SourceFacts) -> Finding {
    let what = format!("{what} publication {}", source.publication);
    let prepare = "run `prepare.sql` of the store at the source";
    let publication = match &facts.publication {
        Ok(Some(publication)) => publication,
        Ok(None) => return Finding::fail(&what, "it does not exist", prepare),
        Err(trouble) => return asked(&what, trouble),
    };
    if !publication.left_out.is_empty() {
        return Finding::fail(
            &what,
            format!("it leaves out {}", publication.left_out.join(" and ")),
            format!(
                "`alter publication \"{}\" set (publish = 'insert, update, delete')`",
                source.publication
            ),
        );
    }
    let missing: Vec<&TableName> = source
        .tables
        .keys()
        .chain(&source.signals)
        .chain(&source.heartbeat)
        .filter(|table| !publication.tables.contains(table))
        .collect();
    if !missing.is_empty() {
        return Finding::fail(
            &what,
            format!(
                "it lacks {}, whose changes never reach Kafka",
                some(missing)
            ),
            format!("{prepare}, then `snapshot.sql`: what was changed meanwhile is read anew"),
        );
    }
    let own: BTreeSet<&TableName> = source.signals.iter().chain(&source.heartbeat).collect();
    let others: Vec<&TableName> = publication
        .tables
        .iter()
        .filter(|table| !source.tables.contains_key(table) && !own.contains(table))
        .collect();
    if !others.is_empty() {
        return Finding::warn(
            &what,
            format!(
                "it holds {}, which the model does not capture",
                some(others)
            ),
            format!("{prepare}; until then the source decodes them for nothing"),
        );
    }
    Finding::pass(
        &what,
        format!(
            "holds {} tables of the model and no other",
            source.tables.len()
        ),
    )
}

/// What was added and is not asked for.
fn unread(what: &str, facts: &SourceFacts) -> Option<Finding> {
    let what = format!("{what} snapshots");
    match &facts.unread {
        Ok(datasets) if datasets.is_empty() => None,
        Ok(datasets) => Some(Finding::warn(
            &what,
            format!(
                "nobody asked for {}: rows that nobody changes are missing, or have no value in a new column",
                some(datasets)
            ),
            "run `snapshot.sql` of the store at the source once the connector runs",
        )),
        Err(trouble) => Some(asked(&what, trouble)),
    }
}

#[cfg(test)]
mod tests;
