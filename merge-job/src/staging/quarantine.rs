//! What does not fit: kept with position, reason and payload, while the rest of the batch goes on.

use std::fmt::Write as _;

use milepost_job_spec::StreamKey;

use crate::sql::literal;
use crate::staging::events::{STATE_QUARANTINED, STATE_TRUNCATE, STATE_VALID, Shape};

/// The statement that marks rows which the merge table would refuse.
#[must_use]
pub fn mark_refused(shape: &Shape<'_>) -> String {
    format!(
        "update {} set x_state = {STATE_QUARANTINED} where x_state = {STATE_VALID} and x_refused is not null",
        shape.events()
    )
}

/// The statement that marks rows which cannot be filled: nothing is known of a value, or an earlier row of the key is
/// in quarantine and no complete row came between. Open entries of
/// earlier batches count as such a row before the first of this one. A truncate that took effect (`truncated`) ends all that,
/// also for keys that had no row then.
///
/// Needs what [`crate::staging::fill::prepare`] added.
#[must_use]
pub fn mark_unfilled(shape: &Shape<'_>, stream: &StreamKey, truncated: bool) -> String {
    let events = if truncated {
        format!(
            "(select ctid, *, count(*) filter (where x_op = 't' and x_state = {STATE_TRUNCATE}) over (order by x_off) as x_epoch from {})",
            shape.events()
        )
    } else {
        format!("(select ctid, *, 0 as x_epoch from {})", shape.events())
    };
    let keys = shape.keys("");
    let unknown = shape.any_unknown("");
    let order = shape.order("");
    format!(
        "update {own} e set x_state = {STATE_QUARANTINED},\n       \
           x_refused = 'an unchanged large value is not known here'\n  \
           from (select ctid as t,\n               \
                        bool_or(bad) over (partition by {keys}, x_epoch, x_whole order by {order}) as poisoned\n          \
                   from (select ctid, {keys}, {places}, x_epoch,\n                        \
                                x_state = {STATE_QUARANTINED} or (x_op <> 'd' and x_state = {STATE_VALID} and {unknown})\n                          \
                                  or (x_before and x_number = 1 and x_epoch = 0 and x_need) as bad,\n                        \
                                count(*) filter (where x_state = {STATE_VALID} and not x_need)\n                          \
                                  over (partition by {keys} order by {order}) as x_whole\n                   \
                           from (select *,\n                                \
                                        row_number() over (partition by {keys} order by {order}) as x_number,\n                                \
                                        {set_aside} as x_before\n                           \
                                   from {events} e where x_state in ({STATE_VALID}, {STATE_QUARANTINED})) o) b) f\n \
          where e.ctid = f.t and f.poisoned and e.x_need and e.x_state = {STATE_VALID}",
        own = shape.events(),
        places = shape.places(""),
        set_aside = has_entry(shape, stream, ""),
    )
}

/// The statement that marks rows with a value that is unknown, of a dataset without a key: no other row tells of it.
#[must_use]
pub fn mark_unknown(shape: &Shape<'_>) -> String {
    format!(
        "update {events} set x_state = {STATE_QUARANTINED}, x_refused = 'an unchanged large value is not known here'\n \
          where x_state = {STATE_VALID} and {unknown}",
        events = shape.events(),
        unknown = shape.any_unknown(""),
    )
}

/// The query for how many of the rows that are merged may be replays.
#[must_use]
pub fn doubtful(shape: &Shape<'_>) -> String {
    format!(
        "select count(*) from {} where x_state = {STATE_VALID} and x_doubt and x_topic is not null",
        shape.events()
    )
}

/// Has the key of this event an entry that was open when the batch began?
pub(crate) fn has_entry(shape: &Shape<'_>, stream: &StreamKey, event: &str) -> String {
    format!(
        "exists (select from milepost.quarantine q where q.platform = {platform} and q.store = {store}\n    \
           and q.dataset = {dataset} and (q.status = 'open' or q.closed_at >= now()) and q.key = {key})",
        platform = literal(&stream.platform),
        store = literal(&stream.store),
        dataset = literal(&shape.dataset.name),
        key = shape.key_json(event),
    )
}

