//! Statements over chosen entries: two temporary tables per dataset, one of entries and one of their payloads.

use milepost_job_spec::{DatasetSpec, SourcePosition, StreamKey, TableRef};
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::session::Session;
use crate::staging::position;

/// Why a payload was not tried: it was mended to what its staging table does not take.
const BAD_PAYLOAD: &str = "its payload does not fit the staging table";
/// Why an entry was not tried: nothing can tell whether a later row of its key was merged.
const UNKNOWN_ORDER: &str =
    "its key was not known when it was set aside, and the rows behind it are not staged any more";

fn chosen(place: usize) -> String {
    format!("mp_chosen_{place}")
}

/// The temporary table of payloads, which stands for the staging table of a dataset.
pub(crate) fn payloads(place: usize) -> TableRef {
    let name = |text: &str| text.parse().expect("a name of ours is an identifier");
    TableRef {
        schema: name("pg_temp"),
        name: name(&format!("mp_payloads_{place}")),
    }
}

/// The statement that chooses open entries. `$1` platform, `$2` store, `$3` dataset, `$4` ids or null for all.
///
/// An entry is tried together with all others of its key: what follows it may be filled from it, and what is before it must
/// not come after it. An entry whose key was not known stands alone, and so does one of a dataset without a key.
pub(crate) fn choose(place: usize) -> String {
    format!(
        "create temp table {chosen} on commit drop as\n\
         select q.id, q.topic, q.partition, q.\"offset\", q.quarantined_at,\n       \
                exists (select from jsonb_each(q.key) k where k.value = 'null') as keyless\n  \
           from milepost.quarantine q\n \
          where q.platform = $1::text and q.store = $2::text and q.dataset = $3::text and q.status = 'open'\n   \
            and ($4::bigint[] is null or q.id = any($4::bigint[])\n        \
                 or q.key <> '{{}}' and not exists (select from jsonb_each(q.key) k where k.value = 'null')\n           \
                    and q.key in (select o.key from milepost.quarantine o\n                         \
                          where o.platform = $1::text and o.store = $2::text and o.dataset = $3::text and o.status = 'open'\n                           \
                            and o.id = any($4::bigint[])))",
        chosen = chosen(place),
    )
}

/// A row of the staging table's shape from the payload of `q`, at the place of its entry whatever the payload says.
fn unpacked(place: usize, staging: &TableRef) -> String {
    format!(
        "select r.* from {chosen} c join milepost.quarantine q on q.id = c.id\n  \
          cross join lateral jsonb_populate_record(null::{staging}, q.payload || jsonb_build_object(\n    \
            '__connect_topic', c.topic, '__connect_partition', c.partition, '__connect_offset', c.\"offset\")) r",
        chosen = chosen(place),
        staging = staging.quoted(),
    )
}

/// The statement that unpacks all payloads.
pub(crate) fn unpack(place: usize, staging: &TableRef) -> String {
    format!(
        "create temp table {} on commit drop as\n{}",
        payloads(place).quoted(),
        unpacked(place, staging)
    )
}

/// The statement that makes the table of payloads and leaves it empty.
pub(crate) fn unpack_nothing(place: usize, staging: &TableRef) -> String {
    format!(
        "create temp table {} on commit drop as select * from {} where false",
        payloads(place).quoted(),
        staging.quoted()
    )
}

/// The statement that unpacks the payload of the entry `$1`.
pub(crate) fn unpack_one(place: usize, staging: &TableRef) -> String {
    format!(
        "insert into {} {} where c.id = $1",
        payloads(place).quoted(),
        unpacked(place, staging)
    )
}

/// The query for the chosen entries.
pub(crate) fn chosen_ids(place: usize) -> String {
    format!("select id from {}", chosen(place))
}

/// The statement that takes the entry `$1`, whose payload cannot be unpacked, out of the choice.
pub(crate) fn leave_one(place: usize) -> String {
    format!(
        "with left_out as (delete from {chosen} where id = $1)\n\
         update milepost.quarantine set reason = '{BAD_PAYLOAD}' where id = $1",
        chosen = chosen(place),
    )
}

/// The end of a statement that closes entries of the choice as superseded, where `condition` over `c` holds.
fn supersede(place: usize, condition: &str) -> String {
    format!(
        "with late as (\n  \
           delete from {chosen} c where {condition} returning c.id\n\
         )\n\
         update milepost.quarantine q set status = 'superseded', closed_at = clock_timestamp() from late where q.id = late.id",
        chosen = chosen(place),
    )
}

/// The statement that closes entries behind which a whole snapshot was merged: it has no row of their key, or that row
/// would have closed them. `$1` platform, `$2` store, `$3` dataset. Of no use without a key: there an event is closed by none.
pub(crate) fn before_a_snapshot(place: usize, staging: &TableRef) -> String {
    let at = |alias: &str| {
        format!(
            "{alias}.__connect_topic = c.topic and {alias}.__connect_partition = c.partition and {alias}.__op = 'r'"
        )
    };
    supersede(
        place,
        &format!(
            "exists (select from {staging} f join {staging} l on {last} and l.__connect_offset >= f.__connect_offset\n      \
               join milepost.positions p on p.platform = $1 and p.store = $2 and p.dataset = $3 and p.topic = c.topic\n           \
                and p.partition = c.partition and l.__connect_offset <= p.watermark\n     \
              where {first} and f.__connect_offset > c.\"offset\"\n       \
                and f.__snapshot in ('first', 'first_in_data_collection') and l.__snapshot in ('last', 'last_in_data_collection'))",
            staging = staging.quoted(),
            first = at("f"),
            last = at("l"),
        ),
    )
}

