//! The replication slot: is it there, is it read, and how much log does it keep back.

use super::asked;
use crate::doctor::finding::Finding;
use crate::live::source::{PostgresSource, SourceFacts};

/// Log that a slot keeps back while its connector is well: some batches of a busy source, never more than this.
const MOST_KEPT_BYTES: i64 = 1 << 30;

pub(super) fn judge(what: &str, source: &PostgresSource, facts: &SourceFacts) -> Finding {
    let name = &source.slot;
    let what = format!("{what} slot {name}");
    let slot = match &facts.slot {
        Ok(Some(slot)) => slot,
        Ok(None) => {
            return Finding::fail(
                &what,
                "it does not exist",
                "the connector makes it when it starts for the first time. If it was there before, what was committed \
                 since never reaches Kafka: the store needs a new snapshot (docs/changing-streams.md)",
            );
        }
        Err(trouble) => return asked(&what, trouble),
    };
    let lost = "the log is gone that it kept, and what it held never reaches Kafka";
    let again = format!(
        "stop the connector, `select pg_drop_replication_slot('{name}')` at the source, delete the connector's offsets, \
         resume it: it takes a new snapshot (docs/changing-streams.md); then raise `max_slot_wal_keep_size`"
    );
    if slot.wal_status.as_deref() == Some("lost") {
        return Finding::fail(&what, lost, again);
    }
    let elsewhere = slot.plugin.as_deref() != Some("pgoutput")
        || slot.database.as_deref() != Some(source.database.as_str());
    if elsewhere {
        return Finding::fail(
            &what,
            format!(
                "it is of plugin `{}` in database `{}`, the connector needs `pgoutput` in `{}`",
                slot.plugin.as_deref().unwrap_or("none"),
                slot.database.as_deref().unwrap_or("none"),
                source.database
            ),
            "find whose it is; if nobody's, drop it and restart the connector, which makes its own",
        );
    }
    let most = facts
        .server
        .as_ref()
        .ok()
        .and_then(|server| server.most_kept_bytes);
    let bound = most.map_or(MOST_KEPT_BYTES, |most| MOST_KEPT_BYTES.min(most / 2));
    let kept = slot.kept_bytes.unwrap_or_default();
    let keeps = match most {
        Some(most) => format!(
            "it keeps {} of log, of at most {}",
            bytes(kept),
            bytes(most)
        ),
        None => format!("it keeps {} of log, and no bound is set", bytes(kept)),
    };
    if slot.wal_status.as_deref() == Some("unreserved") {
        let finding = format!("{keeps}, and the next checkpoint may remove it");
        return Finding::fail(
            &what,
            finding,
            "start the connector now; then raise `max_slot_wal_keep_size`",
        );
    }
    if kept > bound {
        let remedy = "see why its connector does not go on, or is slow; until then the source's disk fills, or the slot \
                      is lost at `max_slot_wal_keep_size`";
        return Finding::warn(&what, keeps, remedy);
    }
    if !slot.active {
        let remedy = "its connector does not run, or starts at this moment: see its line";
        return Finding::warn(&what, format!("nobody reads it; {keeps}"), remedy);
    }
    Finding::pass(&what, format!("active; {keeps}"))
}

/// A number of bytes for people.
fn bytes(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut rest, mut unit) = (bytes.max(0), "bytes");
    for next in UNITS {
        if rest < 10_240 {
            break;
        }
        (rest, unit) = (rest / 1024, next);
    }
    format!("{rest} {unit}")
}
