//! What a connector's trace means, where we know it: one text means one thing of a Postgres and another of a MySQL.

use super::system::System;

/// A failure of a connector that has a remedy of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// What is wrong, in our words: a trace can quote rows.
    pub(crate) what: String,
    pub(crate) remedy: Remedy,
}

/// What brings a connector back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// This, before it is restarted; it goes on where it stopped.
    First(String),
    /// A new snapshot of everything: where it stopped is gone.
    Anew,
}

/// A text of traces, what it means and what to do. `{}` stands for the name in double quotes that follows the text.
struct Pattern {
    said: &'static str,
    what: &'static str,
    /// None where nothing but a new snapshot helps.
    first: Option<&'static str>,
}

const fn pattern(said: &'static str, what: &'static str, first: &'static str) -> Pattern {
    Pattern {
        said,
        what,
        first: Some(first),
    }
}

const fn lost(said: &'static str, what: &'static str) -> Pattern {
    Pattern {
        said,
        what,
        first: None,
    }
}

const SPACE: &str =
    "give the database's disk space; nothing is lost, the sink goes on where it stopped";
const PREPARE: &str = "run `prepare.sql` of the store at the source";
const LOST_LOG: &str = "the source no longer has the log at which the connector stopped, and what it held never reached Kafka";
const LOST_SLOT: &str =
    "its replication slot was invalidated, and what it held never reached Kafka";
const LOGIN: &str =
    "see to the credential in the environment of Kafka Connect's workers, and restart them";

/// Of a Postgres, a source or the platform's own. In this order: what is more special stands first.
const POSTGRES: &[Pattern] = &[
    pattern(
        "No space left on device",
        "the database's disk is full",
        SPACE,
    ),
    pattern(
        "could not extend file",
        "the database's disk is full",
        SPACE,
    ),
    pattern("SQLState: 53100", "the database's disk is full", SPACE),
    pattern("disk full", "the database's disk is full", SPACE),
    pattern(
        "Could not find table: ",
        "a staging table does not exist",
        "`merge-job publish --from DIR` makes it, or says how one comes back that held rows",
    ),
    pattern(
        "schema evolution is disabled",
        "a staging table does not exist, or lacks a column that the topic has",
        "`merge-job publish --from DIR` makes it, or says how one comes back that held rows",
    ),
    pattern(
        "permission denied for schema ",
        "the database's role may not use a schema",
        "grant it `usage` on the schema: docs/operations.md, \"The sink connector's role\"",
    ),
    pattern(
        "permission denied for table ",
        "the database's role may not use a table",
        "grant it the right on the table: docs/operations.md, \"The sink connector's role\", or `prepare.sql` of a source",
    ),
    pattern(
        "replication slot \"{}\" does not exist",
        "replication slot `{}` does not exist",
        "the connector makes it when it is restarted; what was committed in between never reached Kafka, so it needs a new snapshot",
    ),
    pattern(
        "replication slot \"{}\" is active",
        "replication slot `{}` is in use by somebody else",
        "find who: `select * from pg_stat_activity where pid = (select active_pid from pg_replication_slots where slot_name = '{}')`",
    ),
    lost("can no longer get changes from replication slot", LOST_SLOT),
    lost("can no longer access replication slot", LOST_SLOT),
    lost("has been invalidated", LOST_SLOT),
    lost("no longer available on the server", LOST_LOG),
    lost("requested WAL segment", LOST_LOG),
    pattern(
        "wal_level",
        "the source's wal_level is not `logical`",
        "set `wal_level = logical` at the source and restart its server",
    ),
    pattern(
        "publication \"{}\" does not exist",
        "publication `{}` does not exist",
        PREPARE,
    ),
    pattern(
        "Publication autocreation is disabled",
        "its publication does not exist",
        PREPARE,
    ),
    pattern(
        "all replication slots are in use",
        "the source has no free replication slot",
        "raise `max_replication_slots` at the source, or drop a slot that nobody uses",
    ),
    pattern(
        "REPLICATION",
        "its role at the source may not replicate",
        "at the source: `alter role … replication`",
    ),
    pattern(
        "password authentication failed",
        "the database refuses the connector's login",
        LOGIN,
    ),
    pattern(
        "no pg_hba.conf entry",
        "the database lets nobody in from Kafka Connect's workers",
        "add a line for them to the database's `pg_hba.conf`",
    ),
];

const GLOBAL: &str = "at the source: `grant reload, show databases, replication slave, replication client on *.* to …`; \
                      `select` on the captured tables is granted by `prepare.sql`";

/// Of the log of a MySQL or MariaDB.
const BINLOG: &[Pattern] = &[
    lost("no longer available on the server", LOST_LOG),
    lost("Could not find first log file name", LOST_LOG),
    lost("purged", LOST_LOG),
    pattern(
        "Access denied; you need",
        "its user at the source lacks a privilege",
        GLOBAL,
    ),
    pattern(
        "'LOCK TABLES' privilege",
        "its user at the source may not lock tables for the moment in which a snapshot begins",
        GLOBAL,
    ),
    pattern(
        "SELECT command denied",
        "its user at the source may not read a table",
        PREPARE,
    ),
    pattern(
        "command denied to user",
        "its user at the source may not write to a table of Milepost",
        PREPARE,
    ),
    pattern(
        "(using password:",
        "the source refuses the connector's login",
        LOGIN,
    ),
    pattern(
        "not configured to use a ROW binlog_format",
        "the source's binlog_format is not `ROW`",
        "set `binlog_format=ROW` at the source",
    ),
    pattern(
        "not configured to use a FULL binlog_row_image",
        "the source's binlog_row_image is not `FULL`",
        "set `binlog_row_image=FULL` at the source",
    ),
];