/// The statement that closes entries whose key is known only now, and has a later row that was merged: it must not be
/// overwritten. `$1` platform, `$2` store, `$3` dataset. None for a dataset without a key.
///
/// Later is what stands above at the source; in the same partition also behind by offset, so that a redelivery is none. A
/// row that is in quarantine itself was not merged.
pub(crate) fn before_a_later_row(
    place: usize,
    dataset: &DatasetSpec,
    staging: &TableRef,
    source: SourcePosition,
) -> Option<String> {
    let keys: Vec<String> = staged_keys(dataset);
    if keys.is_empty() {
        return None;
    }
    let at = position::of(source);
    let place_at_source = format!(
        "({}) as pos_commit, coalesce({}, -1) as pos_row, coalesce({}, -1) as pos_order",
        at.commit, at.row, at.order
    );
    let same = |alias: &str| {
        keys.iter()
            .map(|key| format!("{alias}.{key} = e.{key}"))
            .collect::<Vec<_>>()
            .join(" and ")
    };
    Some(supersede(
        place,
        &format!(
            "c.keyless and exists (\n    \
               select from (select s.*, {place_at_source} from {payloads} s) e\n      \
                 join lateral (select s.*, {place_at_source} from {staging} s where {same}) n\n        \
                   on n.__op = 'r' or coalesce((n.pos_commit, n.pos_row, n.pos_order) > (e.pos_commit, e.pos_row, e.pos_order), true)\n      \
                 join milepost.positions p on p.platform = $1 and p.store = $2 and p.dataset = $3 and p.topic = n.__connect_topic\n           \
                  and p.partition = n.__connect_partition and n.__connect_offset <= p.watermark\n     \
                where e.__connect_topic = c.topic and e.__connect_partition = c.partition and e.__connect_offset = c.\"offset\"\n       \
                  and (n.__connect_topic <> c.topic or n.__connect_partition <> c.partition or n.__connect_offset > c.\"offset\")\n       \
                  and not exists (select from milepost.quarantine o where o.platform = $1 and o.store = $2 and o.dataset = $3\n                        \
                         and o.topic = n.__connect_topic and o.partition = n.__connect_partition\n                        \
                         and o.\"offset\" = n.__connect_offset and o.status = 'open'))",
            payloads = payloads(place).quoted(),
            staging = staging.quoted(),
            same = same("s"),
        ),
    ))
}

/// The statement that leaves out entries whose key is known only now, where rows behind them may be trimmed: by their age, or
/// because rows as late at the source were. `$1` platform, `$2` store, `$3` dataset, `$4` seconds that staged rows are kept.
pub(crate) fn of_unknown_order(place: usize, dataset: &DatasetSpec) -> String {
    let known = staged_keys(dataset)
        .into_iter()
        .map(|key| format!("e.{key} is not null"))
        .collect::<Vec<_>>()
        .join(" and ");
    format!(
        "with unknown as (\n  \
           delete from {chosen} c using {payloads} e\n   \
            where c.keyless and e.__connect_topic = c.topic and e.__connect_partition = c.partition and e.__connect_offset = c.\"offset\"\n     \
              and {known} and (c.quarantined_at < clock_timestamp() - $4 * interval '1 second' or exists (\n      \
                select from milepost.retention r where r.platform = $1 and r.store = $2 and r.dataset = $3\n         \
                   and coalesce(r.trimmed_source_ts_us >= coalesce(e.__source_ts_us, 0), false)))\n  \
           returning c.id\n\
         )\n\
         update milepost.quarantine q set reason = '{UNKNOWN_ORDER}' from unknown where q.id = unknown.id",
        chosen = chosen(place),
        payloads = payloads(place).quoted(),
    )
}

fn staged_keys(dataset: &DatasetSpec) -> Vec<String> {
    dataset
        .key_columns()
        .map(|column| column.staged_as.quoted())
        .collect()
}

/// The statements that take the chosen entries out of the quarantine; [`close`] says when, at the end.
pub(crate) fn take(place: usize) -> String {
    format!(
        "delete from {payloads} e where not exists (select from {chosen} c\n  \
           where e.__connect_topic = c.topic and e.__connect_partition = c.partition and e.__connect_offset = c.\"offset\");\n\
         update milepost.quarantine q set status = 'replayed', closed_at = '-infinity' from {chosen} c where q.id = c.id",
        payloads = payloads(place).quoted(),
        chosen = chosen(place),
    )
}

/// The query for the stretch of each partition: the place below its first entry, and its last.
pub(crate) fn stretches(place: usize) -> String {
    format!(
        "select topic, partition as part, min(\"offset\") - 1 as low, max(\"offset\") as high from {} group by 1, 2 order by 1, 2",
        chosen(place)
    )
}

/// The statement that says when the entries that were merged were closed.
pub(crate) fn close(place: usize) -> String {
    format!(
        "update milepost.quarantine q set closed_at = clock_timestamp() from {} c\n \
          where q.id = c.id and q.status = 'replayed'",
        chosen(place)
    )
}

/// Leaves a row for whoever watches the stream. The text has no values of rows.
pub(crate) async fn tell(session: &Session, stream: &StreamKey, text: &str) -> Result<(), Error> {
    session
        .execute(
            "tell what was done",
            "insert into milepost.events (platform, store, dataset, severity, message) values ($1, $2, $3, 'info', $4)",
            &[
                (&stream.platform, Type::TEXT),
                (&stream.store, Type::TEXT),
                (&stream.dataset, Type::TEXT),
                (&text, Type::TEXT),
            ],
        )
        .await
        .map(drop)
}