/// The statement that keeps the quarantined rows. `$1` platform, `$2` store, `$3` dataset, `$4` batch number.
///
/// A row that is merged again after a rebuild may have an entry, closed by then: that is opened, and keeps its payload, which
/// a person may have mended.
#[must_use]
pub fn keep(shape: &Shape<'_>) -> String {
    format!(
        "insert into milepost.quarantine\n         \
           (platform, store, dataset, topic, partition, \"offset\", batch_number, reason, key, payload)\n  \
         select $1, $2, $3, e.x_topic, e.x_part, e.x_off, $4, coalesce(e.x_refused, 'refused'), {key}, {payload}\n    \
           from {events} e\n    \
           join {staging} s on s.__connect_topic = e.x_topic and s.__connect_partition = e.x_part\n                   \
                           and s.__connect_offset = e.x_off\n   \
          where e.x_state = {STATE_QUARANTINED}\n   \
          order by e.x_topic, e.x_part, e.x_off\n  \
         on conflict (platform, store, dataset, topic, partition, \"offset\") do update\n  \
         set batch_number = excluded.batch_number, reason = excluded.reason, key = excluded.key, status = 'open', closed_at = null,\n      \
             quarantined_at = clock_timestamp()",
        key = shape.key_json("e."),
        payload = payload(shape),
        events = shape.events(),
        staging = shape.dataset.staging.quoted(),
    )
}

/// The staged row `s` as jsonb, from which it can be read again as it was: a number of jsonb knows no negative zero, so
/// numbers that do are kept as text.
fn payload(shape: &Shape<'_>) -> String {
    let mut payload = "to_jsonb(s)".to_owned();
    for (_, column) in shape.columns() {
        if matches!(column.staging_type.as_str(), "real" | "double precision") {
            let _ = write!(
                payload,
                " || jsonb_build_object({}, s.{}::text)",
                literal(column.staged_as.as_str()),
                column.staged_as.quoted()
            );
        }
    }
    payload
}

/// The statement that opens entries of a replay again which still do not fit. `$1` platform, `$2` store, `$3` dataset.
#[must_use]
pub fn reopen(shape: &Shape<'_>) -> String {
    format!(
        "update milepost.quarantine q set status = 'open', closed_at = null, reason = coalesce(e.x_refused, 'refused'), key = {key}\n  \
           from {events} e\n \
          where q.platform = $1 and q.store = $2 and q.dataset = $3 and q.topic = e.x_topic and q.partition = e.x_part\n   \
            and q.\"offset\" = e.x_off and q.status = 'replayed' and e.x_state = {STATE_QUARANTINED}",
        events = shape.events(),
        key = shape.key_json("e."),
    )
}

/// The statement that closes open entries whose key got a later complete row, delete or snapshot row. `$1` platform,
/// `$2` store, `$3` dataset. `complete` says which events are complete.
#[must_use]
pub fn supersede(shape: &Shape<'_>, complete: &str) -> String {
    format!(
        "update milepost.quarantine q set status = 'superseded', closed_at = clock_timestamp()\n  \
           from {events} e\n \
          where q.platform = $1 and q.store = $2 and q.dataset = $3 and q.status = 'open'\n   \
            and q.key = {key} and q.topic = e.x_topic and q.partition = e.x_part and {own} < {rank}\n   \
            and e.x_state = {STATE_VALID} and (e.x_op = 'd' or {complete})",
        events = shape.events(),
        key = shape.key_json("e."),
        own = if shape.is_ranked {
            "2 * q.\"offset\""
        } else {
            "q.\"offset\""
        },
        rank = shape.rank("e."),
    )
}