/// Of the log of a SQL Server or Oracle.
const OTHERS: &[Pattern] = &[lost("no longer available on the server", LOST_LOG)];

/// Of a worker, whatever it speaks to.
const WORKER: &[Pattern] = &[
    pattern(
        "UnknownHostException",
        "Kafka Connect's workers do not know the database's host",
        "see to the host in the model, or to the workers' name service",
    ),
    pattern(
        "Connection refused",
        "the database does not listen for Kafka Connect's workers",
        "start it, or see to host and port in the model",
    ),
    pattern(
        "Failed to find any class that implements Connector",
        "Kafka Connect lacks the connector's plugin",
        "install it on every worker and restart them",
    ),
];

/// The first cause that the trace of a connector to such a system shows.
pub(crate) fn known(system: Option<System>, trace: &str) -> Option<Cause> {
    let own = match system {
        Some(System::Postgres) => POSTGRES,
        Some(System::MySql | System::MariaDb) => BINLOG,
        Some(System::SqlServer | System::Oracle) => OTHERS,
        None => &[],
    };
    own.iter().chain(WORKER).find_map(|pattern| {
        let name = find(trace, pattern.said)?;
        let named = |text: &str| text.replace("{}", &name);
        Some(Cause {
            what: named(pattern.what),
            remedy: pattern
                .first
                .map_or(Remedy::Anew, |first| Remedy::First(named(first))),
        })
    })
}

/// Does the trace hold the text? The name that stands in it for `{}`, else nothing.
fn find(trace: &str, said: &str) -> Option<String> {
    let Some((before, behind)) = said.split_once("{}") else {
        return trace.contains(said).then(String::new);
    };
    trace.match_indices(before).find_map(|(start, _)| {
        let rest = &trace[start + before.len()..];
        let end = rest.find('"')?;
        rest[end..]
            .starts_with(behind)
            .then(|| crate::live::said::line(&rest[..end]))
    })
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("Caused by: java.sql.SQLException: Could not find table: main_staging.shop__orders" => "a staging table does not exist"; "a missing table")]
    #[test_case("PSQLException: ERROR: permission denied for table shop__orders" => "the database's role may not use a table"; "a missing privilege")]
    #[test_case("Batch entry 0 insert into t values ('Ann') was aborted: ERROR: could not extend file \"base/1\": No space left on device" => "the database's disk is full"; "a full disk")]
    #[test_case("ERROR: replication slot \"main__shop\" is active for PID 77" => "replication slot `main__shop` is in use by somebody else"; "a slot in use")]
    #[test_case("replication slot \"main__shop\" does not exist" => "replication slot `main__shop` does not exist"; "a slot that is gone")]
    #[test_case("Postgres server wal_level property must be 'logical' but is: 'replica'" => "the source's wal_level is not `logical`"; "a replica")]
    #[test_case("ERROR: must be superuser or have the REPLICATION attribute" => "its role at the source may not replicate"; "a role")]
    fn a_known_cause(trace: &str) -> String {
        known(Some(System::Postgres), trace).unwrap().what
    }

    const PURGED: &str = "The connector is trying to read change stream starting at SourceInfo [currentBinlogFilename=binlog.000003], \
                          but this is no longer available on the server. Reconfigure the connector to use a snapshot mode when needed.";

    #[test_case(PURGED => (LOST_LOG.to_owned(), Remedy::Anew); "a log that is gone before it starts")]
    #[test_case("Could not find first log file name in binary log index file Error code: 1236; SQLSTATE: HY000." => (LOST_LOG.to_owned(), Remedy::Anew); "a log that goes while it runs")]
    #[test_case("Access denied; you need (at least one of) the REPLICATION SLAVE privilege(s) for this operation" => ("its user at the source lacks a privilege".to_owned(), Remedy::First(GLOBAL.to_owned())); "the privilege to replicate")]
    #[test_case("SELECT command denied to user 'ann'@'10.0.0.1' for table `crm`.`orders`" => ("its user at the source may not read a table".to_owned(), Remedy::First(PREPARE.to_owned())); "the privilege to read")]
    #[test_case("UPDATE command denied to user 'ann'@'10.0.0.1' for table `milepost`.`main__crm__heartbeat`" => ("its user at the source may not write to a table of Milepost".to_owned(), Remedy::First(PREPARE.to_owned())); "the privilege to write")]
    #[test_case("Access denied for user 'ann'@'10.0.0.1' (using password: YES)" => ("the source refuses the connector's login".to_owned(), Remedy::First(LOGIN.to_owned())); "a login")]
    fn a_cause_at_a_binlog(trace: &str) -> (String, Remedy) {
        let mysql = known(Some(System::MySql), trace).unwrap();
        assert_eq!(known(Some(System::MariaDb), trace).as_ref(), Some(&mysql));
        (mysql.what, mysql.remedy)
    }

    #[test]
    fn no_system_gets_the_remedies_of_another() {
        assert_eq!(known(Some(System::MySql), "REPLICATION"), None);
        assert_eq!(known(Some(System::Oracle), "wal_level"), None);
        assert_eq!(
            known(Some(System::Postgres), "binlog.000003 was purged"),
            None
        );
        for system in [System::Postgres, System::SqlServer, System::Oracle] {
            assert_eq!(known(Some(system), PURGED).unwrap().remedy, Remedy::Anew);
        }
        assert_eq!(known(None, PURGED), None);
        assert!(known(None, "java.net.UnknownHostException: x").is_some());
    }

    #[test]
    fn a_cause_that_nobody_knows_is_none() {
        let known = |trace| known(Some(System::Postgres), trace);
        assert_eq!(known("java.lang.NullPointerException"), None);
        assert_eq!(known("replication slot \"open"), None);
    }
}
