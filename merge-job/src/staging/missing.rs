//! Live rows that a complete snapshot does not have: their deletes were lost, or the snapshot was.
//!
//! A snapshot of a dataset begins at an `r` row that says `first…`, or at any `r` row behind a streamed row or an end; it
//! ends at a row that says `last` or `last_in_data_collection`. A row may be both. Incremental rows are like streamed ones.

use milepost_job_spec::{IMAGE_TOPIC, StreamKey};

use crate::sql::literal;
use crate::staging::events::{STATE_VALID, Shape, typed};

const TAKEN: &str = "x_op = 'r' and x_snapshot is distinct from 'incremental'";
const FIRST: &str = "x_op = 'r' and x_snapshot in ('first', 'first_in_data_collection')";
const LAST: &str = "x_op = 'r' and x_snapshot in ('last', 'last_in_data_collection')";
/// As `milepost.positions.in_snapshot` of the row at the watermark.
const OPEN: &str = "x_op = 'r' and x_snapshot in ('true', 'first', 'first_in_data_collection')";

/// The query for where snapshots begin and end in the events of datasets that have one slice each.
///
/// One row per dataset that has one partition: place, first and last offset of the last snapshot that ends in the batch
/// (null where none does, or where its beginning is not known), and the first offset of the one that is open behind the
/// batch. A snapshot of a table that was empty when it began has no beginning here: nothing can be missing from it.
#[must_use]
pub fn marks(shapes: &[Shape<'_>], stream: &StreamKey) -> String {
    let parts: Vec<String> = shapes
        .iter()
        .map(|shape| {
            let events = shape.events();
            let begin = |upto: &str| {
                format!(
                    "(select case when s.first is null and s.stop is null then case when p.in_snapshot then p.snapshot_from else h.low end\n            \
                       else greatest(s.first, (select min(x_off) from {events} where x_off > s.stop)) end\n       \
                       from (select max(x_off) filter (where {FIRST}) as first,\n                    \
                                    max(x_off) filter (where (not ({TAKEN}) or coalesce({LAST}, false)) and x_off < {upto}) as stop\n               \
                               from {events} where x_off <= {upto}) s\n      \
                      where {upto} is not null)"
                )
            };
            format!(
                "select i, case when low > first or is_filled then low end as low, high, case when open > first or is_filled then open end as open\n  \
                   from (select {index} as i, {low} as low, h.ended as high, {open} as open, h.low as first, (exists (select from {live}) or p.refill_after is not null or p.refill_upto is not null) as is_filled\n          \
                   from (select min(x_topic) as topic, min(x_part) as part, min(x_off) as low,\n                       \
                                max(x_off) filter (where {LAST}) as ended,\n                       \
                                case when (array_agg({OPEN} order by x_off desc))[1] then max(x_off) end as open\n                  \
                           from {events}) h\n          \
                   left join milepost.positions p on {own} and p.topic = h.topic and p.partition = h.part\n         \
                  where not exists (select from milepost.positions p where {own} and (p.topic, p.partition) <> (h.topic, h.part) and p.topic <> {image})) m",
                index = shape.index,
                low = begin("h.ended"),
                open = begin("h.open"),
                live = shape.dataset.live_table().quoted(),
                image = literal(IMAGE_TOPIC),
                own = of_dataset("p", shape, stream),
            )
        })
        .collect();
    format!("{}\norder by i", parts.join("\nunion all\n"))
}

/// What is done with rows that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// They are counted.
    Counted,
    /// A delete is added to the events for each.
    Deleted,
}

/// The statement that finds the missing rows: live, at the end of the snapshot, by what was merged and what this batch has,
/// and without a row of any kind since the beginning. A key with a row in open quarantine is not missing.
///
/// `$1` topic, `$2` partition, `$3` first and `$4` last offset of the snapshot, `$5` watermark. An added delete stands at the end of
/// the snapshot, with no topic, like those of a truncate: it is no staged row. Sets are taken by `except`: whole tables are compared, without an index.
///
/// A table that was made anew lacks rows no longer behind a snapshot that began since, or behind an image.
///
/// Returns how many are missing, how many of those were live before the batch, and how many rows were live before it.
#[must_use]
pub fn find(shape: &Shape<'_>, stream: &StreamKey, found: Found) -> String {
    let events = shape.events();
    let keys = shape.keys("");
    let live = shape.dataset.live_table().quoted();
    let staging = shape.dataset.staging.quoted();
    let mut names = Vec::new();
    let mut staged = Vec::new();
    let mut kept = Vec::new();
    for place in shape.key() {
        let column = &shape.dataset.columns[place];
        names.push(format!("l.{} as c{place}", column.name.quoted()));
        let value = typed(&format!("s.{}", column.staged_as.quoted()), column);
        staged.push(format!("case when q.id is null then {value} end"));
        kept.push(format!(
            "(q.key ->> {})::{}",
            literal(column.name.as_str()),
            column.merge_type
        ));
    }
    let own = of_dataset("q", shape, stream);
    let delete = match found {
        Found::Counted => String::new(),
        Found::Deleted => format!(
            ", added as (\n  \
               insert into {events} (x_topic, x_part, x_off, x_op, x_state, x_doubt, {keys})\n  \
               select null, $2::integer, $4::bigint, 'd', {STATE_VALID}, false, {keys} from missing\n\
             )"
        ),
    };
    format!(
        "with last as materialized (\n  \
           select distinct on ({keys}) {keys}, x_op from {events} where x_state = {STATE_VALID} and x_op <> 't' order by {keys}, {last}\n\
         ), missing as materialized (\n  \
           (select {names} from {live} l union select {keys} from last where x_op <> 'd')\n  \
           except\n  \
           (select {keys} from last where x_op = 'd'\n   \
            union all select {keys} from {events} where x_off >= $3::bigint\n   \
            union all select {staged} from {staging} s\n               \
              left join milepost.quarantine q on {own} and q.topic = $1::text and q.partition = $2::integer and q.\"offset\" = s.__connect_offset\n              \
              where s.__connect_topic = $1::text and s.__connect_partition = $2::integer\n                \
                and s.__connect_offset between $3::bigint and $5::bigint and s.__op <> 't'\n   \
            union all select {kept} from milepost.quarantine q\n              \
              where {own} and (q.status = 'open' or (q.topic = $1::text and q.partition = $2::integer and q.\"offset\" >= $3::bigint)))\n\
         ){delete}, refilled as (\n  \
           update milepost.positions p set refill_after = null, refill_upto = case when $1::text <> {image} then p.refill_upto end\n   \
            where {of_position} and (p.refill_after is not null or p.refill_upto is not null)\n     \
              and ({image} in ($1::text, p.topic) or p.topic = $1::text and p.partition = $2::integer and p.refill_after < $3::bigint)\n\
         )\n\
         select (select count(*) from missing) as missing, (select count(*) from missing m join {live} l on {joined}) as standing,\n       \
                (select count(*) from {live}) as live, $4::bigint as upto",
        image = literal(IMAGE_TOPIC),
        of_position = of_dataset("p", shape, stream),
        last = shape.order_from_last(""),
        names = names.join(", "),
        staged = staged.join(", "),
        kept = kept.join(", "),
        joined = shape.live_key("l.", "m.", None),
    )
}

/// Is a control row, under this alias, of the dataset?
fn of_dataset(alias: &str, shape: &Shape<'_>, stream: &StreamKey) -> String {
    format!(
        "{alias}.platform = {} and {alias}.store = {} and {alias}.dataset = {}",
        literal(&stream.platform),
        literal(&stream.store),
        literal(&shape.dataset.name)
    )
}
