//! What a connector's trace means, where we know it.

/// A failure of a connector that has a remedy of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// What is wrong, in our words: a trace can quote rows.
    pub(crate) what: String,
    /// What to do before the connector is restarted.
    pub(crate) remedy: String,
}

/// A text of traces, what it means and what to do. `{}` stands for the name in double quotes that follows the text.
struct Pattern {
    said: &'static str,
    what: &'static str,
    remedy: &'static str,
}

const fn pattern(said: &'static str, what: &'static str, remedy: &'static str) -> Pattern {
    Pattern { said, what, remedy }
}

const SPACE: &str =
    "give the database's disk space; nothing is lost, the sink goes on where it stopped";
const SNAPSHOT: &str = "the log that the slot kept is gone, and what it held never reached Kafka: drop the slot, \
                        delete the connector's offsets, and let it take a new snapshot";

/// In this order: what is more special stands first.
const PATTERNS: &[Pattern] = &[
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
    pattern(
        "can no longer get changes from replication slot",
        "its replication slot was invalidated",
        SNAPSHOT,
    ),
    pattern(
        "can no longer access replication slot",
        "its replication slot was invalidated",
        SNAPSHOT,
    ),
    pattern(
        "has been invalidated",
        "its replication slot was invalidated",
        SNAPSHOT,
    ),
    pattern(
        "no longer available on the server",
        "the source no longer has the log at which the connector stopped",
        SNAPSHOT,
    ),
    pattern(
        "requested WAL segment",
        "the source no longer has the log at which the connector stopped",
        SNAPSHOT,
    ),
    pattern(
        "wal_level",
        "the source's wal_level is not `logical`",
        "set `wal_level = logical` at the source and restart its server",
    ),
    pattern(
        "publication \"{}\" does not exist",
        "publication `{}` does not exist",
        "run `prepare.sql` of the store at the source",
    ),
    pattern(
        "Publication autocreation is disabled",
        "its publication does not exist",
        "run `prepare.sql` of the store at the source",
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
        "see to the credential in the environment of Kafka Connect's workers, and restart them",
    ),
    pattern(
        "no pg_hba.conf entry",
        "the database lets nobody in from Kafka Connect's workers",
        "add a line for them to the database's `pg_hba.conf`",
    ),
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

/// The first cause that the trace shows.
pub(crate) fn known(trace: &str) -> Option<Cause> {
    PATTERNS.iter().find_map(|pattern| {
        let name = find(trace, pattern.said)?;
        Some(Cause {
            what: pattern.what.replace("{}", &name),
            remedy: pattern.remedy.replace("{}", &name),
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
    fn a_known_cause(trace: &str) -> String {
        known(trace).unwrap().what
    }

    #[test]
    fn a_cause_that_nobody_knows_is_none() {
        assert_eq!(known("java.lang.NullPointerException"), None);
        assert_eq!(known("replication slot \"open"), None);
    }
}
